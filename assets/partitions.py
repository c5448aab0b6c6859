"""Symbols as dynamic partitions, and the tags that let one run carry many of them."""

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from toto_ops.errors import SymbolNameError
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


def contiguous_blocks(keys: Sequence[str], chosen: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """First and last key of each unbroken stretch of `chosen` in `keys`: a run can carry one stretch."""
    wanted = set(chosen)
    blocks: list[tuple[str, str]] = []
    previous_wanted = False
    for key in keys:
        if key in wanted:
            blocks = [*blocks[:-1], (blocks[-1][0], key)] if previous_wanted else [*blocks, (key, key)]
        previous_wanted = key in wanted
    return tuple(blocks)


def block_tags(instance: dg.DagsterInstance, universe: Universe, symbols: Sequence[str]) -> tuple[dict[str, str], ...]:
    """Tags of the runs that cover exactly `symbols`, one run per block of the live key list.

    Raises
    ------
    SymbolNameError
        If a symbol is no partition yet.
    """
    keys = instance.get_dynamic_partitions(partitions_name(universe.name))
    unknown = sorted(set(symbols) - set(keys))
    if unknown:
        raise SymbolNameError(
            f"{', '.join(unknown)}: no such partition", where=universe.name, remedy="reconcile the partitions first"
        )
    return tuple({RANGE_START_TAG: start, RANGE_END_TAG: end} for start, end in contiguous_blocks(keys, symbols))


def block_of(instance: dg.DagsterInstance, universe: Universe, tags: Mapping[str, str]) -> tuple[str, ...]:
    """The symbols that range tags stand for."""
    keys = instance.get_dynamic_partitions(partitions_name(universe.name))
    return tuple(keys[keys.index(tags[RANGE_START_TAG]) : keys.index(tags[RANGE_END_TAG]) + 1])
