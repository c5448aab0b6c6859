"""The specialists of a universe, ready to be asked: where one beat the generic forecaster it serves, elsewhere the generic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from pydantic import AwareDatetime, Field
from torch import Tensor

from toto_ops.configuration import StrictModel, VersionedModel
from toto_ops.forecasting.config import SpecialistConfig
from toto_ops.forecasting.forecaster import Forecaster
from toto_ops.forecasting.series import CLOSE
from toto_ops.forecasting.specialists.adapters import CloseHead, StackedAdapters
from toto_ops.forecasting.weights import tensors_hash


class SpecialistRow(StrictModel):
    """How the specialist of one symbol did against the generic forecaster.

    Losses are mean quantile losses of the close over the horizons, in the scale of each bar, on bars that neither was
    fitted on; None where there was nothing to measure.
    """

    symbol: str
    fit_bars: int = Field(description="bars it was fitted on")
    validation_bars: int = Field(description="bars that decided")
    generic_loss: float | None
    specialist_loss: float | None
    kept: bool = Field(description="whether the specialist serves; otherwise the generic forecaster does")
    reason: str

    @property
    def improvement(self) -> float | None:
        """Share of the generic loss that the specialist saves; negative where it is worse."""
        if not self.generic_loss or self.specialist_loss is None:
            return None
        return 1.0 - self.specialist_loss / self.generic_loss


class SpecialistsManifest(VersionedModel):
    """What stored specialists are and where they came from."""

    universe: str
    forecaster_identity: str = Field(description="hash of the generic forecaster they adapt")
    horizons: tuple[int, ...] = Field(description="bars ahead over which they foretell the close; the rest is the generic's")
    config: SpecialistConfig
    seed: int
    knows_until: AwareDatetime = Field(description="latest close that influenced weights or selection, the forecaster's included")
    possibly_knows_until: AwareDatetime | None = Field(default=None, description="as in the forecaster's manifest")
    table: tuple[SpecialistRow, ...]

    @property
    def kept(self) -> tuple[str, ...]:
        """Symbols whose specialist serves, in the order of their adapters."""
        return tuple(row.symbol for row in self.table if row.kept)


@dataclass(frozen=True)
class Specialists:
    """The adapters of the specialists that were kept, on the forecaster they adapt.

    Attributes
    ----------
    adapters
        Of `manifest.kept`, in that order.
    """

    forecaster: Forecaster
    adapters: StackedAdapters
    manifest: SpecialistsManifest

    def __post_init__(self) -> None:
        if len(self.adapters) != len(self.manifest.kept):
            raise ValueError(f"{len(self.manifest.kept)} specialists were kept, and there are adapters of {len(self.adapters)}")

    @property
    def table(self) -> tuple[SpecialistRow, ...]:
        """Generic against specialist, symbol by symbol."""
        return self.manifest.table

    @cached_property
    def identity(self) -> str:
        """Hash of the forecaster, every adapter and whose it is: specialists of one identity say the same."""
        horizons = ",".join(map(str, self.manifest.horizons))
        return tensors_hash({"adapters": self.adapters.state_dict()}, self.forecaster.identity, horizons, *self.manifest.kept)

    def quantiles(self, states: Tensor, symbols: Sequence[str]) -> Tensor:
        """Quantiles `[B, T, V, H, Q]` of `CausalScale.targets` by whoever serves each symbol; NaN where there is no state.

        Specialists speak of the close over their horizons. Range, volume and other horizons are the generic forecaster's, and
        so is everything of a symbol without a specialist, known or not.

        Parameters
        ----------
        states
            `[B, T, D]` float32 from `backbone.states`.
        symbols
            Whose they are, row by row; a symbol may come more than once.

        Raises
        ------
        ValueError
            If there are not as many symbols as rows.
        """
        if len(symbols) != len(states):
            raise ValueError(f"states of {len(states)} series were given for {len(symbols)} symbols")
        quantiles = self.forecaster.quantiles(states, symbols)
        adapter = {symbol: place for place, symbol in enumerate(self.manifest.kept)}
        rows = [row for row, symbol in enumerate(symbols) if symbol in adapter]
        if rows:
            own = self.adapters(self._close, states[rows], [adapter[symbols[row]] for row in rows])
            columns = [horizon - 1 for horizon in self.manifest.horizons]
            quantiles[torch.tensor(rows).unsqueeze(-1), :, CLOSE, columns] = own.movedim(2, 1)
        return quantiles

    @cached_property
    def _close(self) -> CloseHead:
        return CloseHead(self.forecaster.head, self.manifest.horizons)
