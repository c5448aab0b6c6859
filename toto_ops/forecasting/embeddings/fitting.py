"""Fit the embedder of a universe on the states of its forecaster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from toto_ops.configuration import StrictModel
from toto_ops.errors import InsufficientDataError
from toto_ops.features.moments import to_utc64
from toto_ops.features.panel import Panel
from toto_ops.forecasting.config import EmbeddingConfig, ForecastingConfig
from toto_ops.forecasting.embeddings.bar_states import BarsInRows, states_in_rows
from toto_ops.forecasting.embeddings.embedder import EmbedderManifest, FittedEmbedder
from toto_ops.forecasting.embeddings.inputs import UNKNOWN, EmbeddingInputs, context_names, embedding_inputs
from toto_ops.forecasting.embeddings.network import Embedder, EmbedderShape
from toto_ops.forecasting.embeddings.outlook import NO_REGIME, Losses, Outcomes, Outlook, outcomes
from toto_ops.forecasting.embeddings.placing import PlacedSeries, placed
from toto_ops.forecasting.forecaster import Forecaster
from toto_ops.forecasting.quantiles import NORMAL_QUANTILES, quantile_loss
from toto_ops.forecasting.series import BarSeries
from toto_ops.forecasting.spans import ForecastingSpans
from toto_ops.learning.epochs import Progress, Scores, run_epochs
from toto_ops.learning.reproducible import reproducible
from toto_ops.learning.schedules import half_cosine
from toto_ops.learning.seeds import seeded
from toto_ops.learning.splits import Span


class Score(StrictModel):
    """Losses over a span, measured without dropout and with every symbol known; see `Losses`."""

    loss: float
    returns: float
    volatility: float
    regime: float
    regime_accuracy: float


class EmbedderScores(Scores):
    """What one epoch came to."""

    train: Score
    validation: Score

    @property
    def criterion(self) -> float:
        return self.validation.loss

    def __str__(self) -> str:
        return f"loss {self.train.loss:.5f} on train, {self.validation.loss:.5f} on validation"

    def curves(self) -> dict[str, float]:
        spans = (("train", self.train), ("validation", self.validation))
        return {f"{name}/{span}": value for span, score in spans for name, value in score.model_dump().items()}


@dataclass(frozen=True)
class Lesson:
    """Rows of one span with at least one outcome that is known by its end."""

    inputs: EmbeddingInputs
    came: Outcomes


class _Lessons(NamedTuple):
    train: Lesson
    validation: Lesson


def fit_embedder(
    forecaster: Forecaster,
    series: Sequence[BarSeries],
    panel: Panel,
    *,
    spans: ForecastingSpans,
    config: ForecastingConfig,
    work: str,
    folder: Path,
    on_epoch: Callable[[int, EmbedderScores], None] | None = None,
) -> FittedEmbedder:
    """Train on the rows of `spans.fit` until the loss on `spans.validation` stops falling; the forecaster stays as it is.

    An outcome counts only if it is known by the end of its span, and nothing after `spans.validation` is looked at. The same
    seed gives the same weights, bit for bit; a training that was killed goes on from its last finished epoch.

    Parameters
    ----------
    series
        Bars of every symbol of the panel.
    work
        Identity of this training: what its checkpoints are keyed by.
    folder
        For checkpoints and curves.

    Raises
    ------
    InsufficientDataError
        If no outcome of a span is known, or a symbol of the panel has no series.
    ConfigError
        If the width is no multiple of the heads.
    FloatingPointError
        If the loss stops being a finite number.
    """
    with reproducible():
        until_then = panel.between(None, spans.validation.until)
        at = placed(until_then, series)
        lessons = _Lessons(*(_lesson(forecaster, until_then, at, span, config) for span in (spans.fit, spans.validation)))
        shape = _shape(forecaster, lessons.train, panel.symbols, config.embeddings)
        torch.manual_seed(seeded(config.embeddings.seed, 0))
        model = _Taught(Embedder(shape), Outlook(shape.width, len(config.horizons)))
        model.embedder.fit_scaler(lessons.train.inputs)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.embeddings.learning_rate, weight_decay=config.embeddings.weight_decay
        )
        course = _EmbedderCourse(model, optimizer, lessons, config.embeddings, work)
        progress = run_epochs(course, model, optimizer, folder, on_epoch)
    own = forecaster.manifest
    manifest = EmbedderManifest(
        universe=own.universe,
        forecaster_identity=forecaster.identity,
        shape=shape,
        symbols=panel.symbols,
        context_names=context_names(panel),
        horizons=config.horizons,
        config=config.embeddings,
        work=work,
        knows_until=max(own.knows_until, spans.knows_until),
        possibly_knows_until=own.possibly_knows_until,
        epochs=len(progress.epochs),
        metrics=_metrics(progress.epochs[progress.best], lessons.validation),
    )
    return FittedEmbedder(model.embedder, manifest)


class _Taught(nn.Module):
    """The embedder and what its vectors are tried by: trained together, but only the first is kept."""

    def __init__(self, embedder: Embedder, outlook: Outlook) -> None:
        super().__init__()
        self.embedder = embedder
        self.outlook = outlook

    def losses(self, inputs: EmbeddingInputs, symbol: Tensor, came: Outcomes) -> Losses:
        vectors = self.embedder(inputs.states, inputs.context, inputs.clock, symbol, inputs.mask)
        return self.outlook.losses(vectors, inputs.mask, came)


class _EmbedderCourse:
    """The epochs of one training."""

    progress = Progress[EmbedderScores]

    def __init__(
        self,
        model: _Taught,
        optimizer: torch.optim.Optimizer,
        lessons: _Lessons,
        config: EmbeddingConfig,
        work: str,
    ) -> None:
        self.work, self.epochs, self.patience = work, config.epochs, config.patience
        self._model, self._optimizer, self._config = model, optimizer, config
        self._train, self._validation = lessons

    def train_epoch(self, epoch: int) -> None:
        config = self._config
        self._model.train()
        torch.manual_seed(seeded(config.seed, 1, epoch))
        for group in self._optimizer.param_groups:
            group["lr"] = config.learning_rate * half_cosine(epoch, config.epochs)
        for rows in torch.split(torch.randperm(len(self._train.inputs)), config.batch):
            inputs = self._train.inputs.take(rows)
            hidden = torch.rand(inputs.mask.shape) < config.unknown_share
            symbol = torch.where(hidden, UNKNOWN, inputs.symbol)
            loss = self._model.losses(inputs, symbol, self._train.came.take(rows)).total
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
            self._optimizer.step()

    def score(self) -> EmbedderScores:
        return EmbedderScores(train=self._score(self._train), validation=self._score(self._validation))

    def _score(self, lesson: Lesson) -> Score:
        """Losses of batches, each weighted by its rows: spans are too long to be held at once."""
        self._model.eval()
        total = np.zeros(len(Score.model_fields))
        with torch.no_grad():
            for rows in torch.split(torch.arange(len(lesson.inputs)), self._config.batch):
                inputs = lesson.inputs.take(rows)
                losses = self._model.losses(inputs, inputs.symbol.expand(inputs.mask.shape), lesson.came.take(rows))
                parts = (losses.total, losses.returns, losses.volatility, losses.regime, losses.regime_accuracy)
                total += len(rows) / len(lesson.inputs) * np.array([float(part) for part in parts])
        if not np.isfinite(total).all():
            raise FloatingPointError(f"the loss of the embedder is {total[0]}: lower embeddings.learning_rate")
        return Score(**dict(zip(Score.model_fields, total.tolist(), strict=True)))


def _shape(forecaster: Forecaster, train: Lesson, symbols: Sequence[str], config: EmbeddingConfig) -> EmbedderShape:
    return EmbedderShape(
        state=forecaster.backbone.width,
        context=train.inputs.context.shape[-1],
        symbols=len(symbols),
        width=config.width,
        heads=config.heads,
        dropout=config.dropout,
    )


def _lesson(
    forecaster: Forecaster, panel: Panel, series: Sequence[PlacedSeries], span: Span, config: ForecastingConfig
) -> Lesson:
    """Inputs and outcomes of the rows of a span; rows without a known outcome teach nothing and are left out."""
    within = np.flatnonzero((panel.close_time > to_utc64(span.after)) & (panel.close_time <= to_utc64(span.until)))
    if not len(within):
        raise _nothing_known(span)
    rows = slice(int(within[0]), int(within[-1]) + 1)
    inputs = embedding_inputs(panel, rows, states_in_rows(forecaster.backbone, BarsInRows(panel, series, rows)), panel.symbols)
    came = outcomes(panel, series, span, config.horizons).take(rows)
    known = (inputs.mask & torch.isfinite(came.returns).any(dim=-1)).any(dim=-1)
    if not known.any():
        raise _nothing_known(span)
    return Lesson(inputs.take(known), came.take(known))


def _nothing_known(span: Span) -> InsufficientDataError:
    return InsufficientDataError(
        f"no bar that closes after {span.after:%Y-%m-%d %H:%M} has a state, complete features and an outcome by "
        f"{span.until:%Y-%m-%d %H:%M} for an embedder to learn from",
        remedy="add history, or shorten horizons in forecasting.yaml",
    )


def _metrics(best: EmbedderScores, validation: Lesson) -> dict[str, float]:
    """Scores of the best epoch, beside what who knows nothing would have scored on validation."""
    came = validation.came
    normal = torch.tensor(NORMAL_QUANTILES).expand(*came.returns.shape, -1)
    missed = quantile_loss(normal, came.returns)[validation.inputs.mask]
    told = came.regime[validation.inputs.mask]
    counts = torch.bincount(told[told != NO_REGIME])
    return {
        **{f"train_{name}": value for name, value in best.train.model_dump().items()},
        **{f"validation_{name}": value for name, value in best.validation.model_dump().items()},
        "validation_returns_random_walk": float(missed[~torch.isnan(missed)].mean()),
        "validation_regime_majority": float(counts.max() / counts.sum()) if len(counts) else 0.0,
    }
