"""Forecasts and embeddings attached to a panel: what a forecaster says becomes something that policies can observe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from toto_ops.errors import InsufficientDataError
from toto_ops.features.panel import Panel


def panel_with_forecasts(
    panel: Panel, forecast_names: tuple[str, ...], forecast: NDArray[np.float32], embedding: NDArray[np.float32]
) -> Panel:
    """The panel with a forecast and an embedding of every bar that is not masked.

    A bar of which either is unknown, wholly or in part, is masked: nobody decides on it, and no zeros pass for an embedding.
    Orders still fill at its open.

    Parameters
    ----------
    forecast_names
        `Q` names.
    forecast, embedding
        `[T, A, Q]` and `[T, A, D]` float32 in the rows and symbols of the panel, known at the close of each row; NaN where
        unknown. What stands where the panel is masked is not looked at.

    Raises
    ------
    ValueError
        If they are of other rows, symbols or names.
    InsufficientDataError
        If not one bar has both.
    """
    expected = {"forecast": (*panel.mask.shape, len(forecast_names)), "embedding": (*panel.mask.shape, embedding.shape[-1])}
    for name, values in (("forecast", forecast), ("embedding", embedding)):
        if values.shape != expected[name]:
            raise ValueError(f"{name} must be {expected[name]}, got {values.shape}")
    mask = panel.mask & np.isfinite(forecast).all(axis=-1) & np.isfinite(embedding).all(axis=-1)
    if not mask.any():
        raise InsufficientDataError(
            "no bar of any symbol has a forecast and an embedding",
            remedy="add history before the first bar, or choose a backbone that looks back on fewer bars in forecasting.yaml",
        )

    def known(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.where(mask[..., None], values, np.float32(0)).astype(np.float32, copy=False)

    return replace(
        panel,
        mask=mask,
        features=known(panel.features),
        context=known(panel.context),
        close=np.where(mask, panel.close, np.nan),
        forecast_names=forecast_names,
        forecast=known(forecast),
        embedding=known(embedding),
    )
