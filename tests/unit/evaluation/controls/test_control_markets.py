"""Made markets: what is in them, and that nothing else is."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from toto_ops.errors import InsufficientDataError
from toto_ops.evaluation.controls.markets import (
    MONEY_TRADED,
    USUAL_VOLATILITY,
    AssetClass,
    Legs,
    PlantedTrends,
    random_walk,
    real_legs,
    shuffled,
)
from toto_ops.market.sources import SAMPLE_FOLDER, CsvFolders

TRENDS = PlantedTrends(drift=0.006, noise=0.02, turn=1 / 60)
CLASSES: tuple[AssetClass, ...] = ("stock", "crypto")


def days(count: int) -> pl.Series:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    return pl.Series([start + timedelta(days=day) for day in range(count)], dtype=pl.Datetime("us", "UTC"))


def open_to_open(legs: Legs) -> NDArray[np.float64]:
    """What a position earns: the body of one bar and the gap of the next."""
    return (1 + legs.body[:-1]) * (1 + legs.gap[1:]) - 1


@pytest.fixture(params=["planted", "random walk", "shuffled"])
def legs(request: pytest.FixtureRequest) -> Legs:
    generator = np.random.default_rng(1)
    made = {
        "planted": lambda: TRENDS.legs(400, 3, generator)[0],
        "random walk": lambda: random_walk(400, 3, 0.03, generator),
        "shuffled": lambda: shuffled(real_legs("crypto", 3)[1], 400, generator),
    }
    return made[request.param]()


def test_prices_follow_from_returns_and_shapes(legs: Legs) -> None:
    bars = legs.bars(("A", "B", "C"), days(400))
    assert np.allclose(bars.open[1:] / bars.close[:-1] - 1, legs.gap[1:])
    assert np.allclose(bars.close / bars.open - 1, legs.body)
    assert (bars.high >= np.maximum(bars.open, bars.close) * (1 - 1e-12)).all()
    assert (bars.low <= np.minimum(bars.open, bars.close) * (1 + 1e-12)).all()
    assert (bars.low > 0).all()
    assert np.allclose(bars.volume * bars.close, MONEY_TRADED * legs.activity)


def test_a_market_is_what_ingest_reads(legs: Legs, tmp_path: Path) -> None:
    bars = legs.bars(("A", "B", "C"), days(400))
    bars.write(tmp_path / "base", volume_unit="base")
    bars.write(tmp_path / "quote", volume_unit="quote")
    read, quoted = (CsvFolders.open(tmp_path / unit).read("B") for unit in ("base", "quote"))
    assert read["timestamp"].to_list() == bars.open_time.to_list()
    for name in ("open", "high", "low", "close", "volume"):
        assert np.allclose(read[name].to_numpy(), getattr(bars, name)[:, 1], rtol=1e-12), name
    assert np.allclose(quoted["volume"], read["volume"] * read["close"])


def test_planted_trends_drift_as_their_direction_says() -> None:
    legs, rising = TRENDS.legs(100_000, 4, np.random.default_rng(2))
    returns = np.log1p(legs.body)
    assert returns[rising].mean() == pytest.approx(TRENDS.drift, abs=4 * TRENDS.noise / np.sqrt(rising.sum()))
    assert returns[~rising].mean() == pytest.approx(-TRENDS.drift, abs=4 * TRENDS.noise / np.sqrt(rising.sum()))
    assert returns[rising].std() == pytest.approx(TRENDS.noise, rel=0.01)
    assert np.mean(rising[1:] != rising[:-1]) == pytest.approx(TRENDS.turn, rel=0.05)
    assert rising.mean() == pytest.approx(0.5, abs=0.05)


def test_no_bar_of_a_random_walk_of_stocks_passes_for_an_unadjusted_split() -> None:
    walk = random_walk(200_000, 2, USUAL_VOLATILITY["stock"], np.random.default_rng(4))
    assert np.abs(np.log1p(walk.body)).max() < 0.9 * np.log(3 / 2), "where the checks of quality begin to see a split of 3:2"
    assert walk.body.std() == pytest.approx(USUAL_VOLATILITY["stock"], rel=0.15)


def test_the_next_return_of_a_random_walk_has_mean_zero_whatever_came_before() -> None:
    returns = open_to_open(random_walk(200_000, 2, 0.03, np.random.default_rng(3)))
    assert returns.std() == pytest.approx(0.03, rel=0.05)
    after_rise, after_fall = (returns[1:][side] for side in (returns[:-1] > 0, returns[:-1] < 0))
    for some in (returns, after_rise, after_fall):
        assert abs(some.mean()) < 4 * some.std() / np.sqrt(some.size)
    assert np.corrcoef(returns.T)[0, 1] == pytest.approx(0.5, abs=0.1), "symbols have half of their variance in common"
    tails = np.mean((returns - returns.mean()) ** 4) / returns.var() ** 2
    assert tails > 4, "tails fatter than normal"


@pytest.mark.parametrize("asset_class", CLASSES)
def test_real_bars_keep_their_returns(asset_class: AssetClass) -> None:
    symbols, legs = real_legs(asset_class, 5)
    folder = SAMPLE_FOLDER / {"stock": "daily_stocks", "crypto": "daily_crypto"}[asset_class]
    real = CsvFolders.open(folder).read(symbols[0]).tail(200)
    change = (real["close"] / real["close"].shift(1)).to_numpy()[1:]
    assert np.allclose((1 + legs.gap[-199:, 0]) * (1 + legs.body[-199:, 0]), change)
    assert np.allclose((real["open"] / real["close"].shift(1)).to_numpy()[1:] - 1, legs.gap[-199:, 0])
    assert len(legs.gap) >= 2000


def test_too_few_bundled_symbols_are_an_error() -> None:
    with pytest.raises(InsufficientDataError, match="7 symbols are bundled, 9 are needed"):
        real_legs("stock", 9)


@pytest.mark.parametrize("asset_class", CLASSES)
def test_shuffled_bars_are_real_bars_without_mean_and_order(asset_class: AssetClass) -> None:
    _, real = real_legs(asset_class, 4)
    whole = shuffled(real, len(real.body), np.random.default_rng(4))
    assert np.allclose(whole.body.mean(axis=0), 0, atol=1e-15)
    assert np.allclose(whole.gap.mean(axis=0), 0, atol=1e-15)

    drawn = shuffled(real, 500, np.random.default_rng(4))
    assert np.array_equal(drawn.body, whole.body[:500])
    # Every row is one real day of all symbols, means aside, and no day is drawn twice.
    days_drawn = {tuple(row) for row in np.round(np.hstack([drawn.body + real.body.mean(axis=0), drawn.above]), 9)}
    real_days = {tuple(row) for row in np.round(np.hstack([real.body, real.above]), 9)}
    assert len(days_drawn) == 500
    assert days_drawn <= real_days


def test_money_earned_on_shuffled_bars_has_mean_zero() -> None:
    _, real = real_legs("stock", 5)
    earned = np.concatenate([open_to_open(shuffled(real, 2000, np.random.default_rng(seed))) for seed in range(50)])
    assert (np.abs(earned.mean(axis=0)) < 4 * earned.std(axis=0) / np.sqrt(len(earned))).all()
    assert open_to_open(real).mean() > 5 * np.abs(earned.mean(axis=0)).max(), "the real ones rose"


@pytest.mark.parametrize(
    "make", [lambda g: TRENDS.legs(50, 2, g)[0], lambda g: random_walk(50, 2, 0.02, g)], ids=["planted", "walk"]
)
def test_a_market_is_a_function_of_its_seed(make) -> None:  # type: ignore[no-untyped-def]
    one, same, other = (make(np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(one.body, same.body)
    assert not np.array_equal(one.body, other.body)
