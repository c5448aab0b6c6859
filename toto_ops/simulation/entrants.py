"""Who takes part in a backtest: something that decides, and the rules it trades by."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from toto_ops.simulation.observation import Decision, Observation
from toto_ops.simulation.observation_schema import STATE
from toto_ops.simulation.rules import TradingRules

Act = Callable[[Observation], Decision]
"""`Policy.act`, or any function that answers each of `B` accounts as if it were alone."""


@runtime_checkable
class Stackable(Protocol):
    """A policy of which several can be asked in one call: a `Policy`."""

    @property
    def family(self) -> Hashable:
        """Policies of one family can be stacked."""

    @classmethod
    def stacked(cls, policies: Sequence[Any]) -> Act:
        """A function that answers the account at place `b` as `policies[b]` does; all are of one family."""


@dataclass(frozen=True)
class Plan:
    """Decisions that need no look at the account, so that all of them can be taken before the backtest begins.

    Attributes
    ----------
    weights
        `[T, A]` float64 target weight decided at the close of each row, a fraction of equity; NaN holds the units held.
        Where the symbol has no bar nothing is decided, whatever stands here.
    """

    weights: NDArray[np.float64]

    def __post_init__(self) -> None:
        if np.isinf(self.weights).any():
            raise ValueError("a plan asks for an infinite weight")


@dataclass(frozen=True)
class Entrant:
    """One account of a backtest.

    Attributes
    ----------
    name
        What reports call it.
    decides
        A policy, a function that answers like one, or a plan. Entrants with one and the same function are asked together,
        and so are those with policies of one family.
    rules
        Costs, rates, limits and decision lag of this account alone.
    fields
        Fields of the observation that the policy takes (`observe`).
    account_override
        `[T, A, 4]` account features to show the policy in place of its real ones; None shows the real ones.
    """

    name: str
    decides: Act | Stackable | Plan
    rules: TradingRules
    fields: tuple[str, ...] = STATE.fields
    account_override: NDArray[np.float32] | None = None
