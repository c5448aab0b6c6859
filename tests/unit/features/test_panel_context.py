"""What the panel says of a symbol beyond its own 30 features: context, volatility, traded value."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tests.unit.features.bar_histories import DAILY, bars_of, random_bars
from toto_ops.features.compute import FeatureConfig, compute_features
from toto_ops.features.context import CONTEXT_FEATURES
from toto_ops.features.correlations import CorrelationConfig, correlations
from toto_ops.features.panel import Panel
from toto_ops.features.panel_builder import build_panel
from toto_ops.features.trends import TREND_FEATURES

SYMBOLS = ("S0", "S1", "S2")


@pytest.fixture(scope="module")
def features() -> pl.DataFrame:
    """S1 pauses for ten bars, S2 ends twenty bars early."""
    tables = [random_bars(seed, 220, symbol) for seed, symbol in enumerate(SYMBOLS)]
    tables[1] = pl.concat([tables[1].head(-50), tables[1].tail(40)])
    tables[2] = tables[2].head(-20)
    return compute_features(pl.concat(tables), DAILY, None, FeatureConfig())


@pytest.fixture(scope="module")
def panel(features: pl.DataFrame) -> Panel:
    return build_panel(features, SYMBOLS)


def own(features: pl.DataFrame, panel: Panel, symbol: int, name: str) -> np.ndarray:
    """A column of one symbol on the rows of the panel; NaN where it has no bar."""
    mine = features.filter(pl.col("symbol") == panel.symbols[symbol])
    grid = pl.DataFrame({"open_time": panel.open_time}).with_columns(pl.col("open_time").dt.replace_time_zone("UTC"))
    return grid.join(mine, on="open_time", how="left", maintain_order="left")[name].cast(pl.Float64).to_numpy()


def test_context_has_the_announced_names_and_says_nothing_where_masked(panel: Panel) -> None:
    assert panel.context_names == CONTEXT_FEATURES
    assert panel.context.shape == (panel.rows, 3, len(CONTEXT_FEATURES))
    assert panel.context.dtype == np.float32
    assert not panel.context[~panel.mask].any()
    assert np.isfinite(panel.context).all()


@pytest.mark.parametrize("name", [*TREND_FEATURES, "log_volatility"])
def test_a_symbol_s_own_context_is_that_of_its_bar(features: pl.DataFrame, panel: Panel, name: str) -> None:
    for a in range(3):
        mask = panel.mask[:, a]
        expected = own(features, panel, a, name).astype(np.float32)
        np.testing.assert_array_equal(panel.context[mask, a, CONTEXT_FEATURES.index(name)], expected[mask])


def test_exactly_one_trend_regime_at_each_close(panel: Panel) -> None:
    trend = panel.context[..., [CONTEXT_FEATURES.index(name) for name in TREND_FEATURES]]
    assert (trend[panel.mask].sum(axis=-1) == 1).all()


def test_correlations_are_those_of_all_rows_so_far(features: pl.DataFrame, panel: Panel) -> None:
    """Also of bars before the first row of the panel, which no symbol can be decided on."""
    opens = features["open_time"].unique().sort()
    returns = np.stack(
        [
            pl.DataFrame({"open_time": opens}).join(
                features.filter(pl.col("symbol") == symbol), on="open_time", how="left", maintain_order="left"
            )["return_1"].cast(pl.Float64).to_numpy()
            for symbol in SYMBOLS
        ],
        axis=1,
    )  # fmt: skip
    expected = correlations(returns, CorrelationConfig())
    for name, values in (("market_correlation", expected.market), ("mean_correlation", expected.mean)):
        found = panel.context[..., CONTEXT_FEATURES.index(name)]
        np.testing.assert_array_equal(found, np.where(panel.mask, values[-panel.rows :], 0))


@pytest.mark.parametrize("name", ["volatility", "traded_value"])
def test_the_latest_known_value_is_carried_over_rows_without_a_bar(features: pl.DataFrame, panel: Panel, name: str) -> None:
    paused = ~panel.mask
    assert paused[:, 1].sum() >= 10
    assert paused[-20:, 2].all()
    for a in range(3):
        on_its_bars = pl.Series(own(features, panel, a, name)).fill_nan(None)
        before = features.filter((pl.col("symbol") == panel.symbols[a]) & (pl.col("open_time") < opened(panel)))[
            name
        ].drop_nulls()
        carried = pl.concat([before.tail(1), on_its_bars]).forward_fill().tail(panel.rows)
        np.testing.assert_array_equal(getattr(panel, name)[:, a], carried.to_numpy())


def opened(panel: Panel) -> pl.Expr:
    return pl.lit(panel.open_time[0].item()).dt.replace_time_zone("UTC")


def test_a_symbol_without_history_has_neither_volatility_nor_traded_value() -> None:
    wavy = 100 + np.sin(np.arange(150))
    table = compute_features(pl.concat([bars_of("AA", wavy), bars_of("BB", wavy).tail(15)]), DAILY, None, FeatureConfig())
    panel = build_panel(table, ("AA", "BB"))
    assert np.isnan(panel.volatility[:, 1]).all()
    assert np.isnan(panel.traded_value[:, 1]).all()
    assert np.isfinite(panel.volatility[:, 0]).all()


def test_volatility_is_the_deviation_of_the_latest_twenty_returns(panel: Panel, features: pl.DataFrame) -> None:
    row = panel.rows - 30
    assert panel.mask[row, 0]
    so_far = pl.col("open_time") <= pl.lit(panel.open_time[row].item()).dt.replace_time_zone("UTC")
    closes = features.filter((pl.col("symbol") == "S0") & so_far)["close"].to_numpy()
    assert panel.volatility[row, 0] == pytest.approx(np.diff(np.log(closes))[-20:].std(), rel=1e-6)


def test_how_fast_correlations_forget_is_a_setting(features: pl.DataFrame, panel: Panel) -> None:
    slow = build_panel(features, SYMBOLS, CorrelationConfig(decay=0.99))
    differing = [
        name for g, name in enumerate(CONTEXT_FEATURES) if not np.array_equal(slow.context[..., g], panel.context[..., g])
    ]
    assert differing == ["market_correlation", "mean_correlation"]
