"""Take over into a network what fits of a stored model, say what did not, and decide what is then trained.

Tensors are matched by name, first as they are and then canonically (`toto_ops.forecasting.reuse.names`), and taken over
only where their shapes agree: two tensors of one shape and different names are different things.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from toto_ops.configuration import StrictModel
from toto_ops.errors import ConfigError, StorageError
from toto_ops.forecasting.config import ReuseConfig
from toto_ops.forecasting.reuse.names import Piece, canonical, pieces, unambiguous

_SHOWN = 3
_UNKNOWN_HERE = "has no counterpart"


class Reused(StrictModel):
    """What became of the tensors of a stored model."""

    source: str = Field(description="name of the stored model")
    loaded: dict[str, str] = Field(description="tensor of the network to the stored ones it was taken from")
    left_out: dict[str, str] = Field(description="stored tensor that was not taken over, or only in part, to the reason")
    new: tuple[str, ...] = Field(description="tensors of the network that begin as they were made")

    def __str__(self) -> str:
        return f"{self.source}: {len(self.loaded)} tensors taken over, {len(self.left_out)} left out, {len(self.new)} new"


@dataclass(frozen=True)
class _Plan:
    """What would be copied where.

    Attributes
    ----------
    pairs
        Tensor of the network to its parts, each with the stored part it would be taken from.
    """

    own: Mapping[str, Tensor]
    pairs: Mapping[str, list[tuple[Piece, Piece]]]
    left_out: Mapping[str, str]


def reuse_weights(network: nn.Module, tensors: Mapping[str, Tensor], source: str = "a stored model") -> Reused:
    """Copy what fits by name and shape into a network. Where it raises, the network is as it was.

    Parameters
    ----------
    tensors
        Of a stored model, of any layout whose names are known.
    source
        What the model is called, in the report and in errors.

    Raises
    ------
    StorageError
        If nothing fits, or nothing but the head of a model that has more than a head: it is of another architecture. Or if
        something that fits is not finite.
    """
    plan = _plan(network, tensors, source)
    with torch.no_grad():
        for pairs in plan.pairs.values():
            for part, partner in pairs:
                part.tensor.copy_(partner.tensor)
    return Reused(
        source=source,
        loaded={whole: ", ".join(dict.fromkeys(partner.whole for _, partner in pairs)) for whole, pairs in plan.pairs.items()},
        left_out=dict(plan.left_out),
        new=tuple(whole for whole in plan.own if whole not in plan.pairs),
    )


def require_reusable(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Raise what `reuse_weights` would, and copy nothing."""
    _plan(network, tensors, source)


def parameter_groups(network: nn.Module, reused: Reused, config: ReuseConfig, learning_rate: float) -> list[dict[str, Any]]:
    """What an optimizer is to train after `reuse_weights`, each group with its learning rate.

    What was taken over into the backbone is frozen, and only new layers are trained; the head is always one of them, since
    it is through the head that new bars are learnt. With `config.unfreeze` what was taken over is trained too, at a share
    of the learning rate.

    Raises
    ------
    ConfigError
        If nothing is left to train.
    """
    named = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    kept = [parameter for name, parameter in named if name in reused.loaded and not _in_head(name)]
    new = [parameter for name, parameter in named if name not in reused.loaded or _in_head(name)]
    groups = [{"params": new, "lr": learning_rate}]
    if config.unfreeze:
        groups.append({"params": kept, "lr": config.learning_rate_share * learning_rate})
    else:
        for parameter in kept:
            parameter.requires_grad_(False)  # noqa: FBT003 - torch's
    trained = [group for group in groups if group["params"]]
    if not trained:
        raise ConfigError(
            f"everything was taken over from {reused.source} and is frozen: nothing is left to train",
            where="reuse.unfreeze",
            remedy="set it to true in forecasting.yaml",
        )
    return trained


def _plan(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> _Plan:
    own = {name: tensor for name, tensor in network.state_dict().items() if isinstance(tensor, Tensor)}
    parts: dict[str, list[Piece]] = {name: [] for name in own}
    for part in pieces(own):
        parts[part.whole].append(part)
    partners = _partners([part for of_it in parts.values() for part in of_it], list(pieces(tensors)))
    fitting: dict[str, list[tuple[Piece, Piece]]] = {}
    left_out: dict[str, str] = {}
    for whole, of_it in parts.items():
        pairs = [(part, partners[part]) for part in of_it if part in partners]
        faults = [_fault(part, partner) for part, partner in pairs]
        if len(pairs) == len(of_it) and not any(faults):
            fitting[whole] = pairs
        else:
            left_out |= {
                partner.whole: fault or f"is only a part of {whole}" for (_, partner), fault in zip(pairs, faults, strict=True)
            }
    placed = {partner.whole for partner in partners.values()}
    left_out |= _unplaced(tensors, placed)
    plan = _Plan(own, fitting, left_out)
    _require_fit(plan, tensors, source)
    _require_finite(plan, source)
    return plan


def _partners(own: list[Piece], stored: list[Piece]) -> dict[Piece, Piece]:
    """For each part of the network the stored one of its name; of its canonical name, where neither has more than one such."""
    as_they_are = {(piece.whole, piece.name): piece for piece in stored}
    partners = {part: found for part in own if (found := as_they_are.get((part.whole, part.name)))}
    claimed = set(partners.values())
    by_name = unambiguous(piece for piece in stored if piece not in claimed)
    for name, part in unambiguous(part for part in own if part not in partners).items():
        if name in by_name:
            partners[part] = by_name[name]
    return partners


def _fault(part: Piece, partner: Piece) -> str:
    """Why a stored part cannot be taken over into the one of its name; empty if it can."""
    here, there = part.tensor, partner.tensor
    counterpart = "" if part.whole == partner.whole else f"{part.whole} "
    if here.shape != there.shape:
        return f"is {_shape(there)}{_which(partner)}, in this network {counterpart}{_shape(here)}{_which(part)}"
    if here.is_floating_point() != there.is_floating_point() or here.is_complex() != there.is_complex():
        return f"holds {_dtype(there)}, in this network {counterpart}{_dtype(here)}"
    return ""


def _which(piece: Piece) -> str:
    """Which part of a fused tensor a piece is, for a message; empty where it is the whole."""
    return "" if piece.name == canonical(piece.whole) else f" in its rows of {piece.name.split('.')[-2]}"


def _unplaced(tensors: Mapping[str, Tensor], placed: Collection[str]) -> dict[str, str]:
    """Why each stored tensor that has found no place in the network has none."""
    of_name: dict[str, list[str]] = {}
    for name in tensors:
        of_name.setdefault(canonical(name), []).append(name)
    reasons = {}
    for same in of_name.values():
        for name in same:
            others = ", ".join(other for other in same if other != name)
            if name not in placed:
                reasons[name] = f"may be the same as {others}" if others else _UNKNOWN_HERE
    return reasons


def _require_fit(plan: _Plan, tensors: Mapping[str, Tensor], source: str) -> None:
    more_than_a_head = any(not _in_head(name) for name in tensors) and any(not _in_head(name) for name in plan.own)
    if any(not _in_head(name) or not more_than_a_head for name in plan.pairs):
        return
    unfit = [f"{name} {reason}" for name, reason in plan.left_out.items() if reason != _UNKNOWN_HERE]
    raise StorageError(
        "is of another architecture: "
        + ("; ".join(unfit[:_SHOWN]) or f"it holds {_some(tensors)}, and this network {_some(plan.own)}"),
        where=source,
        remedy="name weights of this architecture, set that section of forecasting.yaml to theirs, or turn reuse off",
    )


def _require_finite(plan: _Plan, source: str) -> None:
    fitting = [partner for pairs in plan.pairs.values() for _, partner in pairs]
    wild = dict.fromkeys(partner.whole for partner in fitting if not partner.tensor.isfinite().all())
    if wild:
        raise StorageError(
            f"holds numbers that are not finite, in {', '.join(list(wild)[:_SHOWN])}",
            where=source,
            remedy="it was stored by a training that failed: remove it",
        )


def _in_head(name: str) -> bool:
    return canonical(name).split(".")[0] == "head"


def _some(tensors: Mapping[str, Tensor]) -> str:
    shown = [f"{name} {_shape(tensor)}" for name, tensor in list(tensors.items())[:_SHOWN]]
    return ", ".join(shown) + (", …" if len(tensors) > _SHOWN else "") or "nothing"


def _shape(tensor: Tensor) -> str:
    return f"[{', '.join(map(str, tensor.shape))}]"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
