"""What is found of a policy, part by part: the documents that evidence and the reports of backtests are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime, Field

from toto_ops.configuration import StrictModel
from toto_ops.evaluation.statistics.bootstrap import Estimate
from toto_ops.evaluation.statistics.paired import PairedDifference
from toto_ops.evaluation.statistics.performance import Performance
from toto_ops.features.moments import to_aware

if TYPE_CHECKING:  # evidence is read by the command line, which must not wait for torch
    from toto_ops.simulation.backtest import BacktestResult

Unit = Literal["ratio", "percent", "count"]
Role = Literal["challenger", "fallback", "benchmark", "ineligible"]
StressName = Literal["breaker off", "costs x2", "decision lag 2"]
Labelled = Literal["known at the time", "with hindsight"]


class Curve(StrictModel):
    """Course of one backtest over its `T` opens, for the report.

    Attributes
    ----------
    equity
        Growth of one unit of money.
    exposure
        Gross exposure after the trades of each open, in units of equity.
    """

    open_time: tuple[AwareDatetime, ...]
    equity: tuple[float, ...]
    exposure: tuple[float, ...]

    @classmethod
    def of(cls, result: BacktestResult) -> Curve:
        """The course of one backtest."""
        return cls(
            open_time=to_aware(result.open_time),
            equity=tuple((result.equity / result.equity[0]).tolist()),
            exposure=tuple(result.exposure.tolist()),
        )


class ActionShares(StrictModel):
    """How the decisions were distributed over the actions."""

    hold: float
    buy: float
    sell: float


class CandidateResult(StrictModel):
    """One contestant on the test span, under the universe's own rules."""

    name: str
    role: Role
    performance: Performance
    curve: Curve
    actions: ActionShares | None = Field(description="None for benchmarks, which do not choose")


class ImitationResult(StrictModel):
    """How well the challenger repeats its teacher on the states the teacher was in.

    Attributes
    ----------
    accuracy, macro_f1
        On the test span.
    majority_share
        Accuracy of always answering with the teacher's most frequent action.
    gap
        Accuracy on train minus accuracy on validation.
    decisions
        Teacher decisions on the test span.
    """

    accuracy: Estimate
    macro_f1: Estimate
    majority_share: float
    train_accuracy: float
    validation_accuracy: float
    gap: Estimate
    decisions: int


class DirectionalResult(StrictModel):
    """How often a position pointed the way the price went, from open to open.

    Attributes
    ----------
    base_rate
        Accuracy expected of the same longs and shorts placed without looking, given how often prices rose.
    positions
        Symbol bars with a position and a move.
    """

    accuracy: Estimate
    base_rate: float | None
    positions: int


class StressResult(StrictModel):
    """The challenger on the test span with one condition changed."""

    name: StressName
    performance: Performance


class StressSpanResult(StrictModel):
    """One strategy on the bars of one stress span.

    Attributes
    ----------
    bars, share
        Returns in it, and their share of all.
    total_return
        Compounded over its bars.
    sharpe
        Annualised, of its bars.
    max_drawdown
        Largest fall over its bars, joined as if they followed each other.
    market_return
        What the equal-weight market made on the same bars.
    """

    name: str
    labelled: Labelled
    bars: int
    share: float
    total_return: Estimate
    sharpe: Estimate
    max_drawdown: float | None
    market_return: float | None


class VolatilityMatching(StrictModel):
    """How the equal-weight benchmark was brought to the challenger's volatility."""

    scale: float
    target: float
    realised: float
    matched: bool


class ChampionComparison(StrictModel):
    """Challenger against champion on the bars that neither has seen.

    Attributes
    ----------
    inputs_hash
        Of the champion; None in evidence of the first schema version.
    bars
        Returns compared.
    difference
        Sharpe ratio of the challenger minus the champion's, paired block bootstrap, at the level of the gate; None with too
        few bars.
    paired
        The same with the difference of growth, at the level of the report; None with too few bars and in evidence of earlier
        versions.
    """

    champion: str
    inputs_hash: str | None = None
    bars: int
    challenger_sharpe: Estimate | None = None
    champion_sharpe: Estimate | None = None
    difference: Estimate | None = None
    paired: PairedDifference | None = None


class Plausibility(StrictModel):
    """The challenger's Sharpe ratio beside what perfect foresight and equal weight reach.

    Attributes
    ----------
    oracle_sharpe
        Of perfect foresight of the next open-to-open return under the same costs, lag and limits.
    oracle_share
        The challenger's over the oracle's; None where either is not defined or the oracle earns nothing.
    excess
        The challenger's minus that of equal weight.
    """

    oracle_sharpe: float | None
    oracle_share: float | None
    benchmark_sharpe: float | None
    excess: float | None


class Target(StrictModel):
    """A figure that a good trading policy has within a range; it informs, and no verdict depends on it."""

    name: str
    unit: Unit
    low: float | None
    high: float | None
    measured: Estimate

    @property
    def standing(self) -> Literal["met", "below", "above", "undefined"]:
        """Where the figure lies."""
        value = self.measured.value
        if value is None:
            return "undefined"
        if self.low is not None and value < self.low:
            return "below"
        return "above" if self.high is not None and value > self.high else "met"


class SymbolTrades(StrictModel):
    """Round trips of the challenger in one symbol, those still open included, marked at the end.

    Attributes
    ----------
    fees, net_profit
        Shares of the initial capital.
    holding_days
        Mean calendar days from entry to exit, or to the end.
    best, worst
        Largest and smallest return of a round trip on its largest value.
    """

    symbol: str
    trades: int
    open: int
    win_rate: float | None
    profit_factor: float | None
    holding_days: float | None
    best: float | None
    worst: float | None
    fees: float
    net_profit: float
