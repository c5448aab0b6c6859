"""Everyone's figures on the test span, measured together on the same resamples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toto_ops.evaluation.findings.documents import ActionShares, CandidateResult, Curve, Role, StressName, StressResult
from toto_ops.evaluation.judgement.contest import VOLATILITY_MATCHED, Contest
from toto_ops.evaluation.judgement.gates import GateConfig
from toto_ops.evaluation.statistics.paired import PairedDifference, paired_differences
from toto_ops.evaluation.statistics.performance import Performance
from toto_ops.features.panel import Panel
from toto_ops.simulation.backtest import BacktestResult
from toto_ops.simulation.observation import Action


@dataclass(frozen=True)
class Scoreboard:
    """What everyone reached.

    Attributes
    ----------
    others
        The fallback, the benchmarks, then whoever was not chosen.
    paired
        Challenger minus each of the others, at the level of the report's intervals.
    against_matched
        Challenger minus volatility-matched equal weight, at the level of the benchmark gate.
    """

    challenger: CandidateResult
    others: tuple[CandidateResult, ...]
    stresses: tuple[StressResult, ...]
    paired: tuple[PairedDifference, ...]
    against_matched: PairedDifference

    @classmethod
    def of(cls, contest: Contest, test: Panel, periods_per_year: float, gates: GateConfig, *, fallback: str) -> Scoreboard:
        """Measure a contest over `test`, whose first subject is the challenger."""
        challenger, *_ = contest.subjects
        shown = contest.contestants
        performances = contest.performances(test, periods_per_year=periods_per_year, config=gates.bootstrap)
        roles: dict[str, Role] = {
            **dict.fromkeys(contest.subjects, "ineligible"),
            **dict.fromkeys(contest.benchmarks, "benchmark"),
            challenger: "challenger",
            fallback: "fallback",
        }
        results = {name: _shown(name, roles[name], result, performances[name]) for name, result in shown.items()}
        order = [name for role in ("fallback", "benchmark", "ineligible") for name in shown if roles[name] == role]
        main = shown[challenger].returns
        at_gate = gates.bootstrap.model_copy(update={"level": gates.benchmark.level})
        matched = {VOLATILITY_MATCHED: shown[VOLATILITY_MATCHED].returns}
        (against_matched,) = paired_differences(main, matched, periods_per_year=periods_per_year, config=at_gate)
        return cls(
            challenger=results[challenger],
            others=tuple(results[name] for name in order),
            stresses=tuple(StressResult(name=name, performance=performances[name]) for name in contest.stresses),
            paired=paired_differences(
                main, {name: shown[name].returns for name in order}, periods_per_year=periods_per_year, config=gates.bootstrap
            ),
            against_matched=against_matched,
        )

    def stress(self, name: StressName) -> Performance:
        """The challenger with one condition changed."""
        return next(stress.performance for stress in self.stresses if stress.name == name)


def _shown(name: str, role: Role, result: BacktestResult, performance: Performance) -> CandidateResult:
    return CandidateResult(
        name=name,
        role=role,
        performance=performance,
        curve=Curve.of(result),
        actions=None if role == "benchmark" else _action_shares(result),
    )


def _action_shares(result: BacktestResult) -> ActionShares | None:
    decided = result.actions[result.decided]
    if not decided.size:
        return None
    hold, buy, sell = (float(np.mean(decided == int(action))) for action in (Action.HOLD, Action.BUY, Action.SELL))
    return ActionShares(hold=hold, buy=buy, sell=sell)
