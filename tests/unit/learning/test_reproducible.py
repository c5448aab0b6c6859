"""A reproducible block leaves torch as it found it, whatever happens inside."""

from __future__ import annotations

import pytest
import torch

from toto_ops.learning.reproducible import reproducible


def test_random_numbers_and_threads_are_as_before() -> None:
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    with reproducible():
        torch.manual_seed(1)
        torch.rand(10)
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_so_they_are_after_an_error() -> None:
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    with pytest.raises(RuntimeError, match="shape"), reproducible():
        torch.rand(10).view(3)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
