"""What a policy is shown: exactly what is known at the close where its account stands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.simulation.market_paths import make_panel, make_rules
from tests.unit.simulation.rich_panels import panel_with_everything
from toto_ops.errors import ConfigError
from toto_ops.features.panel import Panel
from toto_ops.simulation.market_tensors import MarketTensors
from toto_ops.simulation.observation import Observation
from toto_ops.simulation.observation_schema import (
    CLOCK_FEATURES,
    FIELDS,
    MARKET,
    PORTFOLIO_FEATURES,
    STATE,
    ObservationSchema,
    observation_schema,
    schema_for,
)
from toto_ops.simulation.observe import observe
from toto_ops.simulation.portfolio import PortfolioState, initial_state

RULES = make_rules()


def accounts(batch: int, assets: int, seed: int) -> PortfolioState:
    """Accounts with positions of both sides, some of them under water."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)

    return initial_state(batch, assets)._replace(
        cash=uniform(0.1, 2.0, batch),
        units=uniform(-0.01, 0.02, batch, assets),
        mark=uniform(20.0, 60.0, batch, assets),
        entry=uniform(20.0, 60.0, batch, assets),
        days_since_trade=uniform(0.0, 50.0, batch, assets),
        peak=uniform(1.0, 3.0, batch),
    )


def one(state: PortfolioState, account: int) -> PortfolioState:
    return PortfolioState(*(tensor[account : account + 1] for tensor in state))


def market_of(panel: Panel) -> MarketTensors:
    return MarketTensors.of(panel, torch.float64)


class TestFields:
    @given(seed=st.integers(0, 1000))
    def test_accounts_at_rows_of_their_own_see_what_each_would_see_alone(self, seed: int) -> None:
        market = market_of(panel_with_everything(seed))
        rows = torch.randint(market.rows, (7,), generator=torch.Generator().manual_seed(seed))
        state = accounts(7, market.assets, seed)
        together = observe(market, rows, state, RULES, MARKET.fields).tensors()
        for account, row in enumerate(rows.tolist()):
            alone = observe(market, row, one(state, account), RULES, MARKET.fields).tensors()
            assert alone.keys() == together.keys()
            for name, tensor in alone.items():
                torch.testing.assert_close(together[name][account], tensor[0], rtol=0, atol=0)

    def test_every_field_has_the_shape_its_schema_says_and_is_finite(self) -> None:
        market = market_of(panel_with_everything(2))
        observation = observe(market, 20, accounts(4, market.assets, 1), RULES, MARKET.fields).tensors()
        assert list(observation) == list(FIELDS) == list(MARKET.fields)
        for name, tensor in observation.items():
            assert tuple(tensor.shape) == (4, *FIELDS[name].shape(market.assets, market.widths)), name
            assert tensor.numel() > 0, name
            assert tensor.dtype == (torch.bool if name == "mask" else torch.float32), name
            assert tensor.isfinite().all(), name

    def test_only_what_is_asked_for_is_there_beside_the_state(self) -> None:
        market = market_of(panel_with_everything(2))
        state = accounts(1, market.assets, 1)
        assert list(observe(market, 3, state, RULES).tensors()) == list(STATE.fields)
        assert list(observe(market, 3, state, RULES, ("clock",)).tensors()) == [*STATE.fields, "clock"]

    def test_the_portfolio_as_a_whole(self) -> None:
        panel = make_panel(np.full((2, 2), 10.0), np.full((2, 2), 10.0))
        state = initial_state(1, 2)._replace(
            cash=torch.tensor([0.5], dtype=torch.float64),
            units=torch.tensor([[0.10, -0.05]], dtype=torch.float64),
            mark=torch.tensor([[10.0, 10.0]], dtype=torch.float64),
            entry=torch.tensor([[8.0, 12.0]], dtype=torch.float64),
            peak=torch.tensor([2.0], dtype=torch.float64),
        )
        seen = observe(MarketTensors.of(panel, torch.float64), 1, state, RULES, MARKET.fields)
        assert seen.portfolio is not None
        assert seen.allocation is not None
        # Equity is 0.5 + 1 - 0.5 = 1: half in cash, long 1, short 0.5, half of its peak; won 0.2 and 0.1.
        assert dict(zip(PORTFOLIO_FEATURES, seen.portfolio[0].tolist(), strict=True)) == pytest.approx(
            {"cash_ratio": 0.5, "balance_ratio": 1.0, "gross": 1.5, "net": 0.5, "drawdown": 0.5, "open_profit": 0.3}
        )
        assert seen.allocation[0].tolist() == pytest.approx([1.0, -0.5])

    def test_a_ruined_account_still_sees_numbers(self) -> None:
        market = market_of(panel_with_everything(2))
        ruined = accounts(1, market.assets, 1)._replace(cash=torch.tensor([-5.0], dtype=torch.float64))
        assert all(tensor.isfinite().all() for tensor in observe(market, 5, ruined, RULES, MARKET.fields).tensors().values())

    def test_a_field_that_does_not_exist_is_refused(self) -> None:
        market = market_of(panel_with_everything(2))
        with pytest.raises(ValueError, match="unknown observation field 'weather'"):
            observe(market, 3, accounts(1, market.assets, 1), RULES, ("weather",))


class TestNothingFromTheFuture:
    @pytest.mark.parametrize("row", [0, 7, 39])
    def test_what_stands_in_later_rows_changes_nothing(self, row: int) -> None:
        panel = panel_with_everything(3)
        state, later = accounts(1, len(panel.symbols), 1), np.arange(panel.rows) > row

        def garbled(values: np.ndarray) -> np.ndarray:
            return np.where(later.reshape(-1, *[1] * (values.ndim - 1)), 1e6, values).astype(values.dtype)

        everything = ("features", "context", "volatility", "traded_value", "forecast", "embedding", "open", "close")
        changed = replace(panel, **{name: garbled(getattr(panel, name)) for name in everything})
        for at in (row, torch.tensor([row])):
            known = observe(market_of(panel), at, state, RULES, MARKET.fields).tensors()
            again = observe(market_of(changed), at, state, RULES, MARKET.fields).tensors()
            assert all(torch.equal(known[name], again[name]) for name in known)

    def test_a_stamped_panel_shows_the_stamp_of_the_row(self) -> None:
        panel = make_panel(np.full((9, 2), 10.0), np.full((9, 2), 10.0))
        panel.features[:] = np.arange(9)[:, None, None]
        rows = torch.tensor([5, 0, 8])
        seen = observe(MarketTensors.of(panel, torch.float32), rows, initial_state(3, 2, dtype=torch.float32), RULES)
        assert (seen.market == rows.view(-1, 1, 1)).all()


class TestSchemas:
    def test_names_of_columns_are_as_many_as_the_columns(self) -> None:
        assert len(CLOCK_FEATURES) == MarketTensors.of(panel_with_everything(1), torch.float32).clock.shape[1]
        assert list(FIELDS) == list(Observation._fields)

    def test_a_policy_gets_the_smallest_schema_that_holds_its_inputs(self) -> None:
        assert schema_for(("market", "mask")) is STATE
        assert schema_for(("market", "clock")) is MARKET
        with pytest.raises(ValueError, match="no observation schema holds"):
            schema_for(("marked",))

    def test_a_schema_is_found_by_name_and_version(self) -> None:
        assert observation_schema("state34/1") is STATE
        with pytest.raises(ConfigError, match="unknown observation schema 'state34/2'"):
            observation_schema("state34/2")

    def test_a_schema_names_fields_in_their_order(self) -> None:
        with pytest.raises(ValueError, match="in the order of"):
            ObservationSchema("wrong/1", ("mask", "market"))

    def test_an_observation_is_taken_apart_by_name(self) -> None:
        observation = Observation(torch.zeros(1, 1, 30), torch.zeros(1, 1, 4), torch.ones(1, 1, dtype=torch.bool))
        assert [tensor.shape[-1] for tensor in observation.take(("mask", "market"))] == [1, 30]
        with pytest.raises(ValueError, match="lacks clock; it holds market, account, mask"):
            observation.take(("clock",))
