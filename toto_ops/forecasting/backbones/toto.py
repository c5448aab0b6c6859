"""Datadog Toto 2.0 as a backbone, through its package `toto2`.

Toto reads patches of 32 bars; time attention and scaler are causal per patch, so one pass gives a state to every patch. A bar
between two patches gets one from a pass whose patches end with it: there are as many such phases as a patch has bars.

A pass looks back on `context` bars at most. Where it begins must not depend on where the series ends, or a bar would change
its state as others follow. So passes of one phase begin at fixed anchors, half a context apart, counted from the first bar of
the series, and a bar belongs to the first anchor from which it is within a context: it sees between half a context and a
whole one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from toto_ops.errors import BackboneUnavailableError
from toto_ops.forecasting.backbones.contract import Capabilities
from toto_ops.forecasting.backbones.external import (
    ExternalBackbone,
    architecture_of,
    check_whole,
    damaged_weights,
    package_of,
    weights_folder,
)
from toto_ops.forecasting.config import TotoConfig
from toto_ops.forecasting.quantiles import LEVELS
from toto_ops.forecasting.scaling import WINDOW
from toto_ops.forecasting.series import VARIATES, lengths_of

PASSES_AT_ONCE = 128

QUANTILE_CAP = 1e4
"""Scales beyond the values of its context at which a quantile is cut off: the bound of the package's own predictor."""


class TotoBackbone(ExternalBackbone):
    """Toto 2.0. The state of a bar: the output of the last transformer layer for the patch that closes with it, of every
    variate, side by side.

    Raises
    ------
    BackboneUnavailableError
        If the package or the weights are not there, or the weights are damaged or of another architecture.
    """

    kind = "toto"
    capabilities = Capabilities(can_fine_tune=False, multivariate=True, causal_per_patch=True)

    def __init__(self, config: TotoConfig) -> None:
        with package_of("toto", "toto-2"):
            from toto2 import Toto2Model
        folder = weights_folder("toto", config)
        architecture = architecture_of("toto", folder)
        with damaged_weights("toto", folder):
            model = Toto2Model.from_pretrained(str(folder))
            check_whole("toto", folder, model)
        super().__init__(config, model, architecture)
        self.patch = model.config.patch_size
        self.width = len(VARIATES) * model.config.d_model
        self.minimum_bars = max(self.patch, WINDOW + 1)
        if config.context % (2 * self.patch) or tuple(model.output_head.knots) != LEVELS:
            raise BackboneUnavailableError(
                f"patches of {self.patch} bars do not fit twice into a context of {config.context}, or its quantiles are "
                f"{model.output_head.knots}",
                where=f"toto weights in {folder}",
                remedy="set toto.context to a multiple of two patches in forecasting.yaml",
            )

    @torch.no_grad()
    def forecast(self, x: Tensor, horizon: int) -> Tensor:
        lengths = self._lengths_to_forecast(x)
        starts = self._anchors(lengths - 1)
        quantiles = x.new_empty((len(LEVELS), *x.shape[:2], horizon))
        # The package forecasts from the end of its input, so series whose passes are equally long go together.
        for bars in torch.unique(lengths - starts).tolist():
            rows = (lengths - starts == bars).nonzero().flatten()
            values, observed, level = self._passes(x, rows, starts[rows], bars)
            foretold = self.model.forecast(
                {"target": values, "target_mask": observed, "series_ids": _one_group(values)},
                horizon=horizon,
                quantile_real_cap_k=QUANTILE_CAP,
            )
            quantiles[:, rows] = level + foretold.to(x)
        return quantiles

    @torch.no_grad()
    def embed(self, x: Tensor) -> Tensor:
        """Hidden states `[B, V, P, d]` of the patches that end with the last bar of `x`, each within a context from its anchor;
        NaN for patches that reach beyond the end of a series.
        """
        phase = x.shape[-1] % self.patch
        closes = torch.arange(phase, x.shape[-1], self.patch, device=x.device) + self.patch - 1
        rows, patches = (closes < lengths_of(x).unsqueeze(-1)).nonzero(as_tuple=True)
        states = torch.full((x.shape[0], len(closes), self.width), torch.nan, dtype=torch.float32, device=x.device)
        states[rows, patches] = self.states_at(x, rows, closes[patches])
        return states.reshape(*states.shape[:2], x.shape[1], self.width // x.shape[1]).movedim(2, 1)

    @torch.no_grad()
    def states_at(self, x: Tensor, rows: Tensor, bars: Tensor) -> Tensor:
        starts = self._anchors(bars)
        patches = (bars + 1 - starts) // self.patch - 1
        passes, of_pass = torch.unique(torch.stack((rows, starts), dim=1), dim=0, return_inverse=True)
        states = torch.empty((len(bars), self.width), dtype=torch.float32, device=x.device)
        for first in range(0, len(passes), PASSES_AT_ONCE):
            chosen = ((of_pass >= first) & (of_pass < first + PASSES_AT_ONCE)).nonzero().flatten()
            row, start = passes[first : first + PASSES_AT_ONCE].unbind(dim=1)
            # What follows the last patch that is asked for changes nothing before it.
            hidden = self._hidden(*self._passes(x, row, start, self.patch * (int(patches[chosen].max()) + 1))[:2])
            states[chosen] = hidden[of_pass[chosen] - first, :, patches[chosen]].flatten(1).to(states)
        return states

    def _anchors(self, bars: Tensor) -> Tensor:
        """First bar of the pass that each bar belongs to."""
        closed = bars + 1
        phase = closed % self.patch
        step = self.context // 2
        beyond = (closed - phase - self.context).clamp_min(0)
        return phase + torch.div(beyond + step - 1, step, rounding_mode="floor") * step

    def _passes(self, x: Tensor, rows: Tensor, starts: Tensor, bars: int) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs of some passes: values `[N, V, bars]` float32 relative to the first of them, which of them are there, and that
        first one `[N, V, 1]` as it is in `x`. Logarithms of prices have few digits left in float32 unless it is taken away.
        """
        at = starts.unsqueeze(-1) + torch.arange(bars, device=x.device)
        values = x[rows.unsqueeze(-1), :, at.clamp_max(x.shape[-1] - 1)].movedim(-1, 1)
        observed = torch.isfinite(values) & (at < x.shape[-1]).unsqueeze(1)
        level = values[..., :1]
        device = next(self.model.parameters()).device
        relative = torch.where(observed, values - level, 0.0).float()
        return relative.to(device), observed.to(device), level

    def _hidden(self, values: Tensor, observed: Tensor) -> Tensor:
        """Hidden states `[N, V, P, d]` of every patch of some passes."""
        caught: list[Tensor] = []
        hook = self.model.transformer.register_forward_hook(lambda _module, _inputs, output: caught.append(output))
        try:
            self.model(
                target=values,
                target_mask=observed,
                cpm_mask=torch.ones_like(observed),
                series_ids=_one_group(values),
                num_return_steps=1,
            )
        finally:
            hook.remove()
        return caught[0]


def _one_group(values: Tensor) -> Tensor:
    """Series ids by which the variates of a pass inform each other, and no other pass."""
    return torch.zeros(values.shape[:2], dtype=torch.long, device=values.device)
