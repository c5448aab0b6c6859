"""The judge: one challenger, chosen on validation, against the gates on test bars it has never seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from toto_ops.evaluation.baselines.plans import REBALANCED
from toto_ops.evaluation.findings.accuracy import confusion_per_bar, directional, imitation
from toto_ops.evaluation.findings.documents import (
    DirectionalResult,
    ImitationResult,
    Plausibility,
    Target,
    Unit,
    VolatilityMatching,
)
from toto_ops.evaluation.findings.stress_spans import measure_stress_spans, stress_spans
from toto_ops.evaluation.findings.symbol_trades import symbol_trades
from toto_ops.evaluation.judgement.candidates import Candidate, refuse_look_ahead
from toto_ops.evaluation.judgement.caveats import contamination_caveats, market_caveats, power_caveats
from toto_ops.evaluation.judgement.champion import against_champion
from toto_ops.evaluation.judgement.contest import Contest, hold_contest
from toto_ops.evaluation.judgement.criteria import (
    Confirmation,
    SpanLength,
    absolute_criteria,
    benchmark_criterion,
    champion_criterion,
    contamination_criterion,
    directional_criterion,
    imitation_criteria,
    informing_criteria,
    luck_criteria,
    plausibility_alarms,
)
from toto_ops.evaluation.judgement.evidence import Criterion, Evidence, verdict_of
from toto_ops.evaluation.judgement.gates import Aim, GateConfig, Targets
from toto_ops.evaluation.judgement.scoreboard import Scoreboard
from toto_ops.evaluation.statistics.bootstrap import Estimate
from toto_ops.evaluation.statistics.metrics import sharpe_ratio
from toto_ops.evaluation.statistics.overfitting_probability import OverfittingProbability, overfitting_probability_of
from toto_ops.evaluation.statistics.performance import Performance
from toto_ops.evaluation.statistics.significance import SharpeSample, Significance, probabilistic_sharpe, significance_of
from toto_ops.features.moments import to_aware
from toto_ops.features.panel import Panel
from toto_ops.learning.splits import Span, Splits
from toto_ops.market.calendars import rows_per_year
from toto_ops.simulation.backtest import BacktestResult, run_backtests
from toto_ops.simulation.rules import TradingRules
from toto_ops.storage.hashing import value_hash
from toto_ops.training.ledger import Trial
from toto_ops.universes import Universe


@dataclass(frozen=True)
class Circumstances:
    """What the evidence must state beyond the policies and the bars.

    Attributes
    ----------
    openings
        Looks at overlapping test bars so far, this one included (`TrialLedger.openings`).
    trials
        The universe's trial ledger.
    """

    retrain_id: str
    as_of: datetime
    data_hash: str
    openings: int
    trials: Sequence[Trial]


def judge(
    panel: Panel,
    universe: Universe,
    splits: Splits,
    gates: GateConfig,
    circumstances: Circumstances,
    *,
    challenger: Candidate,
    fallback: Candidate,
    champion: Candidate | None = None,
    ineligible: Sequence[Candidate] = (),
) -> Evidence:
    """Judge a challenger on the test span.

    Every contestant starts the span with a flat account and warm features, trades at the same lag and costs, and is
    measured by the same functions. The challenger runs under the universe's rules; its drawdown is gated with the
    circuit breaker off, and it is shown at double costs and at a decision lag of 2.

    Parameters
    ----------
    panel
        All bars of the universe, train to test.
    challenger
        Chosen on validation (`choose_challenger`).
    fallback
        The analysts' ensemble: shown beside the challenger, and the teacher of lines that imitate.
    champion
        The model it would replace, compared on the bars that neither has seen; None for the first.
    ineligible
        Candidates that were not chosen: shown, never gated.

    Raises
    ------
    LookAheadError
        If a contestant knows bars of the test span.
    InsufficientDataError
        If a span holds no bars, or the teacher of a line that imitates decides nothing on one of them.
    ConfigError
        If a line that imitates takes observations its teacher's decisions are not recorded with.
    """
    test, rules = _bars(panel, splits.test), TradingRules.of(universe, panel.parts)
    years = rows_per_year(universe, test.open_time)
    everyone = (challenger, fallback, *ineligible)
    refuse_look_ahead(test, everyone)
    policies = {candidate.name: candidate.policy for candidate in everyone}
    contest = hold_contest(panel, splits.test, policies, rules, periods_per_year=years)
    board = Scoreboard.of(contest, test, years, gates, fallback=fallback.name)
    (run_up,) = run_backtests(_bars(panel, splits.validation), [challenger.entrant(rules)])
    luck = _luck(contest, run_up, splits, circumstances, universe)
    succession = against_champion(panel, universe, gates, challenger=challenger, champion=champion) if champion else None
    accuracy = _Accuracy(
        imitation=_imitation(panel, splits, gates, contest, pupil=challenger, teacher=fallback, rules=rules)
        if challenger.accuracy == "imitation"
        else None,
        directional=directional(test, contest.main, gates.bootstrap),
    )
    plausibility = _plausibility(contest, years)
    (spans,) = measure_stress_spans(stress_spans(test), [contest.main.returns], periods_per_year=years, config=gates.bootstrap)
    criteria = (
        *absolute_criteria(board.challenger.performance, board.stress("breaker off"), _length(contest.main), gates),
        *luck_criteria(luck.significance, luck.confirmation, luck.overfitting, gates),
        benchmark_criterion(board.against_matched, _matching(contest), gates.benchmark),
        *accuracy.criteria(gates),
        *_contamination(test, challenger),
        *((champion_criterion(succession, gates.champion),) if succession else ()),
        *plausibility_alarms(plausibility, gates.plausibility),
        *informing_criteria(luck.significance, board.stresses),
    )
    (first_close,) = to_aware(test.close_time[:1])
    return Evidence(
        universe=universe.name,
        line=challenger.manifest.line,
        retrain_id=circumstances.retrain_id,
        as_of=circumstances.as_of,
        inputs_hash=challenger.manifest.inputs_hash,
        data_hash=circumstances.data_hash,
        gates_hash=value_hash(gates),
        code_version=challenger.manifest.code_version,
        knows_until=challenger.manifest.knows_until,
        symbols=panel.symbols,
        splits=splits,
        first_close=first_close,
        test_bars=len(contest.main.returns),
        periods_per_year=years,
        challenger=board.challenger,
        others=board.others,
        volatility_matching=_matching(contest),
        imitation=accuracy.imitation,
        directional=accuracy.directional,
        stresses=board.stresses,
        stress_spans=spans,
        comparison=succession,
        paired=board.paired,
        significance=luck.significance,
        overfitting=luck.overfitting,
        plausibility=plausibility,
        targets=_targets(board.challenger.performance, gates.targets),
        trades=symbol_trades(contest.main),
        openings=circumstances.openings,
        trials=len(circumstances.trials),
        minimum_detectable_sharpe=luck.significance.minimum_detectable_sharpe,
        criteria=criteria,
        verdict=verdict_of(criteria),
        caveats=(
            *market_caveats(universe),
            *contamination_caveats(challenger.name, challenger.manifest.possibly_knows_until, first_close),
            *power_caveats(luck.significance, gates.minimum_sharpe),
        ),
    )


@dataclass(frozen=True)
class _Luck:
    """How much of the result may be luck: of the sample, of the best of many, of the way it was chosen."""

    significance: Significance
    confirmation: Confirmation
    overfitting: OverfittingProbability


@dataclass(frozen=True)
class _Accuracy:
    """Both accuracies; the one about imitation is None for lines without a teacher, and gated for the others."""

    imitation: ImitationResult | None
    directional: DirectionalResult

    def criteria(self, gates: GateConfig) -> tuple[Criterion, ...]:
        if self.imitation is not None:
            return imitation_criteria(self.imitation, gates.imitation)
        return (directional_criterion(self.directional),)


def _length(result: BacktestResult) -> SpanLength:
    return SpanLength(bars=len(result.returns), held=int((result.exposure[:-1] > 0).sum()))


def _luck(
    contest: Contest, validation: BacktestResult, splits: Splits, circumstances: Circumstances, universe: Universe
) -> _Luck:
    # Only trials on this very validation span, with all of its symbols and bars, were ever chosen among, however much of train
    # they learnt from; all that was tried before informed them. One that lived through a few of the bars would leave too few in
    # common, and the question could not be asked at all.
    lived_through = set(to_aware(validation.open_time[1:]))
    chosen_among = [
        trial
        for trial in circumstances.trials
        if _chosen_on(trial.split) == _chosen_on(splits) and trial.symbols is None and lived_through <= set(trial.timestamps)
    ]
    return _Luck(
        significance=significance_of(
            contest.main.returns,
            circumstances.trials,
            earlier_openings=circumstances.openings - 1,
            periods_per_year=rows_per_year(universe, contest.main.open_time),
            trial_periods_per_year=rows_per_year(universe, validation.open_time),
        ),
        confirmation=Confirmation(probabilistic_sharpe(SharpeSample.of(validation.returns)), _length(validation).held),
        overfitting=overfitting_probability_of(chosen_among),
    )


def _chosen_on(splits: Splits) -> tuple[Span, Span]:
    """The spans that say what was chosen among what: lines may learn from different parts of the same train span."""
    return splits.validation, splits.test


def _contamination(test: Panel, challenger: Candidate) -> tuple[Criterion, ...]:
    """Asked of those alone that observe weights from elsewhere."""
    released = challenger.manifest.possibly_knows_until
    return () if released is None else (contamination_criterion(to_aware(test.close_time), released),)


def _imitation(
    panel: Panel,
    splits: Splits,
    gates: GateConfig,
    contest: Contest,
    *,
    pupil: Candidate,
    teacher: Candidate,
    rules: TradingRules,
) -> ImitationResult:
    """Ask the pupil in the states its teacher was in, on each of the three spans."""
    train, validation, test = (_bars(panel, span) for span in (splits.train, splits.validation, splits.test))
    taught = [run_backtests(bars, [teacher.entrant(rules)])[0] for bars in (train, validation)]
    return imitation(
        confusion_per_bar(train, taught[0], pupil.policy),
        confusion_per_bar(validation, taught[1], pupil.policy),
        confusion_per_bar(test, contest.subjects[teacher.name], pupil.policy),
        gates.bootstrap,
    )


def _plausibility(contest: Contest, years: float) -> Plausibility:
    """An oracle that earns nothing, where prices hardly move, says nothing about anybody."""

    def sharpe(result: BacktestResult) -> float | None:
        value = float(sharpe_ratio(result.returns, years))
        return value if np.isfinite(value) else None

    own, oracle, benchmark = sharpe(contest.main), sharpe(contest.oracle), sharpe(contest.benchmarks[REBALANCED.name])
    return Plausibility(
        oracle_sharpe=oracle,
        oracle_share=own / oracle if own is not None and oracle is not None and oracle > 0 else None,
        benchmark_sharpe=benchmark,
        # Nobody has to hold what falls: above cash, where equal weight loses.
        excess=own - max(benchmark, 0.0) if own is not None and benchmark is not None else None,
    )


def _targets(performance: Performance, targets: Targets) -> tuple[Target, ...]:
    rows: tuple[tuple[str, Unit, Estimate, Aim], ...] = (
        ("win rate", "percent", performance.win_rate, targets.win_rate),
        ("profit factor", "ratio", performance.profit_factor, targets.profit_factor),
        ("maximum drawdown", "percent", performance.max_drawdown, targets.max_drawdown),
        ("Sharpe ratio", "ratio", performance.sharpe, targets.sharpe),
    )
    return tuple(Target(name=name, unit=unit, low=aim.low, high=aim.high, measured=found) for name, unit, found, aim in rows)


def _matching(contest: Contest) -> VolatilityMatching:
    match = contest.match
    return VolatilityMatching(scale=match.scale, target=match.target, realised=match.realised, matched=match.matched)


def _bars(panel: Panel, span: Span) -> Panel:
    return panel.between(span.after, span.until)
