"""Looks at a test span, counted over every universe that holds some of the same bars.

A ledger belongs to one universe. But who has seen the test bars of stocks has seen part of those of a universe that combines
stocks with coins, and the other way round: what was learnt by looking is the same, whatever the universe was called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from toto_ops.pipeline.project import Project
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from toto_ops.learning.splits import Span
    from toto_ops.training.ledger import Opening


def looks_at(project: Project, universe: Universe, span: Span) -> tuple[Opening, ...]:
    """Every opening that looked at bars of a span, in the ledgers of all universes with a market in common.

    Raises
    ------
    StorageError
        If an entry of one of them cannot be read.
    """
    from toto_ops.training.ledger import TrialLedger

    ledgers = [TrialLedger(project.store, name) for name in sharing_bars(project, universe)]
    return tuple(opening for ledger in ledgers for opening in ledger.openings(span))


def sharing_bars(project: Project, universe: Universe) -> tuple[str, ...]:
    """Names of the universes with a market in common: itself, its parts, what it is part of, and what shares a part with it."""
    others = (other for other in project.universes.universes.values() if _markets(other) & _markets(universe))
    return tuple(sorted({universe.name, *(other.name for other in others)}))


def _markets(universe: Universe) -> frozenset[str]:
    """Universes a symbol can come from: the parts of a combined one, else itself."""
    return frozenset(universe.parts) or frozenset({universe.name})
