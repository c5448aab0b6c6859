"""What embeddings are made from, row by row of a panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toto_ops.errors import ConfigError
from toto_ops.features.clock import clock
from toto_ops.features.panel import Panel
from toto_ops.features.state import REGIME_FEATURES

UNKNOWN = -1
"""Number of a symbol that an embedder was not fitted on."""


@dataclass(frozen=True)
class EmbeddingInputs:
    """Inputs of the embedder for `N` rows and `A` symbols.

    Attributes
    ----------
    states
        `[N, A, D]` float32 state of the bar that closes in the row; anything where masked.
    context
        `[N, A, C]` float32 place in the market and volatility regime, as `context_names` names them.
    clock
        `[N, 6]` float32 time of the close.
    symbol
        `[A]` int64 number of each symbol among those the embedder was fitted on; `UNKNOWN` for others.
    mask
        `[N, A]` bool: the symbol may be decided on in this row, and the state of its bar is known.
    """

    states: Tensor
    context: Tensor
    clock: Tensor
    symbol: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return len(self.mask)

    def take(self, rows: slice | Tensor) -> EmbeddingInputs:
        """Some of the rows."""
        return EmbeddingInputs(self.states[rows], self.context[rows], self.clock[rows], self.symbol, self.mask[rows])


def context_names(panel: Panel) -> tuple[str, ...]:
    """Names along the last axis of `EmbeddingInputs.context`: the context of the panel, then the volatility regime."""
    return (*panel.context_names, *REGIME_FEATURES)


def context_of(panel: Panel, rows: slice) -> NDArray[np.float32]:
    """`[N, A, C]` context of some rows, in the order of `context_names`.

    Raises
    ------
    ConfigError
        If the panel has no volatility regimes.
    """
    absent = [name for name in REGIME_FEATURES if name not in panel.feature_names]
    if absent:
        raise ConfigError(f"the panel has no {', '.join(absent)}", remedy="compute features with this release")
    columns = [panel.feature_names.index(name) for name in REGIME_FEATURES]
    return np.concatenate((panel.context[rows], panel.features[rows][..., columns]), axis=-1)


def symbol_numbers(symbols: Sequence[str], fitted: Sequence[str]) -> Tensor:
    """`[A]` int64 number of each of `symbols` among those an embedder was `fitted` on; `UNKNOWN` for new ones."""
    number = {symbol: position for position, symbol in enumerate(fitted)}
    return torch.tensor([number.get(symbol, UNKNOWN) for symbol in symbols], dtype=torch.int64)


def embedding_inputs(panel: Panel, rows: slice, states: Tensor, fitted: Sequence[str]) -> EmbeddingInputs:
    """Inputs for some rows of a panel.

    Parameters
    ----------
    states
        `[N, A, D]` float32 states of the bars that close in those rows; NaN where there is none.
    fitted
        Symbols the embedder was fitted on.
    """
    return EmbeddingInputs(
        states=states,
        context=torch.from_numpy(context_of(panel, rows)),
        clock=torch.from_numpy(clock(panel.close_time[rows])),
        symbol=symbol_numbers(panel.symbols, fitted),
        mask=torch.from_numpy(panel.mask[rows]) & torch.isfinite(states).all(dim=-1),
    )
