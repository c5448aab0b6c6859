"""Asking everyone who takes part in a backtest, and writing down what they answered."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toto_ops.features.panel import Panel
from toto_ops.features.state import ACCOUNT_FEATURES
from toto_ops.simulation.entrants import Act, Entrant, Plan, Stackable
from toto_ops.simulation.observation import Action, Decision, Observation
from toto_ops.simulation.observation_schema import FIELDS


@dataclass(frozen=True)
class Decisions:
    """What one entrant decided at each close, over `T` rows and `A` symbols; HOLD, 0 and NaN where it was not asked.

    Attributes
    ----------
    actions, strength, probabilities
        `[T, A]` int64, `[T, A]` and `[T, A, 3]` float64; a plan has weights only: HOLD, 0 and 0.
    target
        `[T, A]` float64 weights asked for; NaN where held.
    account
        `[T, A, 4]` float32 account features as the policy saw them; 0 for a plan, which sees none.
    """

    actions: NDArray[np.int64]
    strength: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    target: NDArray[np.float64]
    account: NDArray[np.float32]


class DecisionDesk:
    """Seats for all entrants: those who share a policy sit together, plans sit at the end.

    Parameters
    ----------
    panel
        The bars; only where a symbol has one is it decided on.
    entrants
        In any order; `order[seat]` is the entrant that sits there.

    Attributes
    ----------
    order
        Index of the entrant at each seat.
    fields
        Fields of the observation that anyone takes; empty where there are only plans.

    Raises
    ------
    ValueError
        If a plan or an override has another shape than the panel.
    """

    def __init__(self, panel: Panel, entrants: Sequence[Entrant]) -> None:
        groups: dict[tuple[Hashable, bool], list[int]] = {}
        plans: dict[int, Plan] = {}
        asked: dict[int, Act | Stackable] = {}
        for index, entrant in enumerate(entrants):
            _refuse_other_shapes(panel, entrant)
            if isinstance(entrant.decides, Plan):
                plans[index] = entrant.decides
            else:
                asked[index] = entrant.decides
                shared = entrant.decides.family if isinstance(entrant.decides, Stackable) else entrant.decides
                groups.setdefault((shared, entrant.account_override is None), []).append(index)
        taken = {name for index in asked for name in entrants[index].fields}
        self.order = [*(index for group in groups.values() for index in group), *plans]
        self.fields = tuple(name for name in FIELDS if name in taken)
        self._names = [entrants[index].name for index in self.order]
        self._mask = torch.from_numpy(panel.mask)
        self._anyone: NDArray[np.bool_] = np.asarray(panel.mask.any(axis=1))
        self._shared: list[_SharedPolicy] = []
        for group in groups.values():
            start = self._shared[-1].seats.stop if self._shared else 0
            act = _joint([asked[index] for index in group])
            override = _override([entrants[index] for index in group])
            self._shared.append(_SharedPolicy(act, slice(start, start + len(group)), override))
        self._plans = _Plans.of(panel.mask.shape, list(plans.values()))

    def decide(self, row: int, observation: Observation | None) -> tuple[Tensor, Tensor] | None:
        """Ask everyone at the close of `row`.

        Parameters
        ----------
        observation
            What all `B` accounts see at this close; None where there are only plans.

        Returns
        -------
        weight, hold
            `[B, A]` in the order of the seats; None where no symbol has a bar and nobody is asked.

        Raises
        ------
        ValueError
            If a policy answers with weights that are not finite.
        """
        shown = [policy.see(row, observation) for policy in self._shared] if observation is not None else []
        if not self._anyone[row]:
            return None
        decisions = [policy.decide(seen) for policy, seen in zip(self._shared, shown, strict=True)]
        weight = torch.cat((*(decision.weight.double() for decision in decisions), self._plans.weights[row]))
        hold = torch.cat((*(decision.hold for decision in decisions), self._plans.holds[row]))
        wrong = ~(hold | weight.isfinite()) & self._mask[row]
        if wrong.any():
            seat = int(wrong.any(dim=1).nonzero()[0])
            columns = wrong[seat].nonzero().flatten().tolist()
            raise ValueError(f"{self._names[seat]!r} asked for weights that are not finite at row {row}, columns {columns}")
        return weight, hold

    def written(self) -> tuple[Decisions, ...]:
        """Everyone's decisions, in the order of the seats."""
        mask = self._mask.numpy()
        return (
            *(decisions for policy in self._shared for decisions in policy.written(mask, self._anyone)),
            *(_of_plan(mask, weights) for weights in self._plans.weights.numpy().swapaxes(0, 1)),
        )


@dataclass(frozen=True)
class _SharedPolicy:
    """A policy, the block of seats it decides for, and what it saw and answered so far."""

    act: Act
    seats: slice
    override: Tensor | None
    accounts: list[Tensor] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    def see(self, row: int, observation: Observation) -> Observation:
        """Its part of the observation, in a copy: the bars are the same for everyone, whatever a policy does to what it sees."""
        account = observation.account[self.seats] if self.override is None else self.override[:, row]
        self.accounts.append(account)
        seen = Observation(**{name: tensor[self.seats].clone() for name, tensor in observation.tensors().items()})
        return seen._replace(account=account.clone())

    def decide(self, seen: Observation) -> Decision:
        decision = self.act(seen)
        self.decisions.append(decision)
        return decision

    def written(self, mask: NDArray[np.bool_], asked: NDArray[np.bool_]) -> list[Decisions]:
        """Decisions at each of its seats; `asked` `[T]` are the rows at which it was asked at all."""
        accounts = torch.stack(self.accounts, dim=1).numpy()
        answers = (
            Decision(*(torch.stack(answer, dim=1) for answer in zip(*self.decisions, strict=True))) if self.decisions else None
        )
        everyone = []
        for seat, account in enumerate(accounts):
            decisions = _nothing_decided(mask.shape, account)
            if answers is not None:
                there = mask[asked]
                decisions.actions[asked] = np.where(there, answers.action[seat].numpy(), int(Action.HOLD))
                decisions.strength[asked] = np.where(there, answers.strength[seat].numpy(), 0.0)
                decisions.probabilities[asked] = np.where(there[..., None], answers.probabilities[seat].numpy(), 0.0)
                taken = there & ~answers.hold[seat].numpy()
                decisions.target[asked] = np.where(taken, answers.weight[seat].numpy(), np.nan)
            everyone.append(decisions)
        return everyone


@dataclass(frozen=True)
class _Plans:
    """The decisions of `P` plans, `[T, P, A]`."""

    weights: Tensor
    holds: Tensor

    @classmethod
    def of(cls, shape: tuple[int, ...], plans: Sequence[Plan]) -> _Plans:
        rows, assets = shape
        weights = np.stack([plan.weights for plan in plans], axis=1) if plans else np.zeros((rows, 0, assets))
        return cls(torch.from_numpy(weights), torch.from_numpy(np.isnan(weights)))


def _joint(policies: Sequence[Act | Stackable]) -> Act:
    """What answers for all of a group: one function, or policies of one family."""
    first = policies[0]
    return first.stacked(policies) if isinstance(first, Stackable) else first


def _override(group: Sequence[Entrant]) -> Tensor | None:
    """`[K, T, A, 4]` account features to show to a group; None where they are shown their own."""
    given = [torch.from_numpy(entrant.account_override) for entrant in group if entrant.account_override is not None]
    return torch.stack(given) if given else None


def _nothing_decided(shape: tuple[int, ...], account: NDArray[np.float32]) -> Decisions:
    return Decisions(
        actions=np.full(shape, int(Action.HOLD), dtype=np.int64),
        strength=np.zeros(shape),
        probabilities=np.zeros((*shape, len(Action))),
        target=np.full(shape, np.nan),
        account=account,
    )


def _of_plan(mask: NDArray[np.bool_], weights: NDArray[np.float64]) -> Decisions:
    return Decisions(
        # Views of one number: thirty plans over thousands of bars would fill memory with zeros.
        actions=np.broadcast_to(np.int64(Action.HOLD), mask.shape),
        strength=np.broadcast_to(np.float64(0.0), mask.shape),
        probabilities=np.broadcast_to(np.float64(0.0), (*mask.shape, len(Action))),
        target=np.where(mask, weights, np.nan),
        account=np.broadcast_to(np.float32(0.0), (*mask.shape, len(ACCOUNT_FEATURES))),
    )


def _refuse_other_shapes(panel: Panel, entrant: Entrant) -> None:
    if isinstance(entrant.decides, Plan) and entrant.decides.weights.shape != panel.mask.shape:
        raise ValueError(f"the plan of {entrant.name!r} must be {panel.mask.shape}, got {entrant.decides.weights.shape}")
    override, shape = entrant.account_override, (*panel.mask.shape, len(ACCOUNT_FEATURES))
    if override is not None and override.shape != shape:
        raise ValueError(f"account_override must be {shape}, got {override.shape}")
