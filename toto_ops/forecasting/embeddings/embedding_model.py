"""Forecaster, specialists and embedder together: what turns bars into embeddings and forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from toto_ops.errors import StorageError
from toto_ops.features.panel import Panel
from toto_ops.forecasting.embeddings.bar_states import BarsInRows, forecasts_in_rows, states_in_rows
from toto_ops.forecasting.embeddings.embedder import FittedEmbedder
from toto_ops.forecasting.embeddings.inputs import EmbeddingInputs, context_names, embedding_inputs
from toto_ops.forecasting.embeddings.placing import PlacedSeries
from toto_ops.forecasting.embeddings.table import EmbeddingTable
from toto_ops.forecasting.forecast_features import forecast_names
from toto_ops.forecasting.forecaster import Forecaster
from toto_ops.forecasting.specialists.specialists import Specialists
from toto_ops.storage.hashing import value_hash

ROWS_VERSION = "1"
"""Raise it when the same weights would give other rows: stored rows of another version are not taken over."""

ATTENTION_AT_ONCE = 1 << 23
"""Pairs of symbols, times heads, whose attention is held at a time: 32 MB."""


@dataclass(frozen=True)
class EmbeddingModel:
    """What embeddings and forecasts are made by.

    Attributes
    ----------
    specialists
        Those that serve beside the generic forecaster; None: it serves every symbol.
    """

    forecaster: Forecaster
    specialists: Specialists | None
    embedder: FittedEmbedder

    def __post_init__(self) -> None:
        if self.embedder.manifest.forecaster_identity != self.forecaster.identity:
            raise StorageError(
                f"reads the states of forecaster {self.embedder.manifest.forecaster_identity}, not {self.forecaster.identity}",
                where=f"embedder of {self.embedder.manifest.universe}",
                remedy="take forecaster and embedder from the same retraining",
            )

    @cached_property
    def identity(self) -> str:
        """Hash of all three and of how rows are made from them: models of one identity give the same rows."""
        specialists = self.specialists.identity if self.specialists else None
        return value_hash([self.forecaster.identity, specialists, self.embedder.identity, self.forecast_names, ROWS_VERSION])

    @property
    def forecast_names(self) -> tuple[str, ...]:
        """Names of the forecasts beside the embeddings."""
        return forecast_names(self.embedder.manifest.horizons)

    def require_context(self, panel: Panel) -> None:
        """Refuse a panel whose context is not that which the embedder reads.

        Raises
        ------
        StorageError
            Naming both.
        """
        names = self.embedder.manifest.context_names
        if context_names(panel) != names:
            raise StorageError(
                f"reads the context {names}, and the panel has {context_names(panel)}",
                where=f"embedder of {self.embedder.manifest.universe}",
                remedy="retrain: features have changed since it was fitted",
            )

    def rows(self, panel: Panel, series: Sequence[PlacedSeries], rows: slice) -> EmbeddingTable:
        """Embeddings and forecasts of rows `rows.start` to `rows.stop` of a panel, from bars up to the last of them.

        Parameters
        ----------
        series
            Of every symbol of the panel, in its order.
        """
        bars = BarsInRows(panel, series, rows)
        states = states_in_rows(self.forecaster.backbone, bars)
        inputs = embedding_inputs(panel, rows, states, self.embedder.manifest.symbols)
        forecast = forecasts_in_rows(states, self.specialists or self.forecaster, bars, self.embedder.manifest.horizons)
        return EmbeddingTable(
            symbols=panel.symbols,
            close_time=panel.close_time[rows],
            embedding=self._embed(inputs),
            forecast_names=self.forecast_names,
            forecast=torch.where(inputs.mask.unsqueeze(-1), forecast, torch.nan).numpy(),
        )

    def _embed(self, inputs: EmbeddingInputs) -> NDArray[np.float32]:
        """`[N, A, E]`, some rows at a time: what attention holds grows with the square of the symbols."""
        network = self.embedder.network
        pairs = inputs.mask.shape[1] ** 2 * network.shape.heads
        at_once = max(1, ATTENTION_AT_ONCE // max(1, pairs))
        with torch.no_grad():
            parts = [network.embed(inputs.take(slice(first, first + at_once))) for first in range(0, len(inputs), at_once)]
        vectors: NDArray[np.float32] = torch.cat(parts).numpy()
        return vectors
