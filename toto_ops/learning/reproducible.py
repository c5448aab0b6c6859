"""The conditions under which the same seed gives the same weights, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def reproducible() -> Iterator[None]:
    """Run a small training on one thread, with random numbers of its own, and leave torch as it was.

    Sums over several threads depend on how many there are, so weights would differ between machines. For networks of
    a few thousand weights one thread is the faster choice besides.
    """
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(mode=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(mode=strict)
            torch.set_num_threads(threads)
