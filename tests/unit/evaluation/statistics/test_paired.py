from __future__ import annotations

import numpy as np
import pytest

from toto_ops.evaluation.statistics.bootstrap import BootstrapConfig, paired_difference
from toto_ops.evaluation.statistics.metrics import log_returns, sharpe_ratio
from toto_ops.evaluation.statistics.paired import paired_differences

GENERATOR = np.random.default_rng(6)
MARKET = GENERATOR.normal(0.0005, 0.02, 300)
BETTER = MARKET + GENERATOR.normal(0.0010, 0.002, 300)
CONFIG = BootstrapConfig(samples=300, block_length=10)


def compare(challenger, others, year=365.0, config=CONFIG):
    return paired_differences(challenger, others, periods_per_year=year, config=config)


def test_all_at_once_are_the_paired_bootstraps_of_each():
    others = {"market": MARKET, "inverse": -MARKET, "half": 0.5 * MARKET}
    for compared in compare(BETTER, others):
        other = others[compared.against]
        growth = paired_difference(lambda values: log_returns(values).mean(axis=-1) * 365, BETTER, other, CONFIG)
        sharpe = paired_difference(lambda values: sharpe_ratio(values, 365), BETTER, other, CONFIG)
        for found, expected in ((compared.mean_log_return, growth), (compared.sharpe, sharpe)):
            assert [found.value, found.low, found.high] == pytest.approx(
                [expected.value, expected.low, expected.high], rel=1e-9, abs=1e-12
            )


def test_a_small_advantage_shows_once_the_market_cancels():
    (compared,) = compare(BETTER, {"market": MARKET})
    assert compared.bars == 300
    assert 0 < compared.mean_log_return.low < 365 * 0.0010 < compared.mean_log_return.high


def test_nobody_is_ahead_of_himself():
    (compared,) = compare(MARKET, {"himself": MARKET})
    assert (compared.sharpe.low, compared.sharpe.value, compared.sharpe.high) == (0.0, 0.0, 0.0)


def test_cash_counts_as_a_sharpe_ratio_of_zero():
    (compared,) = compare(BETTER, {"cash": np.zeros(300)})
    assert compared.sharpe.value == pytest.approx(float(sharpe_ratio(BETTER, 365)))


def test_ruin_is_so_far_behind_that_no_other_bar_makes_up_for_it():
    ruined = np.concatenate([MARKET[:100], [-1.0], np.zeros(199)])
    (compared,) = compare(ruined, {"market": MARKET})
    assert np.isfinite(compared.mean_log_return.low)
    assert compared.mean_log_return.value < -100


def test_series_of_other_bars_are_named():
    with pytest.raises(ValueError, match=r"same 300 bars.*short"):
        compare(BETTER, {"market": MARKET, "short": MARKET[:-1]})


def test_nobody_to_compare_with_is_an_empty_table():
    assert compare(BETTER, {}) == ()
