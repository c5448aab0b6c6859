"""The Policy contract: all that evaluation, gates, registry and serving know of a model.

A policy is a torch module from raw observations to decisions (its scaler is inside), with a manifest that says what
it is. It is stored as safetensors plus JSON, never as a pickle, and every policy exports to ONNX the same way.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from pydantic import AwareDatetime, Field
from torch import Tensor, nn

from toto_ops.configuration import VersionedModel
from toto_ops.errors import StorageError
from toto_ops.simulation.observation import Decision, Observation
from toto_ops.simulation.observation_schema import NEITHER, OF_A_FORECASTER, STATE, MarketWidths, schema_for
from toto_ops.storage.manifests import stored_manifest

MANIFEST = "policy.json"

_KINDS: dict[str, type[Policy]] = {}


class PolicyManifest(VersionedModel):
    """What a stored policy is and where it came from."""

    kind: str = Field(description="which Policy class loads it")
    line: str = Field(description="line of models: bc, ...; `fallback` for the analysts' ensemble")
    universe: str
    symbols: tuple[str, ...]
    observation_schema: str = STATE.name
    architecture: dict[str, Any] = Field(description="constructor arguments of the Policy class")
    config: dict[str, Any] = Field(description="training configuration")
    inputs_hash: str = Field(description="hash of everything that determined the weights")
    data_hash: str
    code_version: str
    seed: int | None = None
    knows_until: AwareDatetime | None = Field(
        description="latest close that influenced weights, scaler or selection; None: nothing fitted"
    )
    possibly_knows_until: AwareDatetime | None = Field(
        default=None,
        description="release of weights from elsewhere that it observes: bars up to it may have been in their training",
    )
    forecaster: str | None = Field(
        default=None, description="hash of the forecaster it observes: another one says other things by the same names"
    )
    metrics: dict[str, float] = Field(default_factory=dict)
    parent: str | None = None

    def knows(self, moment: datetime) -> bool:
        """Whether bars up to `moment` may have influenced this policy."""
        return self.knows_until is not None and moment <= self.knows_until


class Policy(nn.Module):
    """Base of every policy: `forward` maps observation tensors to the tensors of a `Decision`.

    Subclasses set `kind`, take only JSON-serialisable constructor arguments, and implement `forward`, which takes the
    fields of `Observation` that `inputs` names, in that order.
    """

    kind: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]] = STATE.fields

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Raises where a field is misspelt: when the class is written, not when it is first asked.
        schema_for(cls.inputs)
        if "kind" in cls.__dict__:
            _KINDS[cls.kind] = cls

    @classmethod
    def observation_schema(cls) -> str:
        """Name of the schema its inputs are of, for the manifest."""
        return schema_for(cls.inputs).name

    @property
    def widths(self) -> MarketWidths:
        """Context features, forecasts and embedding values it takes per symbol, where its inputs have them."""
        return NEITHER

    @classmethod
    def observes_forecasts(cls) -> bool:
        """Whether it can only decide on a market with forecasts and embeddings attached."""
        return not set(OF_A_FORECASTER).isdisjoint(cls.inputs)

    @property
    @abstractmethod
    def architecture(self) -> dict[str, Any]:
        """The constructor arguments, so that `type(self)(**architecture)` has the same shape."""

    @abstractmethod
    def forward(self, *inputs: Any, **named: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The `inputs` to the tensors of `Decision`, in its order. Deterministic; ONNX-exportable."""

    def act(self, observation: Observation) -> Decision:
        """Decide for one bar in all accounts and symbols, without gradients."""
        with torch.no_grad():
            return Decision(*self(*observation.take(self.inputs)))

    @property
    def family(self) -> Hashable:
        """Policies of one family can be asked in one call (`stacked`); unless a kind says more, each is its own."""
        return id(self)

    @classmethod
    def stacked(cls, policies: Sequence[Any]) -> Callable[[Observation], Decision]:
        """What answers the account at place `b` as `policies[b]` does; all are of one family."""
        act: Callable[[Observation], Decision] = policies[0].act
        return act

    def save(self, folder: Path, manifest: PolicyManifest) -> None:
        """Write `policy.safetensors` and `policy.json` into an existing folder."""
        from safetensors.torch import save_file

        save_file({name: tensor.contiguous() for name, tensor in self.state_dict().items()}, folder / "policy.safetensors")
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1))

    @classmethod
    def restore(cls, folder: Path, manifest: PolicyManifest) -> Self:
        """Rebuild a policy of this class from its folder."""
        from safetensors.torch import load_file

        policy = cls(**manifest.architecture)
        policy.load_state_dict(load_file(folder / "policy.safetensors"))
        policy.eval()
        return policy


def load_policy(folder: Path) -> tuple[Policy, PolicyManifest]:
    """Load any stored policy.

    Raises
    ------
    StorageError
        If the folder holds none, the kind is unknown, it sees other observations than its kind does in this release, or
        the manifest is of another schema version.
    """
    manifest = read_manifest(folder)
    if manifest.kind not in _KINDS:
        raise StorageError(
            f"policy kind {manifest.kind!r} is unknown; known: {sorted(_KINDS)}",
            where=str(folder / MANIFEST),
            remedy="upgrade toto-ops",
        )
    kind = _KINDS[manifest.kind]
    if manifest.observation_schema != kind.observation_schema():
        raise StorageError(
            f"expects observations {manifest.observation_schema!r}, a {manifest.kind!r} policy of this release takes "
            f"{kind.observation_schema()!r}",
            where=str(folder / MANIFEST),
            remedy="retrain, or use the release that stored it",
        )
    return kind.restore(folder, manifest), manifest


def read_manifest(folder: Path) -> PolicyManifest:
    """What the policy in a folder is, without loading it.

    Raises
    ------
    StorageError
        If the folder holds no manifest, or one of a schema version this release cannot read.
    """
    return stored_manifest(folder / MANIFEST, PolicyManifest, "policy", remedy="retrain, or name another version")
