"""Returns and technical indicators as Polars expressions, causal and free of the unit prices are quoted in.

Their parameters belong to the observation schema `STATE_SCHEMA`: they are constants here, not configuration.
Indicators that smooth or roll are evaluated over `block`, one block of rows per symbol. What looks back a fixed number
of rows works on the whole table at once, with `row`, the position within the block, to stop at the symbol's first bar;
that is several times faster than a window per symbol.
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


def log_return() -> pl.Expr:
    """Log return of the bar's close on the close before it; 0 at a symbol's first bar. Needs `row`."""
    return pl.when(pl.col(ROW) > 0).then(pl.col("close").log().diff()).otherwise(0.0)


def lagged_returns() -> list[pl.Expr]:
    """`return_1` (the bar's own) to `return_20`, null where the symbol has no such bar yet. Needs `log_return` and `row`."""
    returns = pl.col(LOG_RETURN).cast(pl.Float32)
    return [pl.when(pl.col(ROW) >= lag).then(returns.shift(lag - 1)).alias(f"return_{lag}") for lag in range(1, RETURN_LAGS + 1)]


def smoothed() -> list[pl.Expr]:
    """Intermediate `rsi_points`, `macd`, `bands` and `usual_volume` of TA-Lib, NaN before their look-back is complete.

    Wilder (1978) for RSI, Appel for MACD, Bollinger (2001) with the population standard deviation.
    """
    close, volume = pl.col("close"), pl.col("volume")
    deviations = BOLLINGER_DEVIATIONS
    return [
        ta.rsi(close, RSI_PERIOD).over(BLOCK).alias("rsi_points"),
        ta.macd(close, MACD_FAST, MACD_SLOW, MACD_SIGNAL).over(BLOCK).alias("macd"),
        ta.bbands(close, BOLLINGER_PERIOD, deviations, deviations, 0).over(BLOCK).alias("bands"),
        ta.sma(volume, VOLUME_PERIOD).over(BLOCK).alias("usual_volume"),
    ]


def indicators() -> list[pl.Expr]:
    """`rsi`, `macd_signal`, `bollinger_width`, `volume_ratio` as Float32 from the columns of `smoothed`. Needs `row`."""
    bands, volume = pl.col("bands").struct, pl.col("volume")
    # TA-Lib calls a market that stands still maximally oversold; it is neither oversold nor overbought.
    moves = (pl.col("close") != pl.col("close").shift(1, fill_value=0.0)).cum_sum()
    still = moves == moves.shift(RSI_PERIOD)
    width = (bands.field("upperband") - bands.field("lowerband")) / bands.field("middleband")
    # A bar without volume is at zero whatever the mean before it, which may be zero too.
    ratio = pl.when(volume > 0).then(volume / pl.col("usual_volume")).otherwise(pl.col("usual_volume") * 0.0)
    columns = {
        "rsi": pl.when(still & (pl.col(ROW) >= RSI_PERIOD)).then(0.5).otherwise(pl.col("rsi_points") / 100.0),
        "macd_signal": pl.col("macd").struct.field("macdsignal") / pl.col("close"),
        "bollinger_width": width,
        "volume_ratio": ratio.clip(0.0, VOLUME_RATIO_CAP),
    }
    return [column.cast(pl.Float32).fill_nan(None).alias(name) for name, column in columns.items()]
