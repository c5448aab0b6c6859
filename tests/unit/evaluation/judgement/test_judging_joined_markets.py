"""A challenger in a universe of several markets: costs by symbol, and years counted on the span a figure is about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from toto_ops.configuration import Settings
from toto_ops.evaluation.judgement.evidence import Evidence
from toto_ops.evaluation.judgement.judge import Circumstances, judge
from toto_ops.evaluation.statistics.significance import significance_of
from toto_ops.features.moments import to_aware
from toto_ops.features.panel import Panel
from toto_ops.learning.splits import SplitConfig, Splits, make_splits
from toto_ops.market.calendars import rows_per_year
from toto_ops.simulation.backtest import run_backtests
from toto_ops.simulation.rules import TradingRules
from toto_ops.universes import load_universes

MULTI = load_universes(Settings()).universe("multi")


@pytest.fixture(scope="module")
def joined(panel: Panel) -> Panel:
    """A share and a coin whose rows lie twelve hours apart until the test span begins, and a day apart from then on."""
    hours = np.cumsum(np.where(np.arange(panel.rows) < 500, 12, 24)) * np.timedelta64(1, "h")
    opens = panel.open_time[0] + hours
    return replace(panel, parts=("stocks", "crypto"), open_time=opens, close_time=opens + np.timedelta64(6, "h"))


@pytest.fixture(scope="module")
def spans(joined: Panel) -> Splits:
    train, validation = to_aware(joined.close_time[[300, 499]])
    return make_splits(joined.close_time, SplitConfig(train_until=train, validation_until=validation))


@pytest.fixture(scope="module")
def evidence(joined, spans, gates, candidate, trials_of) -> Evidence:
    circumstances = Circumstances(
        retrain_id="r", as_of=to_aware(joined.close_time[-1:])[0], data_hash="d", openings=1, trials=trials_of(6)
    )
    return judge(joined, MULTI, spans, gates, circumstances, challenger=candidate("bc"), fallback=candidate("fallback"))


def test_every_symbol_has_the_costs_of_its_market(joined, spans, evidence, candidate):
    test = joined.between(spans.test.after, spans.test.until)
    rules = TradingRules.of(MULTI, joined.parts)
    (alone,) = run_backtests(test, [candidate("bc").entrant(rules)])
    assert alone.costs[:, 1].sum() > 0
    assert evidence.challenger.performance.total_return.value == pytest.approx(alone.total_return)


def test_the_test_span_has_the_years_of_its_own_rows(joined, spans, evidence):
    test = joined.between(spans.test.after, spans.test.until)
    assert evidence.periods_per_year == rows_per_year(MULTI, test.open_time) == pytest.approx(365.25, rel=0.01)


def test_the_scatter_of_trials_is_that_of_the_span_they_were_tried_on(joined, spans, evidence, trials_of):
    validation, test = (joined.between(span.after, span.until) for span in (spans.validation, spans.test))
    tried_at = rows_per_year(MULTI, validation.open_time)
    assert tried_at == pytest.approx(2 * 365.25, rel=0.01)
    equity = np.asarray(evidence.challenger.curve.equity)
    expected = significance_of(
        equity[1:] / equity[:-1] - 1.0,
        trials_of(6),
        earlier_openings=0,
        periods_per_year=rows_per_year(MULTI, test.open_time),
        trial_periods_per_year=tried_at,
    )
    assert evidence.significance.trial_deviation == pytest.approx(expected.trial_deviation)
    by_chance = np.sqrt(evidence.periods_per_year / (evidence.significance.bars - 1))
    assert evidence.significance.trial_deviation > by_chance, "else any count of rows would do"
