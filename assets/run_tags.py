"""The tags of a run: which universe it is about, why it was launched, at which moment it stands and what it may touch."""

from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from toto_ops.universes import Universe

UNIVERSE_TAG = "toto/universe"
NAMESPACE_TAG = "toto/namespace"
REASON_TAG = "toto/reason"
AS_OF_TAG = "toto/as_of"
SCOPE_TAG = "toto/scope"
SYMBOLS_SCOPE = "symbols"
"""Scope of a run that takes the symbols of its partitions into the served market, and touches no others."""

BACKFILL_TAG = "dagster/backfill"
"""Dagster's own: which backfill a run is part of."""

REASON_LENGTH = 200
"""Characters of a reason; a longer one, such as a list of many symbols, is cut."""


def launch_tags(universe: Universe, reason: str) -> dict[str, str]:
    """What every launcher says of its run: what it is about, and why."""
    return {UNIVERSE_TAG: universe.name, REASON_TAG: reason[:REASON_LENGTH]}


def new_symbols_tags(universe: Universe, symbols: Sequence[str]) -> dict[str, str]:
    """Tags of a run that takes new symbols into the served market."""
    return {**launch_tags(universe, f"new symbols: {', '.join(symbols)}"), SCOPE_TAG: SYMBOLS_SCOPE}


def retrain_id_of(run: dg.DagsterRun) -> str:
    """The retraining a run belongs to: its backfill if it is part of one, else the root run."""
    return run.tags.get(BACKFILL_TAG) or run.root_run_id or run.run_id


def is_symbol_only(context: dg.AssetExecutionContext) -> bool:
    """Whether this run is about the symbols of its partitions alone."""
    return context.run.tags.get(SCOPE_TAG) == SYMBOLS_SCOPE


def as_of_tag(context: dg.AssetExecutionContext) -> datetime | None:
    """The moment the launcher asked for, if it asked for one."""
    stamp = context.run.tags.get(AS_OF_TAG)
    return datetime.fromisoformat(stamp) if stamp else None
