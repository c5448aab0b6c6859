"""Data health falls with each kind of fault, by as much as configured, and recovers when the fault leaves the window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from toto_ops.market.calendars import expected_open_times
from toto_ops.market.health import Fault, HealthConfig, calendar_rows, data_health
from toto_ops.market.schema import BAR_SCHEMA
from toto_ops.universes import Costs, SampleSource, Universe

START = datetime(2024, 1, 2, tzinfo=UTC)
WINDOW = 10
CONFIG = HealthConfig(
    window=WINDOW,
    missing=Fault(weight=0.2),
    untraded=Fault(weight=0.2),
    stale=Fault(weight=0.2),
    jump=Fault(weight=0.2, intolerable=0.2),
    no_sentiment=Fault(weight=0.2, intolerable=1.0),
    jump_multiple=8.0,
    jump_history=5,
)
"""Each fault can take away a fifth; one bar in ten takes 0.04 of it, a jump 0.1."""


def universe(calendar: str, bar: str = "1d") -> Universe:
    return Universe(
        name="tried",
        asset_class="crypto",
        bar=bar,
        source=SampleSource(folder="daily_crypto"),
        calendar=calendar,
        periods_per_year=365,
        cadence="0 6 1 * *",
        costs=Costs(commission=0.0),
        volume_unit="base",
        adjustment="none",
    )


ALWAYS, NEW_YORK = universe("24/7"), universe("XNYS")


def sound_bars(length: int = 40, symbol: str = "AA", on: Universe = ALWAYS) -> pl.DataFrame:
    """Bars without any fault: prices wave, volume is there, sentiment is known."""
    close = 100 * np.exp(0.01 * (-1.0) ** np.arange(length))
    opens = expected_open_times(on, START, START + timedelta(days=2 * length + 5)).head(length)
    columns = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": np.full(length, 9.0)}
    table = pl.DataFrame({"open_time": opens, "close_time": opens + on.bar_length} | columns, schema=BAR_SCHEMA)
    return table.select(pl.lit(symbol).alias("symbol"), pl.all(), has_sentiment=pl.lit(value=True))


def health(bars: pl.DataFrame, on: Universe = ALWAYS) -> list[float]:
    series = data_health(bars, on, CONFIG)
    assert series.is_between(0, 1).all()
    return series.to_list()


def at_row(row: int, value: pl.Expr, *columns: str) -> list[pl.Expr]:
    here = pl.int_range(pl.len()) == row
    return [pl.when(here).then(value).otherwise(column).alias(column) for column in columns]


def test_sound_bars_are_perfectly_healthy_from_the_first_on() -> None:
    assert health(sound_bars()) == pytest.approx([1.0] * 40)


def test_a_missing_bar_lowers_health_until_it_leaves_the_window() -> None:
    values = health(pl.concat([sound_bars().head(20), sound_bars().slice(21)]))
    assert values[19] == pytest.approx(1.0)
    # Ten bars over eleven expected: 1/11 missing, against an intolerable half, of a fifth of the index.
    assert values[20] == pytest.approx(1 - 0.2 * (1 / 11) / 0.5)
    assert values[28] == pytest.approx(values[20])
    assert values[29] == pytest.approx(1.0)


def test_a_bar_without_volume_lowers_health_while_it_is_in_the_window() -> None:
    values = health(sound_bars().with_columns(at_row(20, pl.lit(0.0), "volume")))
    assert [round(value, 6) for value in values] == [1.0] * 20 + [0.96] * 10 + [1.0] * 10


def test_a_standing_price_is_stale_only_if_nothing_moved_within_the_bar_either() -> None:
    same = pl.col("close").shift(1)
    stale = sound_bars().with_columns(at_row(20, same, "open", "high", "low", "close"))
    moving = sound_bars().with_columns(at_row(20, same, "open", "close"))
    assert health(stale)[20] == pytest.approx(0.96)
    assert health(moving)[20] == pytest.approx(1.0)


def test_a_jump_far_beyond_the_moves_before_it_lowers_health() -> None:
    later = pl.int_range(pl.len()) >= 20
    jumped = sound_bars().with_columns(
        pl.when(later).then(pl.col(name) * 2).otherwise(name).alias(name) for name in ("high", "low", "close")
    )
    values = health(jumped)
    assert values[19] == pytest.approx(1.0)
    assert values[20:30] == pytest.approx([0.9] * 10)
    assert values[30] == pytest.approx(1.0)


def test_the_same_move_is_no_jump_in_a_market_that_moves_like_that() -> None:
    close = 100 * np.exp(np.cumsum(0.5 * (-1.0) ** np.arange(40)))
    wild = sound_bars().with_columns(close=close, high=close * 1.1, low=close * 0.9)
    assert health(wild) == pytest.approx([1.0] * 40)


def test_no_sentiment_costs_its_weight_at_that_bar_alone() -> None:
    values = health(sound_bars().with_columns(at_row(20, pl.lit(value=False), "has_sentiment")))
    assert values[20] == pytest.approx(0.8)
    assert values[21] == pytest.approx(1.0)


def test_an_intolerable_share_takes_all_there_is_to_take_and_no_more() -> None:
    dead = sound_bars().with_columns(volume=pl.lit(0.0))
    assert health(dead)[-1] == pytest.approx(0.8)
    worthless = dead.with_columns(pl.lit(5.0).alias(name) for name in ("open", "high", "low", "close"))
    worthless = worthless.with_columns(has_sentiment=pl.lit(value=False))
    assert health(worthless)[-1] == pytest.approx(0.4)


def test_sessions_an_exchange_does_not_hold_are_not_missed() -> None:
    bars = sound_bars(on=NEW_YORK)
    assert health(bars, NEW_YORK) == pytest.approx([1.0] * 40)
    assert min(health(bars, ALWAYS)) < 0.9


def test_a_symbol_does_not_inherit_the_faults_of_the_one_before_it() -> None:
    ill = sound_bars(symbol="AA").with_columns(volume=pl.lit(0.0), close=pl.col("close") * 1e6)
    values = health(pl.concat([ill, sound_bars(symbol="BB")]))
    assert values[40:] == pytest.approx([1.0] * 40)


def test_health_at_a_bar_does_not_depend_on_later_bars() -> None:
    bars = sound_bars().with_columns(at_row(25, pl.col("close") * 3, "close")).with_columns(at_row(12, pl.lit(0.0), "volume"))
    assert health(bars.head(24)) == health(bars)[:24]


@pytest.mark.parametrize("on", [ALWAYS, universe("24/7", "1h"), NEW_YORK, universe("XNYS", "30m")])
def test_calendar_rows_count_expected_bars(on: Universe) -> None:
    opens = expected_open_times(on, START, START + timedelta(days=30))
    rows = calendar_rows(opens, on)
    assert (np.diff(rows) == 1).all()
    assert np.diff(calendar_rows(opens.gather([0, 1, 5]), on)).tolist() == [1, 4]


@pytest.mark.parametrize(
    "settings",
    [
        {"window": 10, "jump_history": 20},
        {name: Fault(weight=0) for name in ("missing", "untraded", "stale", "jump", "no_sentiment")},
        {"missing": {"weight": -0.1}},
        {"windw": 10},
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(settings: dict) -> None:
    with pytest.raises(ValidationError):
        HealthConfig(**settings)
