"""Seeds: every stage of a training has random numbers of its own."""

from __future__ import annotations

import numpy as np


def seeded(seed: int, *stage: int) -> int:
    """A torch seed of its own for each stage of a training, so that no two stages share random numbers.

    Stages are told apart up to zeros at their end: `(1,)` and `(1, 0)` are one. Callers number theirs so that it does not matter.
    """
    return int(np.random.SeedSequence([seed, *stage]).generate_state(1, np.uint64)[0] >> np.uint64(1))
