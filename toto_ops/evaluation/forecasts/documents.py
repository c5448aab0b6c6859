"""What an evaluation of forecasts found, as one document: per horizon, pooled over the symbols and for each of them.

Forecasts are quantiles of the log return from the close of a bar to the close `horizon` bars later. All figures of one
horizon, of the forecaster and of every baseline alike, are taken over the same outcomes.
"""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from toto_ops.configuration import StrictModel, VersionedModel
from toto_ops.evaluation.statistics.bootstrap import BootstrapConfig, Estimate
from toto_ops.learning.splits import Span

FORECASTER = "forecaster"
"""The contestant that is judged; the others are baselines."""

Standing = Literal["better", "worse", "no different"]


class Direction(StrictModel):
    """How often the sign of the median was the sign of the outcome.

    A median of exactly 0 calls no direction, and a price that did not move proves none right: both are left out.

    Attributes
    ----------
    calls
        Outcomes on which a direction was called.
    base_rate
        Share of the more frequent direction among them: what always calling it would have scored, known only afterwards.
    edge
        Accuracy less base rate. Intervals, of the forecaster alone, resample whole moments in blocks.
    independent_calls, independent_hits
        Calls at every `horizon`-th bar of a symbol, whose outcomes do not overlap, and how many of them were right.
    p_value
        Chance of at least so many independent hits, were each right with the base rate (one-sided exact binomial test). It
        takes symbols for independent of each other, which they are not: pooled, the interval of `edge` is the one to believe.
    """

    calls: int
    accuracy: float | None
    base_rate: float | None
    edge: Estimate
    independent_calls: int
    independent_hits: int
    p_value: float | None


class Calibration(StrictModel):
    """How often outcomes came to lie at or below each quantile.

    Attributes
    ----------
    below
        Share of the outcomes at or below the quantile of each level; of an honest forecast it is the level itself.
    error
        Mean over the levels of the distance between share and level.
    """

    below: tuple[float, ...]
    error: float


class Scores(StrictModel):
    """Figures of one contestant at one horizon; None where there is no outcome or the figure is not defined.

    Attributes
    ----------
    mase
        Mean absolute scaled error of the median (Hyndman and Koehler, International Journal of Forecasting 22, 2006): over
        the mean absolute change of the log close across one season of the span the forecaster was fitted on. The same scale
        at every horizon, so that it grows with the horizon: compare contestants, not horizons.
    crps
        Continuous ranked probability score as twice the mean quantile loss over the levels, which approximates it from
        between the outermost two; in log returns.
    weighted_quantile_loss
        Twice the quantile loss, averaged over the levels, summed over the outcomes, over the sum of their absolute values.
    information_coefficient
        Spearman rank correlation of median and outcome, 0 where all medians are the same; pooled, the mean over the symbols.
    """

    contestant: str
    mase: float | None
    crps: float | None
    weighted_quantile_loss: float | None
    information_coefficient: Estimate
    direction: Direction
    calibration: Calibration | None


class Comparison(StrictModel):
    """The forecaster against one baseline, on the same resampled outcomes.

    Attributes
    ----------
    skill
        Share by which the forecaster's quantile loss is lower, `1 - loss / loss of the baseline`: negative where it is higher.
    """

    against: str
    skill: Estimate

    @property
    def standing(self) -> Standing:
        """What the interval says: no difference is shown where it holds 0, or where there is none."""
        if self.skill.low is None or self.skill.high is None or self.skill.low <= 0.0 <= self.skill.high:
            return "no different"
        return "better" if self.skill.low > 0.0 else "worse"


class HorizonEvaluation(StrictModel):
    """All contestants at one horizon.

    Attributes
    ----------
    outcomes
        Forecasts, of all contestants alike, whose outcome is known by the end of the span. They overlap in time.
    scores
        The forecaster, then the baselines.
    """

    horizon: int = Field(ge=1, description="bars")
    outcomes: int = Field(ge=0)
    scores: tuple[Scores, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def forecaster(self) -> Scores:
        return self.scores[0]

    @property
    def beaten(self) -> tuple[str, ...]:
        """Baselines whose quantile loss is surely higher than the forecaster's."""
        return tuple(one.against for one in self.comparisons if one.standing == "better")

    @property
    def unbeaten(self) -> tuple[str, ...]:
        """Baselines whose quantile loss is not surely higher than the forecaster's."""
        return tuple(one.against for one in self.comparisons if one.standing != "better")

    @property
    def beats_all(self) -> bool:
        """Whether the forecaster is surely better than every baseline."""
        return bool(self.comparisons) and not self.unbeaten


class SymbolEvaluation(StrictModel):
    """One symbol at every horizon."""

    symbol: str
    horizons: tuple[HorizonEvaluation, ...]


class ForecastEvaluation(VersionedModel):
    """One forecaster on one span.

    Attributes
    ----------
    part
        Name of the span.
    levels
        Levels of the quantiles, in the order of `Calibration.below`.
    bootstrap
        How intervals were drawn; blocks are never shorter than the horizon.
    symbols
        Each symbol's own figures; empty in what `pooled_only` leaves.
    """

    universe: str
    part: str
    span: Span
    forecaster: str = Field(description="identity of the forecaster")
    backbone: str
    knows_until: AwareDatetime
    possibly_knows_until: AwareDatetime | None = None
    season: int = Field(ge=1, description="bars of the season in MASE and in the seasonal naive baseline")
    levels: tuple[float, ...]
    bootstrap: BootstrapConfig
    pooled: tuple[HorizonEvaluation, ...]
    symbols: tuple[SymbolEvaluation, ...]

    @property
    def seen(self) -> bool:
        """Whether bars of the span influenced the forecaster: its figures are then better than it is."""
        return self.span.after < self.knows_until

    @property
    def possibly_seen(self) -> bool:
        """Whether bars of the span may have been in the training of weights from elsewhere."""
        return self.possibly_knows_until is not None and self.span.after < self.possibly_knows_until

    def pooled_only(self) -> ForecastEvaluation:
        """Without the symbols' own figures, for documents that have to stay small."""
        return self.model_copy(update={"symbols": ()})
