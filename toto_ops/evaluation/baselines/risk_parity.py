"""Equal risk contribution: weights at which every symbol adds the same share to the variance of the portfolio."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toto_ops.errors import TotoOpsError

_DAMPED_ABOVE = 0.95 * (3.0 - np.sqrt(5.0)) / 2.0
"""Newton decrement above which a full step may overshoot (Spinu 2013, section 3)."""

_CONVERGED = 1e-12
_STEPS = 200


_REMEDY = "shrink the covariance until it is well conditioned"


class RiskParityError(TotoOpsError):
    """No weights that share the risk equally can be found for a covariance."""


def equal_risk_contribution(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Long-only weights with `w_i (C w)_i` equal for all symbols (Maillard, Roncalli and Teiletche 2010).

    They minimise `x' C x / 2 - sum(log x) / A`, which is self-concordant: damped Newton steps, then full ones, converge
    from anywhere (Spinu 2013, "An algorithm for computing risk parity weights"). All matrices take their steps together.

    Parameters
    ----------
    covariance
        `[..., A, A]`, positive definite.

    Returns
    -------
    NDArray[np.float64]
        `[..., A]`, positive, each row adding up to 1.

    Raises
    ------
    RiskParityError
        If a matrix is not positive definite, or so nearly not that the steps do not converge.
    """
    try:
        np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError as error:
        raise RiskParityError("a covariance is not positive definite", remedy=_REMEDY) from error
    deviation = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    correlation = covariance / (deviation[..., :, None] * deviation[..., None, :])
    assets = covariance.shape[-1]
    x = np.ones(deviation.shape) / np.sqrt(np.abs(correlation.sum(axis=(-2, -1))))[..., None]
    for _ in range(_STEPS):
        gradient = np.einsum("...ij,...j->...i", correlation, x) - 1.0 / (assets * x)
        hessian = correlation + np.eye(assets) / (assets * x**2)[..., None, :]
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        # The objective is self-concordant once it is multiplied by A.
        decrement = np.sqrt(np.maximum((gradient * step).sum(axis=-1) * assets, 0.0))
        going = ~(decrement < _CONVERGED)
        if not going.any():
            break
        length = np.where(decrement > _DAMPED_ABOVE, 1.0 / (1.0 + np.abs(step / x).max(axis=-1)), 1.0)
        # What has converged stays: the result of one matrix must not depend on which others are solved with it.
        x = x - np.where(going, length, 0.0)[..., None] * step
    else:
        raise RiskParityError(f"risk parity did not converge in {_STEPS} steps", remedy=_REMEDY)
    weights = x / deviation
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))
