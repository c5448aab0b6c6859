"""Symbols as dynamic partitions, and the tags that let one run carry many of them."""

from collections.abc import Sequence

import dagster as dg

from toto_ops.universes import Universe

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"


def partitions_name(universe_name: str) -> str:
    """What Dagster knows the symbols of a universe by: `crypto_symbols`."""
    return f"{universe_name}_symbols"


def symbol_partitions(universe_name: str) -> dg.DynamicPartitionsDefinition:
    """Partitions of a universe: one per symbol, in the order they were added."""
    return dg.DynamicPartitionsDefinition(name=partitions_name(universe_name))


def asset_key(universe: Universe, name: str) -> dg.AssetKey:
    """Keys are prefixed with the universe: `crypto/bars`."""
    return dg.AssetKey([universe.name, name])


def reconcile_partitions(instance: dg.DagsterInstance, universe: Universe, symbols: Sequence[str]) -> tuple[str, ...]:
    """Add the symbols that are not partitions yet and return them; partitions are never removed here.

    A symbol that leaves the configuration keeps its partition and its data: removing one is an explicit act.
    """
    name = partitions_name(universe.name)
    known = set(instance.get_dynamic_partitions(name))
    fresh = tuple(symbol for symbol in symbols if symbol not in known)
    if fresh:
        instance.add_dynamic_partitions(name, fresh)
    return fresh


def range_tags(instance: dg.DagsterInstance, universe: Universe) -> dict[str, str]:
    """Tags that make one run cover every partition of the universe, in the order Dagster keeps them."""
    keys = instance.get_dynamic_partitions(partitions_name(universe.name))
    return {RANGE_START_TAG: keys[0], RANGE_END_TAG: keys[-1]}
