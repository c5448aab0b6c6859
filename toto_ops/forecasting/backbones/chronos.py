"""Chronos-Bolt and Chronos-2 as backbones, through their package `chronos`.

Both scale a window by all of its bars and let every patch see every other, so a state is that of one decision time alone: each
bar has a window of its own, the `context` bars that end with it. Earlier bars that a young series lacks are left out by the
attention mask. The state of a bar: the encoder's output for the last patch of its window, of every variate, side by side.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from toto_ops.errors import BackboneUnavailableError, InsufficientDataError
from toto_ops.forecasting.backbones.contract import Capabilities
from toto_ops.forecasting.backbones.external import (
    ExternalBackbone,
    architecture_of,
    check_whole,
    damaged_weights,
    package_of,
    weights_folder,
)
from toto_ops.forecasting.config import ChronosConfig
from toto_ops.forecasting.quantiles import LEVELS
from toto_ops.forecasting.scaling import WINDOW
from toto_ops.forecasting.series import VARIATES, lengths_of


class ChronosBackbone(ExternalBackbone):
    """A Chronos model behind its pipeline.

    Parameters
    ----------
    pipeline
        Of the package, with its weights.
    folder
        Where they were read from, for what there is to say about them.
    """

    kind = "chronos"
    windows_at_once: ClassVar[int]

    def __init__(self, config: ChronosConfig, pipeline: Any, architecture: dict[str, Any], folder: Path) -> None:
        super().__init__(config, pipeline.model, architecture)
        settings = pipeline.model.chronos_config
        if settings.input_patch_stride != settings.input_patch_size:
            raise _unfit(folder, "its patches overlap", "name other weights in forecasting.yaml")
        if config.context > settings.context_length:
            raise _unfit(folder, f"it reads {settings.context_length} bars at most", "lower chronos.context in forecasting.yaml")
        if min(settings.quantiles) > LEVELS[0] or max(settings.quantiles) < LEVELS[-1]:
            raise _unfit(folder, f"it knows the quantiles {settings.quantiles} only", "name other weights in forecasting.yaml")
        self.pipeline = pipeline
        self.patch = settings.input_patch_size
        self.width = len(VARIATES) * pipeline.model.model_dim
        self.minimum_bars = WINDOW + 1

    @torch.no_grad()
    def forecast(self, x: Tensor, horizon: int) -> Tensor:
        lengths = self._lengths_to_forecast(x)
        if horizon > self.pipeline.model_prediction_length:
            raise InsufficientDataError(
                f"it foretells {self.pipeline.model_prediction_length} bars at most, not {horizon}",
                where=f"chronos weights {self.config.weights}",
                remedy="lower `horizon` in forecasting.yaml, or choose another backbone",
            )
        quantiles = x.new_empty((*x.shape[:2], horizon, len(LEVELS)))
        for rows in _batches(torch.arange(x.shape[0], device=x.device), self.windows_at_once):
            windows, level = self._windows(x, rows, lengths[rows] - 1)
            quantiles[rows] = level.unsqueeze(-1) + self._quantiles(windows, horizon).to(x)
        return quantiles.sort(dim=-1).values.movedim(-1, 0)

    @torch.no_grad()
    def embed(self, x: Tensor) -> Tensor:
        """Hidden states `[B, V, P, d]` of the patches of the window that ends with the last bar of `x`; NaN for patches before
        the first bar, and for series that have ended.
        """
        patches = -(-min(x.shape[-1], self.context) // self.patch)
        states = torch.full((*x.shape[:2], patches, self.width // x.shape[1]), torch.nan, dtype=torch.float32, device=x.device)
        for rows in _batches((lengths_of(x) == x.shape[-1]).nonzero().flatten(), self.windows_at_once):
            windows, _ = self._windows(x, rows, torch.full_like(rows, x.shape[-1] - 1))
            states[rows] = self._hidden(windows)[:, :, -patches:].to(states)
        return states

    @torch.no_grad()
    def states_at(self, x: Tensor, rows: Tensor, bars: Tensor) -> Tensor:
        states = torch.empty((len(bars), self.width), dtype=torch.float32, device=x.device)
        for some in _batches(torch.arange(len(bars), device=x.device), self.windows_at_once):
            windows, _ = self._windows(x, rows[some], bars[some])
            states[some] = self._hidden(windows)[:, :, -1].flatten(1).to(states)
        return states

    def _windows(self, x: Tensor, rows: Tensor, bars: Tensor) -> tuple[Tensor, Tensor]:
        """Windows `[N, V, context]` float32 that end with some bars, relative to the value there, NaN before the first bar of a
        series; and that value, `[N, V, 1]`, as it is in `x`.

        A price that stands still is exactly 0 then. Otherwise what is left of it after scaling would be rounding.
        """
        at = bars.unsqueeze(-1) + torch.arange(1 - self.context, 1, device=x.device)
        values = x[rows.unsqueeze(-1), :, at.clamp_min(0)].movedim(-1, 1)
        level = values[..., -1:]
        return torch.where((at >= 0).unsqueeze(1), values - level, torch.nan).float(), level

    @abstractmethod
    def _hidden(self, windows: Tensor) -> Tensor:
        """Encoder outputs `[N, V, P, d]` of every patch of some windows."""

    @abstractmethod
    def _quantiles(self, windows: Tensor, horizon: int) -> Tensor:
        """Quantiles `[N, V, H, Q]` of what follows some windows."""


class BoltBackbone(ChronosBackbone):
    """Chronos-Bolt: every variate is a series by itself."""

    capabilities = Capabilities(can_fine_tune=False, multivariate=False, causal_per_patch=False)
    windows_at_once = 256

    def _hidden(self, windows: Tensor) -> Tensor:
        encoded: Tensor = self.model.encode(context=windows.flatten(0, 1).to(self.model.device))[0]
        patches = -(-self.context // self.patch)  # behind them stands the [REG] token, if there is one
        return encoded[:, :patches].reshape(*windows.shape[:2], patches, -1)

    def _quantiles(self, windows: Tensor, horizon: int) -> Tensor:
        quantiles: Tensor = self.pipeline.predict_quantiles(windows.flatten(0, 1), horizon, quantile_levels=list(LEVELS))[0]
        return quantiles.reshape(*windows.shape[:2], horizon, -1)


class Chronos2Backbone(ChronosBackbone):
    """Chronos-2: the variates of a window are one group and inform each other."""

    capabilities = Capabilities(can_fine_tune=False, multivariate=True, causal_per_patch=False)
    windows_at_once = 32  # attention between series costs the square of a batch, masked or not

    def _hidden(self, windows: Tensor) -> Tensor:
        count, variates, _ = windows.shape
        device = self.model.device
        groups = torch.arange(count, device=device).repeat_interleave(variates)
        encoded, _, _, patches = self.model.encode(context=windows.flatten(0, 1).to(device), group_ids=groups)
        states: Tensor = encoded.last_hidden_state[:, :patches]
        return states.reshape(count, variates, patches, -1)

    def _quantiles(self, windows: Tensor, horizon: int) -> Tensor:
        quantiles, _ = self.pipeline.predict_quantiles(windows, horizon, quantile_levels=list(LEVELS))
        return torch.stack(quantiles)


def chronos_backbone(config: ChronosConfig) -> ChronosBackbone:
    """The Chronos model whose weights are configured: their `config.json` says which of the two it is.

    Raises
    ------
    BackboneUnavailableError
        If the package or the weights are not there, or the weights are damaged or of another architecture.
    """
    with package_of("chronos", "chronos-forecasting"):
        from chronos import Chronos2Pipeline, ChronosBoltPipeline
    folder = weights_folder("chronos", config)
    architecture = architecture_of("chronos", folder)
    of_architecture: dict[str, tuple[type[ChronosBackbone], Any]] = {
        "ChronosBoltModelForForecasting": (BoltBackbone, ChronosBoltPipeline),
        "Chronos2Model": (Chronos2Backbone, Chronos2Pipeline),
    }
    named = architecture.get("architectures") or ["no architecture"]
    if named[0] not in of_architecture:
        raise _unfit(folder, f"{named[0]} is neither Chronos-Bolt nor Chronos-2", "name other weights in forecasting.yaml")
    backbone, pipeline = of_architecture[named[0]]
    with damaged_weights("chronos", folder):
        loaded = pipeline.from_pretrained(str(folder), dtype=torch.float32, local_files_only=True, use_safetensors=True)
        check_whole("chronos", folder, loaded.model)
    return backbone(config, loaded, architecture, folder)


def _batches(items: Tensor, size: int) -> Iterator[Tensor]:
    """`[N]` items in batches, none of them empty: `torch.split` makes one of nothing, which the packages cannot shape."""
    for first in range(0, len(items), size):
        yield items[first : first + size]


def _unfit(folder: Path, problem: str, remedy: str) -> BackboneUnavailableError:
    return BackboneUnavailableError(problem, where=f"chronos weights in {folder}", remedy=remedy)
