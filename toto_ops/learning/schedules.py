"""How a learning rate falls while a model is fitted."""

from __future__ import annotations

import math


def half_cosine(step: int, steps: int) -> float:
    """Share of the first learning rate at a step, in (0, 1]: from 1 at step 0 along half a cosine, 0 once all `steps` are done.

    Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017, equation 5, without restarts.

    Parameters
    ----------
    step
        From 0 to `steps - 1`.
    """
    return 0.5 * (1.0 + math.cos(math.pi * step / steps))
