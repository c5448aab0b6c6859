"""The Backbone contract: all that pretraining, specialists and embeddings know of a forecasting model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

import torch
from torch import Tensor, nn

from toto_ops.errors import InsufficientDataError
from toto_ops.forecasting.head import QuantileHead
from toto_ops.forecasting.series import lengths_of


@dataclass(frozen=True)
class Capabilities:
    """What a backbone can do.

    Attributes
    ----------
    can_fine_tune
        Its weights are trained along with the head; otherwise only what stands on its states is.
    multivariate
        Its own forecast of a variate depends on the others of the series too.
    causal_per_patch
        One pass gives every patch the state it would have were it the last: the states of a whole series cost one pass for
        each phase of a patch. Otherwise each bar needs a window of its own.
    """

    can_fine_tune: bool
    multivariate: bool
    causal_per_patch: bool


class Backbone(nn.Module, ABC):
    """A forecasting model over series `[B, V, T]` (`toto_ops.forecasting.series.stacked`; NaN after the end of a series).

    **Causal.** The state of a bar, and every forecast made at it, depends on that bar and those before it in its own series:
    later bars, other series of the batch, and how many bars follow change nothing but the last bits. States that cannot be
    known yet are NaN, never zeros.

    Attributes
    ----------
    kind
        Its name in `forecasting.yaml`.
    width
        `D`, numbers in the state of a bar.
    minimum_bars
        Bars before the first state: the state of bar `minimum_bars - 1` is the first one that is not NaN.
    patch
        Bars in one patch.
    head
        Its own quantile head, where it is trained here along with it; None where it foretells by other means.
    """

    kind: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    width: int
    minimum_bars: int
    patch: int
    head: QuantileHead | None

    def __init__(self) -> None:
        super().__init__()
        # Not a class attribute: that would hide the module of the same name that a subclass sets.
        self.head = None

    @property
    @abstractmethod
    def identity(self) -> str:
        """Hash of kind, architecture and weights: backbones of one identity give the same states."""

    @property
    def released(self) -> datetime | None:
        """When weights from elsewhere were published: older bars may have been in their training. None: made here, or none."""
        return None

    @abstractmethod
    def forecast(self, x: Tensor, horizon: int) -> Tensor:
        """Quantiles `[Q, B, V, H]` of the `horizon` values after the last bar of each series, in units of `x`, not crossing.

        Raises
        ------
        InsufficientDataError
            If a series has fewer than `minimum_bars`, or the horizon is longer than it can foretell.
        BarDataError
            If a value within a series is not finite.
        """

    @abstractmethod
    def embed(self, x: Tensor) -> Tensor:
        """Hidden states `[B, V, P, d]` of the patches that end with the last bar of `x` and follow one another without overlap
        (or overlap wholly, with stride 1, where `patch` is 1). `V` is 1 where the model mixes variates into one state.
        """

    def states(self, x: Tensor) -> Tensor:
        """The state known at the close of each bar, `[B, T, D]` float32; NaN before `minimum_bars` and after the end.

        Where a patch has several bars, one pass for each phase gives every bar the state of the patch that closes with it;
        states of several variates stand side by side.
        """
        bars = x.shape[-1]
        lengths = lengths_of(x)
        states = torch.full((x.shape[0], bars, self.width), torch.nan, dtype=torch.float32, device=x.device)
        for phase in range(self.patch):
            end = bars - phase
            if end < self.minimum_bars:
                break
            patches = self.embed(x[..., end % self.patch : end]).movedim(1, 2).flatten(2)
            closes = torch.arange(end - 1, -1, -self.patch, device=x.device)[: patches.shape[1]].flip(0)
            states[:, closes] = patches.float()
        bar = torch.arange(bars, device=x.device)
        known = (bar >= self.minimum_bars - 1) & (bar < lengths.unsqueeze(-1))
        return torch.where(known.unsqueeze(-1), states, torch.nan)

    def latest_states(self, x: Tensor, count: int) -> Tensor:
        """`states` of the last `count` bars of each series alone, `[B, count, D]`, the newest last; NaN where there are fewer.

        Backbones that can tell them without the states of all bars before do so: this is what a new day costs.
        """
        states = self.states(x)
        bar = lengths_of(x).unsqueeze(-1) - torch.arange(count, 0, -1, device=x.device)
        found = states.gather(1, bar.clamp_min(0).unsqueeze(-1).expand(-1, -1, self.width))
        return torch.where((bar >= 0).unsqueeze(-1), found, torch.nan)

    def _lengths_to_forecast(self, x: Tensor) -> Tensor:
        """`[B]` bars of each series.

        Raises
        ------
        InsufficientDataError
            If one has fewer than `minimum_bars`.
        BarDataError
            If a value within one is not finite.
        """
        lengths = lengths_of(x)
        short = (lengths < self.minimum_bars).nonzero().flatten().tolist()
        if short:
            raise InsufficientDataError(
                f"{int(lengths[short[0]])} bars are fewer than the {self.minimum_bars} that {self.kind} needs to foretell",
                where=f"series {short[0]}",
                remedy="leave this series out until it has more",
            )
        return lengths
