"""A line whose policies observe forecasts and embeddings, small enough to be seen through, and forecasters to go with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toto_ops.features.moments import to_aware, to_utc64
from toto_ops.features.panel import Panel
from toto_ops.features.panel_forecasts import panel_with_forecasts
from toto_ops.forecasting.spans import ForecastingSpans, forecasting_spans
from toto_ops.policies.contract import Policy, PolicyManifest
from toto_ops.simulation.backtest import run_backtests
from toto_ops.simulation.entrants import Entrant
from toto_ops.simulation.observation import Action, decide
from toto_ops.simulation.observation_schema import MarketWidths
from toto_ops.storage.hashing import value_hash
from toto_ops.training.cross_validation import Fold, fold_closes
from toto_ops.training.ledger import Trial
from toto_ops.training.line import Line, LineConfig, TrainedPolicy, TrainingInputs
from toto_ops.training.observed_forecasts import ObservedForecasts

NAMES = ("forecast_1_q50",)
EMBEDDED = 2


class ForecastFollower(Policy):
    """Buys where a linear function of forecast and embedding is positive, sells where it is not."""

    kind = "test-forecast-follower"
    inputs = ("mask", "forecast", "embedding")

    def __init__(self, *, w_max: float, forecasts: int = len(NAMES), embedded: int = EMBEDDED) -> None:
        super().__init__()
        self.w_max, self.forecasts, self.embedded = w_max, forecasts, embedded
        self.register_buffer("slope", torch.zeros(forecasts + embedded))

    @property
    def architecture(self) -> dict[str, Any]:
        return {"w_max": self.w_max, "forecasts": self.forecasts, "embedded": self.embedded}

    @property
    def widths(self) -> MarketWidths:
        return MarketWidths(forecast=self.forecasts, embedding=self.embedded)

    def forward(self, mask: Tensor, forecast: Tensor, embedding: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        score = torch.cat((forecast, embedding), dim=-1) @ self.slope
        action = torch.where(score > 0, int(Action.BUY), int(Action.SELL))
        probabilities = torch.nn.functional.one_hot(action, 3).to(forecast.dtype)
        return tuple(decide(action, torch.ones_like(score), probabilities, mask, w_max=self.w_max, may_short=False))


def train_follower(inputs: TrainingInputs, config: LineConfig, checkpoints: Path) -> TrainedPolicy:
    """Least squares of the next return on what is observed, over the train span; the first seed is as good as any."""
    span = inputs.splits.train
    bars = inputs.panel.between(span.after, span.until)
    seen = np.concatenate((bars.forecast, bars.embedding), axis=-1)[:-1].astype(np.float64)
    outcome = np.log(bars.close[1:] / bars.close[:-1])
    known = bars.mask[:-1] & bars.mask[1:]
    policy = ForecastFollower(w_max=inputs.rules.w_max)
    slope, *_ = np.linalg.lstsq(seen[known], outcome[known], rcond=None)
    policy.slope.copy_(torch.from_numpy(slope))
    manifest = PolicyManifest(
        kind=ForecastFollower.kind,
        line=FOLLOWER.name,
        universe=inputs.universe,
        symbols=inputs.panel.symbols,
        observation_schema=ForecastFollower.observation_schema(),
        architecture=policy.architecture,
        config=config.model_dump(mode="json"),
        inputs_hash=inputs.inputs_hash,
        data_hash=inputs.data_hash,
        code_version=inputs.code_version,
        seed=config.seeds[0],
        knows_until=max(filter(None, (inputs.splits.validation.until, inputs.parents_know_until))),
        possibly_knows_until=inputs.parents_possibly_know_until,
        forecaster=inputs.forecaster,
    )
    inputs.ledger.record(_trial(inputs, policy, manifest))
    return TrainedPolicy(policy.eval(), manifest)


def _trial(inputs: TrainingInputs, policy: Policy, manifest: PolicyManifest) -> Trial:
    span = inputs.splits.validation
    (result,) = run_backtests(
        inputs.panel.between(span.after, span.until), [Entrant("follower", policy, inputs.rules, policy.inputs)]
    )
    return Trial(
        trial_id=Trial.identity(inputs.universe, manifest.line, "c", inputs.inputs_hash, 0),
        universe=inputs.universe,
        line=manifest.line,
        config_hash="c",
        inputs_hash=inputs.inputs_hash,
        split=inputs.splits,
        seed=0,
        returns=tuple(result.returns.tolist()),
        timestamps=to_aware(result.open_time[1:]),
        metrics={},
        created_at=datetime.now(UTC),
    )


FOLLOWER = Line(
    name="follower",
    description="follows what the forecaster says",
    config=LineConfig,
    train=train_follower,
    upstream=("embeddings",),
)


def fitted_forecasts(panel: Panel, spans: ForecastingSpans, left_out: NDArray[np.bool_] | None = None) -> ObservedForecasts:
    """A forecaster of two parameters for each symbol, the mean and the deviation of its returns in `fit` and `validation`.

    What it says of a bar is its return so far, standardised; the embedding holds both parameters. Whatever influences the
    parameters is seen in the embedding of every bar.
    """
    returns = np.diff(np.log(panel.close), axis=0, prepend=np.nan)
    fitted = (panel.close_time > to_utc64(spans.fit.after)) & (panel.close_time <= to_utc64(spans.knows_until))
    if left_out is not None:
        # A return is of two bars.
        fitted &= ~left_out & ~np.roll(left_out, 1)
    mean, deviation = np.nanmean(returns[fitted], axis=0), np.nanstd(returns[fitted], axis=0)
    forecast = ((returns - mean) / deviation)[..., None].astype(np.float32)
    embedding = np.stack(np.broadcast_arrays(mean, deviation), axis=-1).astype(np.float32)
    return ObservedForecasts(
        panel=panel_with_forecasts(panel, NAMES, forecast, np.broadcast_to(embedding, (*panel.mask.shape, EMBEDDED))),
        policies=spans.policies,
        knows_until=spans.knows_until,
        possibly_knows_until=None,
        forecaster=value_hash([mean.tolist(), deviation.tolist()]),
    )


def refit(panel: Panel, fold: Fold) -> ObservedForecasts:
    """The forecaster of one fold, fitted on the first half of its train without what was left out."""
    spans = forecasting_spans(fold_closes(panel.close_time, fold), fold.splits.train, 0.25)
    left_out = np.zeros(panel.rows, dtype=bool)
    for span in fold.left_out:
        left_out |= (panel.close_time > to_utc64(span.after)) & (panel.close_time <= to_utc64(span.until))
    return fitted_forecasts(panel, spans, left_out)


def with_prices(panel: Panel, rows: NDArray[np.bool_], factor: float) -> Panel:
    """The panel with other prices on some rows."""
    return replace(
        panel,
        open=np.where(rows[:, None], panel.open * factor, panel.open),
        close=np.where(rows[:, None], panel.close * factor, panel.close),
    )
