"""How well a policy imitates its teacher: the accuracy that the gates of the cloning line are about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toto_ops.errors import ConfigError, InsufficientDataError
from toto_ops.policies.contract import Policy
from toto_ops.training.offline_dataset import OfflineDataset


@dataclass(frozen=True)
class ImitationMetrics:
    """Agreement of a pupil with its teacher over some decisions.

    Attributes
    ----------
    decisions
        How many were compared.
    accuracy
        Share of decisions on which both took the same action.
    majority_share
        Share of the teacher's commonest action: the accuracy of always answering that.
    macro_f1
        Mean F1 of the actions, each counted alike however rare; of those that pupil or teacher took at all.
    """

    decisions: int
    accuracy: float
    majority_share: float
    macro_f1: float

    @property
    def margin(self) -> float:
        """Accuracy beyond that of always giving the commonest answer."""
        return self.accuracy - self.majority_share


def imitation_metrics(teacher: NDArray[np.int64], pupil: NDArray[np.int64]) -> ImitationMetrics:
    """Compare actions `[N]` with actions `[N]`.

    Raises
    ------
    InsufficientDataError
        If there is no decision to compare.
    """
    if len(teacher) == 0:
        raise InsufficientDataError(
            "there is no decision to compare a pupil with its teacher on", remedy="record decisions first"
        )
    if teacher.shape != pupil.shape:
        raise ValueError(f"{teacher.shape} actions of the teacher against {pupil.shape} of the pupil")
    from sklearn.metrics import f1_score

    return ImitationMetrics(
        decisions=len(teacher),
        accuracy=float(np.mean(teacher == pupil)),
        majority_share=float(np.bincount(teacher).max() / len(teacher)),
        macro_f1=float(f1_score(teacher, pupil, average="macro", zero_division=0.0)),
    )


def require_state(policy: Policy) -> None:
    """Insist that a policy can be asked in recorded states, which hold the 34 features and nothing else.

    Raises
    ------
    ConfigError
        If it takes other fields of the observation, naming them and its schema.
    """
    from toto_ops.simulation.observation_schema import STATE

    others = [name for name in policy.inputs if name not in STATE.fields]
    if others:
        raise ConfigError(
            f"a {policy.kind!r} policy takes observations {policy.observation_schema()!r}, with {', '.join(others)}; decisions "
            f"of a teacher are recorded with observations {STATE.name!r} alone, so it cannot be asked in those states",
            where="imitation",
            remedy=f"clone with a policy that takes {STATE.name!r}, or give the line `accuracy: directional`",
        )


def measure_imitation(policy: Policy, datasets: Iterable[OfflineDataset]) -> ImitationMetrics:
    """Let a policy decide in every state its teacher decided in, and compare.

    Raises
    ------
    ConfigError
        If it takes more than those states hold (`require_state`).
    InsufficientDataError
        If there is no decision to compare.
    """
    chosen = [(dataset.actions, predicted_actions(policy, dataset.states)) for dataset in datasets if len(dataset.actions)]
    if not chosen:
        return imitation_metrics(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    teacher, pupil = zip(*chosen, strict=True)
    return imitation_metrics(np.concatenate(teacher), np.concatenate(pupil))


def predicted_actions(policy: Policy, states: NDArray[np.float32]) -> NDArray[np.int64]:
    """Actions `[N]` of a single-symbol policy in states `[N, 34]`; raises as `require_state`."""
    require_state(policy)
    import torch

    from toto_ops.simulation.observation import Observation, split_state

    market, account = split_state(torch.from_numpy(np.ascontiguousarray(states, dtype=np.float32)).unsqueeze(1))
    mask = torch.ones(market.shape[:2], dtype=torch.bool)
    actions: NDArray[np.int64] = policy.act(Observation(market, account, mask)).action.squeeze(1).numpy()
    return actions
