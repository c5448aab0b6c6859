"""Layers of the market transformer: attention over the latest bars, at a cost that grows with the bars, not their square."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROTARY_BASE = 1000.0
"""The slowest pair of a head of 16 numbers turns once in about 2,700 bars, many windows long; the fastest once in 6."""


class Blocks(NamedTuple):
    """What every layer needs to know of the positions it attends over.

    Attributes
    ----------
    sine, cosine
        `[T', 1, head / 2]`: by how much each bar turns the pairs of its queries and keys.
    seen
        `[B or 1, T' / window, 1, window, 2 window]` bool: which keys of its own and of the previous block a query sees.
    """

    sine: Tensor
    cosine: Tensor
    seen: Tensor

    @classmethod
    def of(cls, known: Tensor, window: int, head: int, dtype: torch.dtype) -> Blocks:
        """Of bars `[B, T']` that count or not; `T'` is a multiple of the window.

        A query sees itself, whatever it is, and the known bars among the `window - 1` before it.
        """
        series, bars = known.shape
        angles = _angles(bars, head, known.device)
        place = torch.arange(window, device=known.device)
        behind = (place + window).unsqueeze(-1) - torch.arange(2 * window, device=known.device)
        band = (behind >= 0) & (behind < window)
        blocks = F.pad(known, (window, 0)).unfold(-1, 2 * window, window).reshape(series, bars // window, 1, 1, 2 * window)
        return cls(angles.sin().to(dtype), angles.cos().to(dtype), (band & blocks) | (behind == 0))


def _angles(bars: int, head: int, device: torch.device) -> Tensor:
    frequencies = ROTARY_BASE ** (-torch.arange(0, head, 2, dtype=torch.float64, device=device) / head)
    return (torch.arange(bars, dtype=torch.float64, device=device).unsqueeze(-1) * frequencies).unsqueeze(1)


class SlidingWindowAttention(nn.Module):
    """Causal multi-head attention over the latest `window` bars, with rotary positions.

    Su et al., RoFormer: Enhanced Transformer with Rotary Position Embedding, 2021; Beltagy et al., Longformer, 2020, for the
    window. Queries are taken block by block, each block against its own keys and those of the block before: `2 window` keys a
    query, however long the series.
    """

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, states: Tensor, blocks: Blocks) -> Tensor:
        """`[B, T', D]` to the same."""
        series, bars, width = states.shape
        count, head = bars // self.window, width // self.heads
        query, key, value = self.query_key_value(states).view(series, bars, 3, self.heads, head).unbind(2)
        query = _turned(query, blocks).reshape(series, count, self.window, self.heads, head).transpose(2, 3)
        key, value = (self._with_previous(part) for part in (_turned(key, blocks), value))
        seen = blocks.seen.expand(series, -1, -1, -1, -1).flatten(0, 1)
        attended = F.scaled_dot_product_attention(query.flatten(0, 1), key, value, attn_mask=seen)
        mixed: Tensor = self.out(attended.transpose(1, 2).reshape(series, bars, width))
        return mixed

    def _with_previous(self, part: Tensor) -> Tensor:
        """Keys or values `[B, T', heads, head]` as `[B T' / window, heads, 2 window, head]`: each block after the one before."""
        series, bars, heads, head = part.shape
        own = part.reshape(series, bars // self.window, self.window, heads, head)
        previous = F.pad(own, (0, 0, 0, 0, 0, 0, 1, 0))[:, :-1]
        return torch.cat((previous, own), dim=2).flatten(0, 1).transpose(1, 2)


def _turned(part: Tensor, blocks: Blocks) -> Tensor:
    """Queries or keys `[B, T', heads, head]`, each pair turned by the position of its bar."""
    first, second = part.chunk(2, dim=-1)
    turned = (first * blocks.cosine - second * blocks.sine, first * blocks.sine + second * blocks.cosine)
    return torch.cat(turned, dim=-1)


class GatedMlp(nn.Module):
    """SwiGLU (Shazeer, GLU Variants Improve Transformer, 2020)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_and_value = nn.Linear(width, 2 * hidden, bias=False)
        self.out = nn.Linear(hidden, width, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        gate, value = self.gate_and_value(states).chunk(2, dim=-1)
        mixed: Tensor = self.out(F.silu(gate) * value)
        return mixed


class MarketBlock(nn.Module):
    """Attention, then MLP, each on normalised states and added to them (Xiong et al., On Layer Normalization, 2020)."""

    def __init__(self, width: int, heads: int, window: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SlidingWindowAttention(width, heads, window)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = GatedMlp(width, 2 * width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, blocks: Blocks) -> Tensor:
        states = states + self.dropout(self.attention(self.attention_norm(states), blocks))
        further: Tensor = states + self.dropout(self.mlp(self.mlp_norm(states)))
        return further


def initialise(module: nn.Module, layers: int) -> None:
    """Weights of a transformer of so many layers: normal with standard deviation 0.02, those that write into the sum of states
    smaller by the root of how many do (Radford et al., Language Models are Unsupervised Multitask Learners, 2019).
    """
    for name, part in module.named_modules():
        if isinstance(part, nn.Linear):
            writes = name.endswith((".attention.out", ".mlp.out"))
            nn.init.normal_(part.weight, std=0.02 / (math.sqrt(2.0 * layers) if writes else 1.0))
            if part.bias is not None:
                nn.init.zeros_(part.bias)
