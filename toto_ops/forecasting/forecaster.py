"""The forecaster of a universe: a backbone, and the quantile head that stands on its states. Stored without pickles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol

from pydantic import AwareDatetime, Field
from torch import Tensor, nn

from toto_ops.configuration import StrictModel, VersionedModel
from toto_ops.forecasting.backbones.contract import Backbone
from toto_ops.forecasting.head import QuantileHead


class PassedOver(StrictModel):
    """A backbone that was preferred and could not be used."""

    backbone: str
    reason: str


class ForecasterManifest(VersionedModel):
    """What a stored forecaster is and where it came from."""

    universe: str
    backbone: str = Field(description="kind of the backbone")
    backbone_config: dict[str, Any] = Field(description="its section of forecasting.yaml: with it the backbone is made again")
    backbone_identity: str = Field(description="hash of its architecture and weights")
    head: dict[str, Any] = Field(description="constructor arguments of the quantile head")
    symbols: tuple[str, ...] = Field(description="symbols it was fitted on; it foretells others too")
    config: dict[str, Any] = Field(description="how it was fitted")
    passed_over: tuple[PassedOver, ...] = ()
    reused: dict[str, Any] | None = Field(default=None, description="what was taken over from an earlier model, and what not")
    inputs_hash: str
    data_hash: str
    code_version: str
    seed: int
    knows_until: AwareDatetime = Field(description="latest close that influenced weights, scale or selection")
    possibly_knows_until: AwareDatetime | None = Field(
        default=None, description="release of weights from elsewhere: bars up to it may have been in their training"
    )
    metrics: dict[str, float] = Field(default_factory=dict)

    def knows(self, moment: datetime) -> bool:
        """Whether bars up to `moment` may have influenced it."""
        return moment <= max(filter(None, (self.knows_until, self.possibly_knows_until)))


class Network(nn.Module):
    """Backbone and head as one module: what is trained, and whose tensors are stored.

    Parameters
    ----------
    head
        For a backbone without one of its own.
    """

    def __init__(self, backbone: Backbone, head: QuantileHead | None = None) -> None:
        super().__init__()
        if (backbone.head is None) == (head is None):
            raise ValueError("a network has one quantile head: the backbone's, or one that stands on its states")
        self.backbone = backbone
        self.added_head = head

    @classmethod
    def untrained(cls, backbone: Backbone, horizon: int, hidden: int) -> Network:
        """Of a backbone as it is if it has a head, else with an untrained one on its states."""
        return cls(backbone, None if backbone.head is not None else QuantileHead(backbone.width, hidden, horizon))

    @property
    def head(self) -> QuantileHead:
        head = self.backbone.head or self.added_head
        assert head is not None  # noqa: S101 - the constructor sees to it
        return head


class QuantileForecaster(Protocol):
    """Who foretells from the states of a backbone: a forecaster, or its specialists (`toto_ops.forecasting.specialists`)."""

    def quantiles(self, states: Tensor, symbols: Sequence[str]) -> Tensor:
        """Quantiles `[B, T, V, H, Q]` of `CausalScale.targets`; NaN where there is no state.

        Parameters
        ----------
        states
            `[B, T, D]` float32 from `backbone.states`.
        symbols
            `B` names: whose they are.
        """
        ...


@dataclass(frozen=True)
class Forecaster:
    """A fitted forecaster, ready to be asked."""

    network: Network
    manifest: ForecasterManifest

    @property
    def backbone(self) -> Backbone:
        return self.network.backbone

    @property
    def head(self) -> QuantileHead:
        return self.network.head

    @cached_property
    def identity(self) -> str:
        """Hash of every weight: forecasters of one identity say the same."""
        from toto_ops.forecasting.weights import tensors_hash

        return tensors_hash({"head": self.head.state_dict()}, self.backbone.identity)

    def quantiles(self, states: Tensor, symbols: Sequence[str]) -> Tensor:  # noqa: ARG002 - one head serves them all
        """As `QuantileForecaster.quantiles`: it says the same of every symbol."""
        quantiles: Tensor = self.head(states)
        return quantiles
