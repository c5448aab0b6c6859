"""The panel as tensors: one row for all or one for each, packed or not, and nothing known too early."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.unit.simulation.market_paths import make_panel
from tests.unit.simulation.rich_panels import panel_with_everything
from toto_ops.simulation.market_tensors import MarketRow, MarketTensors, gathered_rows
from toto_ops.simulation.observation_schema import MarketWidths

EVERY_DTYPE = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def parts(seen: MarketRow) -> dict[str, Tensor]:
    of_bar = {name: part for name, part in seen.bar._asdict().items() if name != "complete"}
    return {**of_bar, "close": seen.close, "mask": seen.mask, "days": seen.days_to_close, "features": seen.features}


class TestRows:
    @EVERY_DTYPE
    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_a_row_for_each_account_is_what_each_would_see_alone(self, seed: int, dtype: torch.dtype) -> None:
        market = MarketTensors.of(panel_with_everything(seed), dtype)
        rows = torch.randperm(market.rows, generator=torch.Generator().manual_seed(seed))
        together = parts(market.at(rows))
        for account, row in enumerate(rows.tolist()):
            for name, alone in parts(market.at(row)).items():
                mine = together[name][account].view(alone.shape)
                torch.testing.assert_close(mine, alone, rtol=0, atol=0, equal_nan=True)

    @EVERY_DTYPE
    def test_prices_are_the_panels_where_there_is_a_bar(self, dtype: torch.dtype) -> None:
        panel = panel_with_everything(4)
        market = MarketTensors.of(panel, dtype)
        np.testing.assert_allclose(market.open.double().numpy(), panel.open, rtol=1e-7 if dtype == torch.float32 else 0)
        np.testing.assert_array_equal(market.close.isnan().numpy(), ~panel.mask)
        np.testing.assert_array_equal(market.features.numpy(), panel.features)

    def test_a_symbol_may_open_in_one_row_and_close_in_a_later_one(self) -> None:
        panel = make_panel(np.array([[10.0], [11.0], [12.0]]), np.array([[10.0], [11.0], [12.0]]))
        opens, closes = np.array([[True], [False], [True]]), np.array([[False], [True], [True]])
        market = MarketTensors.of(replace(panel, tradable=opens, mask=closes), torch.float32)
        seen = market.at(torch.arange(3))
        assert seen.bar.tradable[:, 0].tolist() == [True, False, True]
        assert seen.mask[:, 0].tolist() == [False, True, True]
        assert not market.gapless
        assert not seen.bar.complete

    def test_a_market_without_gaps_says_so_of_each_of_its_bars(self) -> None:
        prices = np.full((3, 2), 10.0)
        market = MarketTensors.of(make_panel(prices, prices), torch.float32)
        assert market.at(torch.arange(3)).bar.complete
        assert market.bar(1).complete

    def test_a_price_that_is_not_finite_is_refused_by_name(self) -> None:
        panel = make_panel(np.full((3, 2), 10.0), np.full((3, 2), 10.0))
        panel.close[1, 1] = np.inf
        with pytest.raises(ValueError, match="a bar closes at inf in row 1, symbol 1"):
            MarketTensors.of(panel, torch.float64)

    def test_delisting_is_seen_from_the_row_after_the_last_bar_on(self) -> None:
        prices = np.array([[10.0], [10.0], [np.nan], [np.nan]])
        market = MarketTensors.of(make_panel(prices, prices, ended=np.array([True])), torch.float32)
        assert market.at(torch.arange(4)).bar.delisted[:, 0].tolist() == [False, False, True, True]


class TestWhatIsKnownWhen:
    def test_at_an_open_volatility_and_traded_value_are_those_of_the_close_before(self) -> None:
        panel = panel_with_everything(5)
        bar = MarketTensors.of(panel, torch.float64).at(torch.arange(panel.rows)).bar
        assert bar.volatility[0].isnan().all()
        np.testing.assert_array_equal(bar.volatility[1:].numpy(), panel.volatility[:-1])
        np.testing.assert_array_equal(bar.traded_value[1:].numpy(), panel.traded_value[:-1])

    def test_at_a_close_the_latest_volatility_is_that_of_the_row_and_0_where_unknown(self) -> None:
        panel = panel_with_everything(5)
        np.testing.assert_allclose(
            MarketTensors.of(panel, torch.float64).latest_volatility.numpy(), np.nan_to_num(panel.volatility), rtol=1e-6
        )

    def test_at_a_close_forecasts_and_embeddings_are_those_of_the_row(self) -> None:
        panel = panel_with_everything(5)
        market = MarketTensors.of(panel, torch.float32)
        np.testing.assert_array_equal(market.forecast.numpy(), panel.forecast)
        np.testing.assert_array_equal(market.embedding.numpy(), panel.embedding)
        assert market.widths == MarketWidths(context=2, forecast=2, embedding=3)

    def test_without_a_forecaster_both_have_no_columns(self) -> None:
        prices = np.full((3, 2), 10.0)
        market = MarketTensors.of(make_panel(prices, prices), torch.float32)
        assert tuple(market.forecast.shape) == tuple(market.embedding.shape) == (3, 2, 0)


class TestClock:
    @pytest.mark.parametrize(
        ("moment", "day", "week", "year"),
        [
            ("2024-01-01T00:00", 0.0, 0.0, 0.0),
            ("2024-01-01T12:00", 0.5, 0.5 / 7, 0.5 / 366),
            ("2023-07-06T06:00", 0.25, 3.25 / 7, 186.25 / 365),
            ("2023-12-31T18:00", 0.75, 6.75 / 7, 364.75 / 365),
        ],
        ids=["monday-new-year", "noon", "thursday-in-july", "last-evening"],
    )
    def test_turns_of_day_week_and_year(self, moment: str, day: float, week: float, year: float) -> None:
        close = np.array([moment], dtype="datetime64[us]")
        panel = make_panel(np.full((1, 1), 10.0), np.full((1, 1), 10.0), open_time=close - np.timedelta64(1, "D"))
        clock = MarketTensors.of(panel, torch.float32).clock[0]
        expected = [part(2 * np.pi * turn) for turn in (day, week, year) for part in (np.sin, np.cos)]
        assert clock.tolist() == pytest.approx(expected, abs=1e-6)


def test_rows_that_are_not_there_are_refused() -> None:
    table = torch.arange(8.0).view(4, 2)
    assert torch.equal(gathered_rows(table, torch.tensor([3, 0, 3])), table[[3, 0, 3]])
    for row in (4, -1):
        for dtype in (torch.float32, torch.float64):
            with pytest.raises(IndexError):
                gathered_rows(table.to(dtype), torch.tensor([0, row]))
