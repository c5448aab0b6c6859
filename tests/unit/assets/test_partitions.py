"""Symbols as partitions: added and never removed, and runs over unbroken stretches of them."""

import dagster as dg
import pytest

from assets.partitions import (
    RANGE_END_TAG,
    RANGE_START_TAG,
    block_of,
    block_tags,
    contiguous_blocks,
    range_tags,
    reconcile_partitions,
)
from toto_ops.configuration import Settings
from toto_ops.errors import SymbolNameError
from toto_ops.universes import Universe, load_universes

KEYS = ("C", "A", "E", "B", "D")


@pytest.fixture
def universe() -> Universe:
    return load_universes(Settings()).universe("crypto")


@pytest.fixture
def instance(universe: Universe) -> dg.DagsterInstance:
    """One that knows `KEYS`, which were added in that order."""
    instance = dg.DagsterInstance.ephemeral()
    for key in KEYS:
        reconcile_partitions(instance, universe, (key,))
    return instance


@pytest.mark.parametrize(
    ("chosen", "blocks"),
    [
        ("", ()),
        ("E", (("E", "E"),)),
        ("CAEBD", (("C", "D"),)),
        ("CA", (("C", "A"),)),
        ("DB", (("B", "D"),)),
        ("CEB", (("C", "C"), ("E", "B"))),
        ("CED", (("C", "C"), ("E", "E"), ("D", "D"))),
    ],
)
def test_a_block_is_an_unbroken_stretch_in_the_order_of_the_keys(chosen: str, blocks: tuple[tuple[str, str], ...]) -> None:
    assert contiguous_blocks(KEYS, chosen) == blocks


def test_blocks_together_hold_what_was_chosen_and_nothing_else(instance: dg.DagsterInstance, universe: Universe) -> None:
    tags = block_tags(instance, universe, ("D", "C", "B"))
    assert [block_of(instance, universe, one) for one in tags] == [("C",), ("B", "D")]
    assert tags[1] == {RANGE_START_TAG: "B", RANGE_END_TAG: "D"}


def test_the_block_of_everything_is_the_range_of_a_whole_run(instance: dg.DagsterInstance, universe: Universe) -> None:
    assert block_tags(instance, universe, KEYS) == (range_tags(instance, universe),)


def test_what_is_no_partition_yet_has_no_block(instance: dg.DagsterInstance, universe: Universe) -> None:
    with pytest.raises(SymbolNameError, match="crypto: X, Y: no such partition"):
        block_tags(instance, universe, ("A", "Y", "X"))


def test_partitions_are_added_at_the_end_and_none_is_removed(instance: dg.DagsterInstance, universe: Universe) -> None:
    assert reconcile_partitions(instance, universe, ("A", "F")) == ("F",)
    assert reconcile_partitions(instance, universe, ("A", "F")) == ()
    assert tuple(instance.get_dynamic_partitions("crypto_symbols")) == (*KEYS, "F")
