"""Fit the forecaster of a universe."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from toto_ops.errors import InsufficientDataError, LookAheadError
from toto_ops.forecasting.backbones.loading import Loaded
from toto_ops.forecasting.config import ForecastingConfig
from toto_ops.forecasting.forecaster import Forecaster, ForecasterManifest, Network
from toto_ops.forecasting.head import QuantileHead
from toto_ops.forecasting.pretraining.course import EpochScores, Lessons, PretrainingCourse, random_walk_score, variate_scores
from toto_ops.forecasting.pretraining.information import information_coefficients
from toto_ops.forecasting.pretraining.learners import EndToEnd, HeadAlone, Learner
from toto_ops.forecasting.pretraining.series_source import SeriesSource
from toto_ops.forecasting.pretraining.windows import WindowShape, adjoining_windows, overlapping_windows
from toto_ops.forecasting.reuse.library import StoredModel
from toto_ops.forecasting.reuse.mapping import Reused, parameter_groups, reuse_weights
from toto_ops.forecasting.scaling import WINDOW
from toto_ops.forecasting.spans import ForecastingSpans
from toto_ops.learning.epochs import Progress, run_epochs
from toto_ops.learning.reproducible import reproducible
from toto_ops.learning.seeds import seeded
from toto_ops.storage.hashing import value_hash

RESOLUTION = 1e-6
"""Share by which a loss must be lower to be called so: float32 cannot tell less."""


@dataclass(frozen=True)
class PretrainingInputs:
    """All that a pretraining depends on.

    Attributes
    ----------
    loaded
        The backbone that was chosen; its weights are not changed: what is trained is a copy.
    inputs_hash
        Of everything that determines the weights; a pretraining that was killed is resumed where it is the same.
    reuse
        An earlier model to take weights from.
    """

    universe: str
    source: SeriesSource
    spans: ForecastingSpans
    loaded: Loaded
    config: ForecastingConfig
    data_hash: str
    inputs_hash: str
    code_version: str
    reuse: StoredModel | None = None

    @property
    def knows_until(self) -> datetime:
        """The latest close that influences the forecaster: through its bars, or through the model it begins from.

        Raises
        ------
        LookAheadError
            If that model does not say what it knows.
        """
        if self.reuse is None:
            return self.spans.knows_until
        if self.reuse.knows_until is None:
            raise LookAheadError(
                "does not say which bars influenced it",
                where=f"{self.reuse.name} at {self.reuse.where}",
                remedy="leave it out of the models to reuse, or record `knows_until` with it",
            )
        return max(self.spans.knows_until, self.reuse.knows_until)


def pretrain(
    inputs: PretrainingInputs, checkpoints: Path, on_epoch: Callable[[int, EpochScores], None] | None = None
) -> Forecaster:
    """Fit backbone and head on the fit span, or the head alone where the backbone is finished, until validation stops it.

    The same inputs give the same weights, bit for bit. A pretraining that was killed goes on after its last finished epoch.
    Where its quantiles of a variate do not beat the random walk with the latest volatility on validation, they are that random
    walk, and `<variate>_beats_random_walk` among its metrics is 0; `beats_random_walk` is about all variates together.

    Parameters
    ----------
    checkpoints
        Folder of its checkpoints and curves.
    on_epoch
        Told number and scores of each finished epoch; epoch 0 is before the first step.

    Raises
    ------
    LookAheadError
        If the model to take weights from does not say what it knows.
    InsufficientDataError
        If no symbol has bars enough in the fit span, or none in the validation span.
    StorageError
        If a checkpoint or the bars are damaged, or the disk is full or read-only.
    BarDataError
        If a bar has values no forecast can be made from.
    FloatingPointError
        If the loss stops being a finite number.
    """
    knows_until = inputs.knows_until
    with reproducible():
        network = _network(inputs)
        lessons = _lessons(inputs, network)
        learner = _learner(network, inputs.config)
        reused = None
        if inputs.reuse is not None:
            reused = reuse_weights(learner.module, inputs.reuse.tensors(), inputs.reuse.name)
        optimizer = _optimizer(learner, reused, inputs.config)
        course = PretrainingCourse(learner, optimizer, lessons, inputs.config.pretraining, _work(inputs, network))
        progress = run_epochs(course, learner.module, optimizer, checkpoints, on_epoch)
        metrics = _losses(progress, random_walk_score(learner, lessons)) | _extent(inputs, lessons)
        network.eval()
        metrics |= _keep_what_foretells(network.head, variate_scores(learner, lessons))
        for part, windows in (("fit", lessons.train_scored), ("validation", lessons.validation)):
            measured = information_coefficients(learner, lessons, windows, inputs.config.horizons)
            metrics |= {f"ic_{part}_{horizon}": value for horizon, value in measured.items()}
    manifest = _manifest(inputs, network, _symbols(lessons), metrics, reused=reused, knows_until=knows_until)
    return Forecaster(network, manifest)


def _network(inputs: PretrainingInputs) -> Network:
    torch.manual_seed(seeded(inputs.config.pretraining.seed, 0))
    backbone = inputs.loaded.backbone
    if backbone.capabilities.can_fine_tune:
        backbone = copy.deepcopy(backbone)
    return Network.untrained(backbone, inputs.config.horizon, inputs.config.pretraining.hidden)


def _lessons(inputs: PretrainingInputs, network: Network) -> Lessons:
    config, backbone = inputs.config.pretraining, network.backbone
    needed = max(backbone.minimum_bars, WINDOW + 1)  # a state, and a scale to foretell in
    shape = WindowShape(needed, config.window, config.stride, network.head.horizon)
    earliest = inputs.spans.fit.after
    fit_once = adjoining_windows(inputs.source, inputs.spans.fit, earliest, shape)
    # Finished states are the same in every window, so each bar is needed once.
    overlap = backbone.capabilities.can_fine_tune
    lessons = Lessons(
        source=inputs.source,
        train=overlapping_windows(inputs.source, inputs.spans.fit, shape) if overlap else fit_once,
        train_scored=fit_once,
        validation=adjoining_windows(inputs.source, inputs.spans.validation, earliest, shape),
    )
    for part, windows in (("fit", lessons.train), ("validation", lessons.validation)):
        if not windows:
            span = getattr(inputs.spans, part)
            raise InsufficientDataError(
                f"no symbol has a forecast with an outcome: {needed + 1} bars are needed",
                where=f"{part} span of the forecaster, {span.after:%Y-%m-%d} to {span.until:%Y-%m-%d}",
                remedy="add history, or put `statistical` first in `preference` of forecasting.yaml",
            )
    return lessons


def _learner(network: Network, config: ForecastingConfig) -> Learner:
    if network.backbone.capabilities.can_fine_tune:
        return EndToEnd(network, config.pretraining.augmentation)
    return HeadAlone(network)


def _optimizer(learner: Learner, reused: Reused | None, config: ForecastingConfig) -> torch.optim.Optimizer:
    """AdamW over what is trained; only matrices decay, since the biases of the head are where a distribution stands."""
    rate = config.pretraining.learning_rate
    if reused is None:
        groups: list[dict[str, Any]] = [{"params": list(learner.module.parameters()), "lr": rate}]
    else:
        groups = parameter_groups(learner.module, reused, config.reuse, rate)
    parts = []
    for group in groups:
        for matrices, decay in ((True, config.pretraining.weight_decay), (False, 0.0)):
            parameters = [parameter for parameter in group["params"] if (parameter.ndim > 1) == matrices]
            if parameters:
                parts.append({**group, "params": parameters, "weight_decay": decay})
    return torch.optim.AdamW(parts)


def _work(inputs: PretrainingInputs, network: Network) -> str:
    """Which backbone could be used is no part of the configuration, so it is named besides."""
    begun_from = None if inputs.reuse is None else inputs.reuse.identity
    return value_hash([inputs.inputs_hash, network.backbone.kind, inputs.loaded.backbone.identity, begun_from])


def _losses(progress: Progress[EpochScores], random_walk: float) -> dict[str, float]:
    best = progress.epochs[progress.best]
    return {
        "train_loss": best.train,
        "validation_loss": best.validation,
        "untrained_validation_loss": random_walk,
        "beats_random_walk": float(best.validation < random_walk * (1.0 - RESOLUTION)),
        "best_epoch": float(progress.best),
        "epochs": float(len(progress.epochs) - 1),
    }


def _extent(inputs: PretrainingInputs, lessons: Lessons) -> dict[str, float]:
    bars = sum(len(inputs.source.rows(symbol, inputs.spans.fit)) for symbol in _symbols(lessons))
    return {"windows": float(len(lessons.train)), "bars": float(bars)}


def _symbols(lessons: Lessons) -> tuple[str, ...]:
    return tuple(dict.fromkeys(window.symbol for window in lessons.train))


def _keep_what_foretells(head: QuantileHead, scores: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Make quantiles of a variate that are of no use into those of the random walk; the metrics of each variate."""
    metrics: dict[str, float] = {}
    for variate, (name, (loss, random_walk)) in enumerate(scores.items()):
        beats = loss < random_walk * (1.0 - RESOLUTION)
        if not beats:
            head.foretell_random_walk(variate)
        metrics |= {
            f"{name}_beats_random_walk": float(beats),
            f"validation_{name}_loss": loss if beats else random_walk,
            f"untrained_validation_{name}_loss": random_walk,
        }
    return metrics


def _manifest(
    inputs: PretrainingInputs,
    network: Network,
    symbols: tuple[str, ...],
    metrics: dict[str, float],
    *,
    reused: Reused | None,
    knows_until: datetime,
) -> ForecasterManifest:
    config, loaded = inputs.config, inputs.loaded
    return ForecasterManifest(
        universe=inputs.universe,
        backbone=network.backbone.kind,
        backbone_config=loaded.section.model_dump(mode="json"),
        backbone_identity=network.backbone.identity,
        head={"width": network.backbone.width, "hidden": config.pretraining.hidden, "horizon": config.horizon},
        symbols=symbols,
        config=config.pretraining.model_dump(mode="json"),
        passed_over=loaded.passed_over,
        reused=None if reused is None else reused.model_dump(mode="json"),
        inputs_hash=inputs.inputs_hash,
        data_hash=inputs.data_hash,
        code_version=inputs.code_version,
        seed=config.pretraining.seed,
        knows_until=knows_until,
        possibly_knows_until=network.backbone.released,
        metrics=metrics,
    )
