"""A symbol's place in the market, beyond its own 30 features: trend regime, volatility, correlations.

Not part of the state that single-symbol policies see (`STATE_SCHEMA`); what wants it asks for `context`.
"""

from __future__ import annotations

from toto_ops.features.trends import TREND_FEATURES

CORRELATION_FEATURES = ("market_correlation", "mean_correlation")
"""Exponentially weighted correlation with the equal-weight market, and mean of those with every other symbol."""

CONTEXT_FEATURES = (*TREND_FEATURES, "log_volatility", *CORRELATION_FEATURES)
"""Names of the panel's `context`, in its order. `log_volatility` is the logarithm of the panel's `volatility`, per bar."""
