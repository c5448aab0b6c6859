"""Panels that have everything a panel may have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.unit.simulation.market_paths import random_path
from toto_ops.features.panel import Panel


def panel_with_everything(seed: int) -> Panel:
    """Gaps, late starts, endings, and every further array a panel may have."""
    rng = np.random.default_rng(seed)
    panel = random_path(seed).panel
    shape = panel.mask.shape
    return replace(
        panel,
        features=rng.normal(size=panel.features.shape).astype(np.float32),
        context_names=("trend", "correlation"),
        context=rng.normal(size=(*shape, 2)).astype(np.float32),
        volatility=np.where(rng.random(shape) < 0.2, np.nan, rng.uniform(0.01, 0.05, shape)),
        traded_value=np.where(rng.random(shape) < 0.2, np.nan, rng.uniform(1e5, 1e7, shape)),
        forecast_names=("forecast_1_q50", "forecast_1_up"),
        forecast=rng.normal(size=(*shape, 2)).astype(np.float32),
        embedding=rng.normal(size=(*shape, 3)).astype(np.float32),
    )
