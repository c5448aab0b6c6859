"""Names and order of the 34-feature state a single-symbol policy sees.

30 market features come from the panel; 4 account features come from the portfolio at the moment of the decision.
The order is part of the observation schema: changing it means a new schema name.
"""

from __future__ import annotations

RETURN_LAGS = 20

RETURN_FEATURES = tuple(f"return_{lag}" for lag in range(1, RETURN_LAGS + 1))
"""Log return of the close `lag - 1` bars ago: `return_1` ends at the bar itself."""

INDICATOR_FEATURES = ("rsi", "macd_signal", "bollinger_width", "volume_ratio")
"""RSI(14) in [0, 1]; MACD(12, 26, 9) signal line over close; (upper - lower) / middle of Bollinger(20, 2);
volume over its 20-bar mean, clipped to [0, 10]."""

REGIME_FEATURES = ("regime_low", "regime_normal", "regime_high")
"""One-hot volatility regime."""

QUALITY_FEATURES = ("data_health",)
"""Data health index (DSI), 0 to 1."""

SENTIMENT_FEATURES = ("news_sentiment", "macro_sentiment")
"""Latest published sentiment, -1 to 1; 0 where there is none."""

MARKET_FEATURES = RETURN_FEATURES + INDICATOR_FEATURES + REGIME_FEATURES + QUALITY_FEATURES + SENTIMENT_FEATURES
"""The 30 features of the panel, in panel order."""

ACCOUNT_FEATURES = ("position", "leverage", "cash", "days_since_trade")
"""Weight over w_max in [-1, 1]; gross exposure over equity; cash over equity; tanh(calendar days since the last
trade / 30)."""

STATE_FEATURES = RETURN_FEATURES + INDICATOR_FEATURES + ACCOUNT_FEATURES + REGIME_FEATURES + QUALITY_FEATURES + SENTIMENT_FEATURES
"""The 34 features in the order the state vector has them."""

STATE_SCHEMA = "state34/1"
"""Name and version of this observation schema."""

_ACCOUNT_START = len(RETURN_FEATURES) + len(INDICATOR_FEATURES)

ACCOUNT_SLICE = slice(_ACCOUNT_START, _ACCOUNT_START + len(ACCOUNT_FEATURES))
"""Where the account features sit in the state vector."""
