"""Returns and technical indicators as Polars expressions, causal and free of the unit prices are quoted in.

Their parameters belong to the observation schema `STATE_SCHEMA`: they are constants here, not configuration.
Indicators that smooth or roll are evaluated over `block`, one block of rows per symbol; arithmetic stays outside these
windows, where it costs a fifth. What looks back a fixed number of rows works on the whole table at once, with `row`, the
position within the block, to stop at the symbol's first bar; that is several times faster than a window per symbol.
"""

from __future__ import annotations

import polars as pl
import polars_talib as ta

from toto_ops.features.state import RETURN_LAGS

RSI_PERIOD = 14
MACD_FAST, MACD_SLOW, MACD_SIGNAL = 12, 26, 9
BOLLINGER_PERIOD, BOLLINGER_DEVIATIONS = 20, 2.0
VOLUME_PERIOD = 20
VOLUME_RATIO_CAP = 10.0

BLOCK = "block"
ROW = "row"
LOG_RETURN = "log_return"
MOVES = "moves"

_CLOSE = pl.col("close")
_VOLUME = pl.col("volume")


def log_return() -> pl.Expr:
    """Log return of the bar's close on the close before it; 0 at a symbol's first bar. Needs `row`."""
    return pl.when(pl.col(ROW) > 0).then(_CLOSE.log().diff()).otherwise(0.0)


def moves() -> pl.Expr:
    """`moves`: how many bars so far closed elsewhere than the bar before them. Needs `log_return`."""
    return (pl.col(LOG_RETURN) != 0.0).cast(pl.UInt32).cum_sum().alias(MOVES)


def lagged_returns() -> list[pl.Expr]:
    """`return_1` (the bar's own) to `return_20`, null where the symbol has no such bar yet. Needs `log_return` and `row`."""
    returns = pl.col(LOG_RETURN).cast(pl.Float32)
    return [pl.when(pl.col(ROW) >= lag).then(returns.shift(lag - 1)).alias(f"return_{lag}") for lag in range(1, RETURN_LAGS + 1)]


def smoothed() -> list[pl.Expr]:
    """What TA-Lib computes and the indicators are made of, NaN before the look-back is complete. Needs `block`.

    Wilder (1978) for RSI, Appel for MACD; mean and population deviation of the close for Bollinger's bands (2001), which
    would themselves cost three times the memory.
    """
    windows = {
        "rsi_points": ta.rsi(_CLOSE, RSI_PERIOD),
        "macd_line": ta.macd(_CLOSE, MACD_FAST, MACD_SLOW, MACD_SIGNAL).struct.field("macdsignal"),
        "close_mean": ta.sma(_CLOSE, BOLLINGER_PERIOD),
        "close_deviation": ta.stddev(_CLOSE, BOLLINGER_PERIOD, 1.0),
        "usual_volume": ta.sma(_VOLUME, VOLUME_PERIOD),
    }
    return [window.over(BLOCK).alias(name) for name, window in windows.items()]


def indicators() -> list[pl.Expr]:
    """`rsi`, `macd_signal`, `bollinger_width`, `volume_ratio`: Float32, null before their look-back is complete.

    Needs the columns of `smoothed`, `moves` and `row`.
    """
    # TA-Lib calls a market that stands still maximally oversold; it is neither oversold nor overbought.
    still = pl.col(MOVES) == pl.col(MOVES).shift(RSI_PERIOD)
    # A bar without volume is at zero whatever the mean before it, which may be zero too.
    ratio = pl.when(_VOLUME > 0).then(_VOLUME / pl.col("usual_volume")).otherwise(0.0)
    columns = {
        "rsi": (RSI_PERIOD, pl.when(still).then(0.5).otherwise(pl.col("rsi_points") / 100.0)),
        "macd_signal": (MACD_SLOW + MACD_SIGNAL - 2, pl.col("macd_line") / _CLOSE),
        "bollinger_width": (BOLLINGER_PERIOD - 1, 2 * BOLLINGER_DEVIATIONS * pl.col("close_deviation") / pl.col("close_mean")),
        "volume_ratio": (VOLUME_PERIOD - 1, ratio.clip(0.0, VOLUME_RATIO_CAP)),
    }
    return [
        pl.when(pl.col(ROW) >= look_back).then(column.cast(pl.Float32)).alias(name)
        for name, (look_back, column) in columns.items()
    ]
