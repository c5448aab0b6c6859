"""The judge: one challenger, chosen on validation, against the gates on test bars it has never seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from toto_ops.evaluation.accuracy import confusion_per_bar, directional, imitation
from toto_ops.evaluation.baselines import VolatilityMatch, cash, equal_weight, match_volatility
from toto_ops.evaluation.candidates import Candidate, refuse_look_ahead
from toto_ops.evaluation.champion import against_champion
from toto_ops.evaluation.evidence import (
    ActionShares,
    CandidateResult,
    Curve,
    Evidence,
    ImitationResult,
    Role,
    StressName,
    StressResult,
    VolatilityMatching,
)
from toto_ops.evaluation.gates import (
    GateConfig,
    absolute_criteria,
    benchmark_criterion,
    champion_criterion,
    directional_criterion,
    imitation_criteria,
)
from toto_ops.evaluation.metrics import measure, minimum_detectable_sharpe, volatility
from toto_ops.features.moments import to_aware
from toto_ops.features.panel import Panel
from toto_ops.simulation.backtest import BacktestResult, backtest
from toto_ops.simulation.observation import Action
from toto_ops.simulation.rules import TradingRules
from toto_ops.storage.hashing import value_hash
from toto_ops.training.splits import Span, Splits
from toto_ops.universes import Universe

SURVIVORSHIP = (
    "The symbols of this universe were chosen with hindsight: those that failed or were forgotten are not among them, and "
    "every return shown, the benchmarks' included, is higher for it."
)

ADJUSTMENTS: Mapping[str, str] = {
    "none": "Prices are as they were traded, without adjustment.",
    "split": "Prices are adjusted for splits but not for dividends: dividends are missing from every return shown.",
    "total_return": "Prices are adjusted for splits and dividends: the levels shown were never traded, the returns were.",
}


@dataclass(frozen=True)
class Circumstances:
    """What the evidence must state beyond the policies and the bars.

    Attributes
    ----------
    openings
        Looks at overlapping test bars so far, this one included (`TrialLedger.openings`).
    trials
        Entries of the universe's trial ledger.
    """

    retrain_id: str
    as_of: datetime
    data_hash: str
    openings: int
    trials: int


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
    """
    test, rules = _span(panel, splits.test), TradingRules.of(universe)
    refuse_look_ahead(test, (challenger, fallback, *ineligible))
    desk = _Desk(test, rules, universe.periods_per_year, gates)

    main = desk.run(challenger)
    teacher = desk.run(fallback)
    unbound, years = rules.for_baselines(), universe.periods_per_year
    equal = backtest(test, equal_weight(), unbound)
    match = match_volatility(test, unbound, equal, target=float(volatility(main.returns, years)), periods_per_year=years)
    others = (
        desk.shown(fallback.name, "fallback", teacher),
        desk.shown("equal weight", "benchmark", equal),
        desk.shown("volatility-matched equal weight", "benchmark", match.result),
        desk.shown("cash", "benchmark", backtest(test, cash(), unbound)),
        *(desk.shown(other.name, "ineligible", desk.run(other)) for other in ineligible),
    )
    result = desk.shown(challenger.name, "challenger", main)
    breaker_off = desk.stressed(challenger, "breaker off", rules.without_breaker())
    pointed = directional(test, main, gates.bootstrap)
    criteria = [
        *absolute_criteria(result.performance, breaker_off.performance, len(main.returns), gates),
        benchmark_criterion(result.performance, match, gates),
    ]
    imitated = None
    if challenger.accuracy == "imitation":
        imitated = _imitation(panel, splits, gates, pupil=challenger, teacher=fallback, rules=rules)
        criteria.extend(imitation_criteria(imitated, gates.imitation))
    else:
        criteria.append(directional_criterion(pointed))
    comparison = None
    if champion is not None:
        comparison = against_champion(panel, universe, gates, challenger=challenger, champion=champion)
        criteria.append(champion_criterion(comparison, gates.champion))

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
        test_bars=len(main.returns),
        periods_per_year=years,
        challenger=result,
        others=others,
        volatility_matching=_matching(match),
        imitation=imitated,
        directional=pointed,
        stresses=(
            breaker_off,
            desk.stressed(challenger, "costs x2", rules.with_costs(2.0)),
            desk.stressed(challenger, "decision lag 2", rules.with_lag(2)),
        ),
        comparison=comparison,
        openings=circumstances.openings,
        trials=circumstances.trials,
        minimum_detectable_sharpe=minimum_detectable_sharpe(len(main.returns), years),
        criteria=tuple(criteria),
        verdict="passed" if all(criterion.passed for criterion in criteria) else "refused",
        caveats=(SURVIVORSHIP, ADJUSTMENTS[universe.adjustment], *_power_caveat(len(main.returns), universe, gates)),
    )


@dataclass(frozen=True)
class _Desk:
    """The test span and what everyone on it is measured by."""

    test: Panel
    rules: TradingRules
    periods_per_year: float
    gates: GateConfig

    def run(self, candidate: Candidate) -> BacktestResult:
        return backtest(self.test, candidate.policy.act, self.rules)

    def shown(self, name: str, role: Role, result: BacktestResult) -> CandidateResult:
        return CandidateResult(
            name=name,
            role=role,
            performance=measure(result, self.periods_per_year, self.gates.bootstrap),
            curve=Curve(
                open_time=to_aware(result.open_time),
                equity=tuple((result.equity / result.equity[0]).tolist()),
                exposure=tuple(result.exposure.tolist()),
            ),
            actions=None if role == "benchmark" else _action_shares(result),
        )

    def stressed(self, candidate: Candidate, name: StressName, rules: TradingRules) -> StressResult:
        result = backtest(self.test, candidate.policy.act, rules)
        return StressResult(name=name, performance=measure(result, self.periods_per_year, self.gates.bootstrap))


def _power_caveat(bars: int, universe: Universe, gates: GateConfig) -> tuple[str, ...]:
    detectable = minimum_detectable_sharpe(bars, universe.periods_per_year)
    if detectable <= gates.minimum_sharpe:
        return ()
    caveat = (
        f"{bars} bars would reliably show a true Sharpe ratio of {detectable:.1f} or more. The gate asks for "
        f"{gates.minimum_sharpe:g}: passing it is no proof of skill, and failing it is no proof of the lack of it."
    )
    return (caveat,)


def _imitation(
    panel: Panel, splits: Splits, gates: GateConfig, *, pupil: Candidate, teacher: Candidate, rules: TradingRules
) -> ImitationResult:
    """Ask the pupil in the states its teacher was in, on each of the three spans."""
    spans = [_span(panel, span) for span in (splits.train, splits.validation, splits.test)]
    counts = (confusion_per_bar(span, backtest(span, teacher.policy.act, rules), pupil.policy.act) for span in spans)
    train, validation, test = counts
    return imitation(train, validation, test, gates.bootstrap)


def _matching(match: VolatilityMatch) -> VolatilityMatching:
    return VolatilityMatching(scale=match.scale, target=match.target, realised=match.realised, matched=match.matched)


def _span(panel: Panel, span: Span) -> Panel:
    return panel.between(span.after, span.until)


def _action_shares(result: BacktestResult) -> ActionShares | None:
    decided = result.actions[result.decided]
    if not decided.size:
        return None
    hold, buy, sell = (float(np.mean(decided == int(action))) for action in (Action.HOLD, Action.BUY, Action.SELL))
    return ActionShares(hold=hold, buy=buy, sell=sell)
