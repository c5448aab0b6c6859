"""Who stands for judgement, who is chosen for it, and what nobody may know beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np

from toto_ops.errors import InsufficientDataError, LookAheadError
from toto_ops.evaluation.statistics.metrics import sharpe_ratio
from toto_ops.features.moments import to_aware
from toto_ops.features.panel import Panel
from toto_ops.learning.splits import Splits
from toto_ops.market.calendars import rows_per_year
from toto_ops.policies.contract import Policy, PolicyManifest
from toto_ops.simulation.backtest import run_backtests
from toto_ops.simulation.entrants import Entrant
from toto_ops.simulation.rules import TradingRules
from toto_ops.universes import Universe


@dataclass(frozen=True)
class Candidate:
    """A policy that stands for judgement.

    Attributes
    ----------
    accuracy
        Which accuracy its gate is about (`Line.accuracy`).
    selected_until
        Last bar of the test span that decided its own promotion, for a champion: those bars flatter it as much as bars
        it was fitted to.
    """

    policy: Policy
    manifest: PolicyManifest
    accuracy: Literal["imitation", "directional"] = "directional"
    selected_until: datetime | None = None

    def __post_init__(self) -> None:
        # Dropout left on by a trainer would make the judgement random.
        self.policy.eval()

    @property
    def name(self) -> str:
        """Its line: what it is called in reports and the registry."""
        return self.manifest.line

    def entrant(self, rules: TradingRules) -> Entrant:
        """An account of its own in a backtest."""
        return Entrant(self.name, self.policy, rules, self.policy.inputs)

    @property
    def unseen_after(self) -> datetime | None:
        """Bars that close later can have influenced neither the policy nor its choice; None: no bar ever did."""
        manifest = self.manifest
        moments = (manifest.knows_until, manifest.possibly_knows_until, self.selected_until)
        known = [moment for moment in moments if moment is not None]
        return max(known) if known else None


def choose_challenger(candidates: Sequence[Candidate], panel: Panel, universe: Universe, splits: Splits) -> Candidate:
    """The candidate with the highest Sharpe ratio on the validation span; by name where they tie.

    Only this one is gated on test. An undefined ratio (a policy that never trades) loses against any other.

    Raises
    ------
    InsufficientDataError
        If there is no candidate.
    """
    if not candidates:
        raise InsufficientDataError("there is no candidate to choose a challenger from", remedy="train at least one line")
    validation = panel.between(splits.validation.after, splits.validation.until)
    rules, years = TradingRules.of(universe, panel.parts), rows_per_year(universe, validation.open_time)
    results = run_backtests(validation, [candidate.entrant(rules) for candidate in candidates])
    sharpes = [float(sharpe_ratio(result.returns, years)) for result in results]

    def rank(place: int) -> tuple[float, str]:
        return (-sharpes[place] if np.isfinite(sharpes[place]) else np.inf, candidates[place].name)

    return candidates[min(range(len(candidates)), key=rank)]


def refuse_look_ahead(test: Panel, candidates: Sequence[Candidate]) -> None:
    """Refuse to judge anyone on bars at or before its `knows_until`.

    What it knows only possibly, through weights from elsewhere, is a criterion (`contamination_criterion`): such a candidate
    is shown and cannot be promoted.

    Raises
    ------
    LookAheadError
        Naming the candidate and both moments.
    """
    (first,) = to_aware(test.close_time[:1])
    for candidate in candidates:
        if candidate.manifest.knows(first):
            raise LookAheadError(
                f"{candidate.name} knows bars up to {candidate.manifest.knows_until:%Y-%m-%d %H:%M}, "
                f"the test span begins with the bar that closes {first:%Y-%m-%d %H:%M}",
                where=candidate.manifest.universe,
                remedy="train on the splits of this universe, or judge on later bars",
            )
