"""The project's own backbone: a small causal transformer over bars, pretrained on the universe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toto_ops.errors import InsufficientDataError
from toto_ops.forecasting.backbones.contract import Backbone, Capabilities
from toto_ops.forecasting.backbones.market_layers import Blocks, MarketBlock, initialise
from toto_ops.forecasting.backbones.pieces import in_pieces
from toto_ops.forecasting.config import MarketConfig
from toto_ops.forecasting.head import QuantileHead
from toto_ops.forecasting.scaling import WINDOW, CausalScale
from toto_ops.forecasting.series import VARIATES, lengths_of, newest
from toto_ops.forecasting.weights import tensors_hash
from toto_ops.storage.hashing import value_hash

AT_ONCE = 4096
"""Bars in one pass without gradients: what the layers hold of them stays in the cache of a core."""


class MarketBackbone(Backbone):
    """One token for each bar: the scaled inputs of the last `config.patch` bars, that one included (patches of stride 1).

    Each layer looks at the latest `config.window` bars, so a state depends on `receptive_bars` bars and no more: the states of
    the newest bars cost a pass over that many, however long the series. The shipped configuration has 126,912 weights,
    and its head for 20 bars 78,108 more.

    Parameters
    ----------
    horizon, head_hidden
        Of its quantile head, which is trained along with it.

    Attributes
    ----------
    receptive_bars
        Bars, the present one included, that its state depends on.
    """

    kind: ClassVar[str] = "market"
    capabilities: ClassVar[Capabilities] = Capabilities(can_fine_tune=True, multivariate=True, causal_per_patch=True)
    head: QuantileHead

    def __init__(self, config: MarketConfig, horizon: int, head_hidden: int) -> None:
        super().__init__()
        self.config = config
        self.width = config.width
        self.patch = 1
        # A scale takes WINDOW returns, hence one bar more; the first patch is whole config.patch - 1 bars later.
        self.minimum_bars = WINDOW + config.patch
        self.receptive_bars = self.minimum_bars + config.layers * (config.window - 1)
        self.token = nn.Linear(config.patch * len(VARIATES), config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            MarketBlock(config.width, config.heads, config.window, config.dropout) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        initialise(self.blocks, config.layers)
        self.head = QuantileHead(config.width, head_hidden, horizon)

    @property
    def identity(self) -> str:
        return tensors_hash({self.kind: self.state_dict()}, value_hash(self.config))

    def forward(self, inputs: Tensor, known: Tensor) -> Tensor:
        """States `[B, T, D]` from what `CausalScale` makes of series: the entry of training.

        Parameters
        ----------
        inputs
            `[B, V, T]` `CausalScale.inputs`, 0 where they are not known.
        known
            `[B, T]` bool: whether they are. A patch counts where all its bars are known; the states of others are finite and
            mean nothing.
        """
        bars, window, patch = inputs.shape[-1], self.config.window, self.config.patch
        before, after = patch - 1, -bars % window
        patches = F.pad(inputs.to(self.token.weight.dtype), (before, after)).unfold(-1, patch, 1)
        whole = F.pad(whole_patches(known, patch), (0, after))
        blocks = Blocks.of(whole, window, self.width // self.config.heads, self.token.weight.dtype)
        states = self.dropout(self.token(patches.transpose(1, 2).flatten(2)))
        for block in self.blocks:
            states = block(states, blocks)
        normalised: Tensor = self.norm(states[:, :bars])
        return normalised

    def embed(self, x: Tensor) -> Tensor:
        """`[B, 1, T, D]`: variates share one state, and every bar has its own; NaN where it is not known.

        Made as in evaluation and without gradients, whatever mode the module is in; long series a stretch at a time.
        """
        lengths_of(x)
        with torch.no_grad(), _evaluating(self):
            return in_pieces(self._known_states, x, self.receptive_bars, AT_ONCE).unsqueeze(1)

    def latest_states(self, x: Tensor, count: int) -> Tensor:
        return super().latest_states(newest(x, self.receptive_bars + count - 1), count)

    def forecast(self, x: Tensor, horizon: int) -> Tensor:
        self._lengths_to_forecast(x)
        if horizon > self.head.horizon:
            raise InsufficientDataError(
                f"asked for {horizon} bars ahead of a forecaster that looks {self.head.horizon} ahead",
                where=f"backbone {self.kind}",
                remedy="raise `horizon` in forecasting.yaml and retrain the forecaster",
            )
        recent = newest(x, self.receptive_bars)
        states = self.latest_states(recent, 1)
        with torch.no_grad():
            own = self.head(states)[..., :horizon, :].double()
        last = (lengths_of(recent) - 1).unsqueeze(-1)
        return CausalScale.of(recent).at(last).real_units(own)[:, 0].permute(3, 0, 1, 2)

    def _known_states(self, x: Tensor) -> Tensor:
        """`[B, T, D]`, NaN where there is no state."""
        inputs = CausalScale.of(x).inputs
        known = torch.isfinite(inputs).all(dim=1)
        states = self(inputs.nan_to_num(nan=0.0), known)
        return torch.where(whole_patches(known, self.config.patch).unsqueeze(-1), states, torch.nan)


def whole_patches(known: Tensor, patch: int) -> Tensor:
    """`[B, T]` bool: whether all bars of the patch that ends with each bar are known."""
    so_far = F.pad(known.cumsum(dim=-1), (patch, 0))
    return so_far[:, patch:] - so_far[:, :-patch] == patch


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Without dropout, and then as before."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
