"""The largest positions stay: the few that have a place, earlier symbols first among equals."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from toto_ops.simulation.sizing import largest_positions


def in_plain_python(sizes: list[float], stuck: list[bool], count: int) -> list[bool]:
    """One account: symbols in the order in which they take places, stuck ones before the largest."""
    order = sorted(range(len(sizes)), key=lambda symbol: (-math.inf if stuck[symbol] else -sizes[symbol], symbol))
    return [stuck[symbol] or order.index(symbol) < count for symbol in range(len(sizes))]


@st.composite
def accounts(draw: st.DrawFn) -> tuple[list[list[float]], list[list[bool]], list[int]]:
    """Sizes with many equals, what is stuck, and the places of each account."""
    symbols = draw(st.integers(1, 7))
    row = st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.0 + 2**-20, 3.0]), min_size=symbols, max_size=symbols)
    sizes = draw(st.lists(row, min_size=1, max_size=5))
    # Only what is held can be stuck.
    stuck = [[size > 0 and draw(st.booleans()) for size in account] for account in sizes]
    return sizes, stuck, [draw(st.integers(1, 8)) for _ in sizes]


@given(accounts())
def test_places_are_those_of_a_plain_sort(drawn: tuple[list[list[float]], list[list[bool]], list[int]]) -> None:
    sizes, stuck, places = drawn
    stays = largest_positions(torch.tensor(sizes), torch.tensor(stuck), torch.tensor(places).unsqueeze(-1))
    for account, expected in enumerate(map(in_plain_python, sizes, stuck, places)):
        held = [symbol for symbol, size in enumerate(sizes[account]) if size > 0]
        assert [bool(stays[account, symbol]) for symbol in held] == [expected[symbol] for symbol in held]


@pytest.mark.parametrize("count", [2, torch.tensor([[2], [2]])], ids=["for all", "of each account"])
def test_earlier_symbols_come_first_among_equals(count: int | Tensor) -> None:
    sizes = torch.tensor([[1.0, 1.0, 1.0], [1.0, 2.0, 2.0]])
    assert largest_positions(sizes, None, count).tolist() == [[True, True, False], [False, True, True]]


def test_accounts_with_places_to_spare_keep_all() -> None:
    assert largest_positions(torch.tensor([[1.0, 0.0, 1.0]]), None, 2)[0, [0, 2]].all()
