"""ONNX export of any policy, and the proof that the exported model decides as the policy does.

The graph takes the raw tensors of an `Observation` that the policy's `inputs` name, under those names (the scaler is inside
the policy), and returns those of a `Decision`. Accounts and symbols are dynamic axes, so one file serves a single symbol as
well as a whole universe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toto_ops.errors import PromotionError
from toto_ops.features.state import (
    MARKET_FEATURES,
    QUALITY_FEATURES,
    REGIME_FEATURES,
    RETURN_FEATURES,
    SENTIMENT_FEATURES,
)
from toto_ops.learning.onnx_files import open_session, write_onnx
from toto_ops.policies.contract import Policy, PolicyManifest
from toto_ops.simulation.observation import Decision, Observation
from toto_ops.simulation.observation_schema import FIELDS, NEITHER, STATE, MarketWidths

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from torch import Tensor

TOLERANCE = 1e-4
"""Largest accepted difference of a strength, probability or target weight: float32 rounding, with room."""

TIE_SHARE = 1e-3
"""Accepted share of decisions whose action differs: a state that lies on a decision boundary to within rounding."""


@dataclass(frozen=True)
class Parity:
    """How far an exported model is from its policy.

    Attributes
    ----------
    decisions
        Decisions compared, masked symbols not counted.
    max_abs_difference
        Over strengths, probabilities, and target weights of equal actions.
    action_mismatches
        Decisions with another action.
    """

    decisions: int
    max_abs_difference: float
    action_mismatches: int

    @property
    def acceptable(self) -> bool:
        """Whether the two may be taken for the same."""
        # A NaN difference compares false, and is refused.
        return self.max_abs_difference <= TOLERANCE and self.action_mismatches <= TIE_SHARE * self.decisions


def export_onnx(policy: Policy, manifest: PolicyManifest, path: Path) -> Path:
    """Write `policy` as one self-contained ONNX file with dynamic `B` and `A`.

    Parameters
    ----------
    policy
        On the CPU; it is exported in evaluation mode.
    manifest
        Its kind, line, universe, symbols and hashes become metadata of the file.
    path
        File to write.
    """
    import torch

    # Sizes above one, and unequal: torch.export takes an axis of size one or two equal axes for constants.
    symbols = max(len(manifest.symbols), 2)
    example = _random_for(policy, accounts=symbols + 1, symbols=symbols, seed=0)
    accounts_axis, symbols_axis = torch.export.Dim("B"), torch.export.Dim("A")
    axes = {"account": {0: accounts_axis}, "symbol": {0: accounts_axis, 1: symbols_axis}}
    write_onnx(
        policy.eval(),
        tuple(example.take(policy.inputs)),
        path,
        inputs=policy.inputs,
        outputs=Decision._fields,
        dynamic_shapes=tuple(axes[FIELDS[name].of] for name in policy.inputs),
        metadata={
            "observation_schema": manifest.observation_schema,
            "kind": manifest.kind,
            "line": manifest.line,
            "universe": manifest.universe,
            "symbols": ",".join(manifest.symbols),
            "inputs_hash": manifest.inputs_hash,
            "data_hash": manifest.data_hash,
        },
    )
    return path


def run_session(session: InferenceSession, *inputs: NDArray[np.generic]) -> DecisionArrays:
    """Decide through ONNX Runtime: arrays of the `Observation` in the order of the graph's inputs in, decisions out."""
    named = {node.name: array for node, array in zip(session.get_inputs(), inputs, strict=True)}
    return DecisionArrays(*session.run(list(Decision._fields), named))


def ask_session(session: InferenceSession, observation: Observation) -> DecisionArrays:
    """Decide through ONNX Runtime on the fields of an observation that the graph takes."""
    names = [node.name for node in session.get_inputs()]
    return run_session(session, *(tensor.numpy() for tensor in observation.take(names)))


@dataclass(frozen=True)
class DecisionArrays:
    """A `Decision` as arrays: `[B, A]`, probabilities `[B, A, 3]`."""

    weight: NDArray[np.float32]
    hold: NDArray[np.bool_]
    action: NDArray[np.int64]
    strength: NDArray[np.float32]
    probabilities: NDArray[np.float32]


def check_parity(policy: Policy, path: Path, observations: Sequence[Observation]) -> Parity:
    """Compare the exported model with its policy on real and on random observations of several shapes.

    Parameters
    ----------
    observations
        Real ones, of the universe's own bars.

    Raises
    ------
    PromotionError
        If they differ by more than `TOLERANCE`, or in more actions than ties explain; with the measured difference.
    """
    symbols = observations[0].market.shape[1] if observations else 1
    shapes = ((1, 1), (1, symbols), (7, symbols), (257, symbols))
    random = [_random_for(policy, accounts=b, symbols=a, seed=seed) for seed, (b, a) in enumerate(shapes, start=1)]
    session = open_session(path)
    compared = [_compare(policy, session, observation) for observation in (*observations, *random)]
    parity = Parity(
        decisions=sum(part.decisions for part in compared),
        max_abs_difference=float(np.max([part.max_abs_difference for part in compared])),
        action_mismatches=sum(part.action_mismatches for part in compared),
    )
    if not parity.acceptable:
        raise PromotionError(
            f"the ONNX model is not the policy: largest absolute difference {parity.max_abs_difference:.3g} "
            f"(allowed {TOLERANCE:g}), {parity.action_mismatches} of {parity.decisions} actions differ",
            where=str(path),
            remedy="look for operations in the policy's forward that depend on data or shape, then register again",
        )
    return parity


def _random_for(policy: Policy, *, accounts: int, symbols: int, seed: int) -> Observation:
    return random_observation(accounts=accounts, symbols=symbols, seed=seed, fields=policy.inputs, widths=policy.widths)


def random_observation_for(session: InferenceSession, *, accounts: int, symbols: int, seed: int) -> Observation:
    """`random_observation` with the fields an exported model takes, as wide as it takes them."""
    last_axis = {node.name: node.shape[-1] for node in session.get_inputs()}
    widths = MarketWidths(**{axis: last_axis[axis] for axis in MarketWidths._fields if axis in last_axis})
    return random_observation(accounts=accounts, symbols=symbols, seed=seed, fields=tuple(last_axis), widths=widths)


def random_observation(
    *,
    accounts: int,
    symbols: int,
    seed: int,
    fields: Sequence[str] = STATE.fields,
    widths: MarketWidths = NEITHER,
) -> Observation:
    """Seeded observation `[B, A, ...]` over the range each feature can take; about one symbol in five is masked.

    Outside that range policies may well be ill-conditioned, such as where they divide by a Bollinger width, and then
    float32 rounding alone sets two faithful copies apart.
    """
    import torch
    from torch.nn.functional import one_hot

    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, width: int) -> Tensor:
        return low + (high - low) * torch.rand(accounts, symbols, width, generator=generator)

    groups = {
        RETURN_FEATURES: 0.1 * torch.randn(accounts, symbols, len(RETURN_FEATURES), generator=generator),
        ("rsi",): uniform(0.0, 1.0, 1),
        ("macd_signal",): uniform(-0.1, 0.1, 1),
        ("bollinger_width",): uniform(0.01, 0.8, 1),
        ("volume_ratio",): uniform(0.0, 10.0, 1),
        REGIME_FEATURES: one_hot(torch.randint(3, (accounts, symbols), generator=generator), 3).float(),
        QUALITY_FEATURES: uniform(0.0, 1.0, 1),
        SENTIMENT_FEATURES: uniform(-1.0, 1.0, 2),
    }
    order = [name for group in groups for name in group]
    market = torch.cat(list(groups.values()), dim=-1)[..., [order.index(name) for name in MARKET_FEATURES]]
    # In the order of ACCOUNT_FEATURES: position, leverage, cash, days since trade.
    account = torch.cat((uniform(-1.0, 1.0, 1), uniform(0.0, 2.0, 1), uniform(-1.0, 3.0, 1), uniform(0.0, 1.0, 1)), dim=-1)
    mask = torch.rand(accounts, symbols, generator=generator) > 0.2
    # None of the further fields is a ratio to divide by: the ordinary range of a share serves for all of them.
    further = {
        name: 2.0 * torch.rand(accounts, *FIELDS[name].shape(symbols, widths), generator=generator) - 1.0
        for name in FIELDS
        if name in fields and name not in STATE.fields
    }
    return Observation(market, account, mask, **further)


def _compare(policy: Policy, session: InferenceSession, observation: Observation) -> Parity:
    torch_side = [tensor.numpy() for tensor in policy.act(observation)]
    expected = DecisionArrays(*torch_side)
    got = ask_session(session, observation)
    mask = observation.mask.numpy()
    same = expected.action == got.action
    same &= expected.hold == got.hold
    # The weight of a HOLD means nothing, and a masked symbol is always held: neither has to agree.
    traded = same & ~expected.hold & mask
    differences = [
        _largest(expected.strength[mask], got.strength[mask]),
        _largest(expected.probabilities[mask], got.probabilities[mask]),
        _largest(expected.weight[traded], got.weight[traded]),
    ]
    wrongly_traded = ~got.hold & ~mask
    mismatches = int((~same & mask).sum()) + int(wrongly_traded.sum())
    return Parity(int(mask.sum()), float(np.max(differences)), mismatches)


def _largest(first: NDArray[Any], second: NDArray[Any]) -> float:
    return float(np.abs(first.astype(np.float64) - second.astype(np.float64)).max()) if first.size else 0.0
