"""Every stage of a training has a seed of its own, which torch takes and which is the same in every process."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toto_ops.learning.seeds import seeded

STAGES = st.lists(st.integers(0, 1000), max_size=3).map(tuple)


@pytest.mark.parametrize("depth", [1, 2])
def test_no_two_stages_of_a_kind_share_a_seed(depth: int) -> None:
    stages = [*product(range(40), repeat=depth)]
    assert len({seeded(seed, *stage) for seed in range(3) for stage in stages}) == 3 * len(stages)


def test_beginning_and_epochs_of_trainings_share_no_seed() -> None:
    stages = [(0,), *((kind, epoch) for kind in (1, 2) for epoch in range(100))]
    assert len({seeded(seed, *stage) for seed in range(10) for stage in stages}) == 10 * len(stages)


def test_a_seed_is_the_same_in_every_process_and_release() -> None:
    assert seeded(0) == 7896617691693857887
    assert seeded(7, 2, 3) == 1684239238610986860


@settings(max_examples=50)
@given(st.integers(0, 2**64), STAGES)
def test_torch_takes_every_one(seed: int, stage: tuple[int, ...]) -> None:
    own = seeded(seed, *stage)
    assert 0 <= own < 2**63
    assert torch.Generator().manual_seed(own).initial_seed() == own
