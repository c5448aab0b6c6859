"""The embedder: states, symbols, surroundings and time of one row become one vector for each symbol."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from toto_ops.configuration import StrictModel
from toto_ops.features.clock import CLOCK_FEATURES
from toto_ops.forecasting.embeddings.inputs import UNKNOWN, EmbeddingInputs

_ABSENT = -1e9
"""Added to the attention paid to an absent symbol: none is left, and a row without symbols still has finite numbers."""

_CLIP = 5.0
"""Standard scores beyond this are no more than this: one wild bar must not turn a whole row."""


class EmbedderShape(StrictModel):
    """Constructor arguments of the network.

    Attributes
    ----------
    state
        Width of the states of the backbone, `D`.
    context
        Width of the context, `C`.
    symbols
        Number of symbols with a vector of their own, `S`.
    width
        Width of the embeddings, `E`.
    """

    state: int = Field(ge=1)
    context: int = Field(ge=0)
    symbols: int = Field(ge=0)
    width: int = Field(ge=8)
    heads: int = Field(ge=1)
    dropout: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> EmbedderShape:
        if self.width % self.heads:
            raise ValueError(f"width ({self.width}) must be a multiple of heads ({self.heads})")
        return self


class Embedder(nn.Module):
    """`EmbeddingInputs` of `N` rows and `A` symbols to embeddings `[N, A, E]`, NaN where masked.

    The state of a bar is projected and joined by what symbol it is of, the context and the time. Then the symbols that are
    present in a row attend to one another (Vaswani et al., Attention Is All You Need, 2017, section 3.2), in whatever order:
    a row is a set. A symbol without a vector of its own has that of an unknown one, which is trained by hiding known ones.

    Rows know nothing of one another, so an embedding knows what its states know and no more.
    """

    state_location: Tensor
    state_scale: Tensor
    context_location: Tensor
    context_scale: Tensor

    def __init__(self, shape: EmbedderShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        for name, size in (("state", shape.state), ("context", shape.context)):
            self.register_buffer(f"{name}_location", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(size))
        self.state = nn.Sequential(nn.Linear(shape.state, width), nn.LayerNorm(width))
        self.symbol = nn.Embedding(shape.symbols + 1, width)
        nn.init.normal_(self.symbol.weight, std=0.1)
        self.context = nn.Linear(shape.context, width)
        self.clock = nn.Linear(len(CLOCK_FEATURES), width)
        self.attention_norm = nn.LayerNorm(width)
        self.attention = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.mixing = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.dropout = nn.Dropout(shape.dropout)
        self.norm = nn.LayerNorm(width)

    def fit_scaler(self, inputs: EmbeddingInputs) -> None:
        """Take location and scale of states and context from the rows that are fitted on."""
        for name, values in (("state", inputs.states), ("context", inputs.context)):
            known = values[inputs.mask].double()
            spread = known.std(dim=0, correction=0)
            getattr(self, f"{name}_location").copy_(known.mean(dim=0))
            # What never changed there says nothing when it does: it is left as it is.
            getattr(self, f"{name}_scale").copy_(torch.where(spread > 1e-6, spread, 1.0))

    def embed(self, inputs: EmbeddingInputs) -> Tensor:
        """Embeddings `[N, A, E]` of rows."""
        vectors: Tensor = self(inputs.states, inputs.context, inputs.clock, inputs.symbol.expand(inputs.mask.shape), inputs.mask)
        return vectors

    def forward(self, states: Tensor, context: Tensor, clock: Tensor, symbol: Tensor, mask: Tensor) -> Tensor:
        """As `embed`; `symbol` is `[N, A]`, so that it can be hidden in one row and not in another."""
        present = mask.unsqueeze(-1)
        token = (
            self.state(_scores(states, self.state_location, self.state_scale, present))
            + self.symbol(symbol - UNKNOWN)
            + self.context(_scores(context, self.context_location, self.context_scale, present))
            + self.clock(clock).unsqueeze(-2)
        )
        token = token + self.dropout(self._attend(token, mask))
        token = token + self.dropout(self.mixing(token))
        return torch.where(present, self.norm(token), torch.nan)

    def _attend(self, token: Tensor, mask: Tensor) -> Tensor:
        """`[N, A, E]` what each symbol takes from those present in its row."""
        heads = (self.shape.heads, self.shape.width // self.shape.heads)
        query, key, value = (
            part.unflatten(-1, heads).transpose(-2, -3) for part in self.attention(self.attention_norm(token)).chunk(3, dim=-1)
        )
        absent = torch.where(mask, 0.0, _ABSENT)[:, None, None, :]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=absent)
        attended: Tensor = self.attended(mixed.transpose(-2, -3).flatten(-2))
        return attended


def _scores(values: Tensor, location: Tensor, scale: Tensor, present: Tensor) -> Tensor:
    """Standard scores, 0 where there is nothing: NaN would reach the gradients of every weight."""
    return torch.where(present, (values - location) / scale, 0.0).clamp(-_CLIP, _CLIP)
