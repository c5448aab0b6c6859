"""Declared versions of every step: raise one when the same inputs would give another result."""

from __future__ import annotations

BARS_VERSION = "1"
"""Quality rules, calendars and bar times."""

FEATURES_VERSION = "2"
PANEL_VERSION = "2"
DECISIONS_VERSION = "1"
DATASET_VERSION = "1"
FORECASTER_VERSION = "1"
SPECIALISTS_VERSION = "1"
EMBEDDER_VERSION = "1"
FORECAST_EVALUATION_VERSION = "1"
EVALUATION_VERSION = "6"
CROSS_VALIDATION_VERSION = "2"


def code_versions() -> dict[str, str]:
    """Step to version, for fingerprints."""
    from toto_ops.training.lines import LINES

    return {
        "bars": BARS_VERSION,
        "features": FEATURES_VERSION,
        "panel": PANEL_VERSION,
        "ensemble_decisions": DECISIONS_VERSION,
        "offline_dataset": DATASET_VERSION,
        "forecaster": FORECASTER_VERSION,
        "specialist_forecaster": SPECIALISTS_VERSION,
        "embeddings": EMBEDDER_VERSION,
        "forecast_evaluation": FORECAST_EVALUATION_VERSION,
        "evaluation_report": EVALUATION_VERSION,
        **{f"{line.name}_policy": line.code_version for line in LINES},
    }
