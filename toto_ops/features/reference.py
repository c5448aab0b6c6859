"""Every feature once more, slowly and plainly: one bar after the other, floats and lists.

This is the definition the fast version is tested against. At bar `t` each function reads `[: t + 1]` of its inputs and
nothing else, which is what makes a feature causal. `None` stands for a look-back that is not complete.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from toto_ops.features.correlations import CorrelationConfig
from toto_ops.features.indicators import (
    BOLLINGER_DEVIATIONS,
    BOLLINGER_PERIOD,
    MACD_FAST,
    MACD_SIGNAL,
    MACD_SLOW,
    RSI_PERIOD,
    VOLUME_PERIOD,
    VOLUME_RATIO_CAP,
)
from toto_ops.features.liquidity import TRADED_PERIOD
from toto_ops.features.regimes import VOLATILITY_FLOOR, RegimeConfig
from toto_ops.features.sentiment import SentimentConfig
from toto_ops.features.state import RETURN_LAGS
from toto_ops.features.trends import TrendConfig
from toto_ops.market.health import HealthConfig

Known = float | None
"""A value, or None while the look-back is not complete."""


@dataclass(frozen=True)
class SymbolBars:
    """Bars of one symbol, `T` values each.

    Attributes
    ----------
    calendar_row
        Which bar of the calendar each one is; a hole between two bars shows as a difference above 1.
    """

    close_time: Sequence[datetime]
    high: Sequence[float]
    low: Sequence[float]
    close: Sequence[float]
    volume: Sequence[float]
    calendar_row: Sequence[int]


@dataclass(frozen=True)
class Word:
    """One publication; None where it does not concern the news or the economy."""

    published_at: datetime
    news: float | None
    macro: float | None


def log_returns(close: Sequence[float]) -> list[Known]:
    """Log of each close over the one before it."""
    return [None, *(math.log(after) - math.log(before) for before, after in pairwise(close))]


def lagged_return(close: Sequence[float], lag: int) -> list[Known]:
    """Log return that ended `lag - 1` bars ago."""
    if not 1 <= lag <= RETURN_LAGS:
        raise ValueError(f"lags go from 1 to {RETURN_LAGS}, not {lag}")
    returns = log_returns(close)
    return [returns[t - lag + 1] if t >= lag else None for t in range(len(close))]


def rsi(close: Sequence[float]) -> list[Known]:
    """Wilder's relative strength index over 100; 0.5 where the close has not moved for a whole period."""
    changes = [after - before for before, after in pairwise(close)]
    values: list[Known] = [None] * len(close)
    gain = loss = 0.0
    for t in range(RSI_PERIOD, len(close)):
        period = changes[t - RSI_PERIOD : t]
        if t == RSI_PERIOD:
            gain = sum(max(change, 0.0) for change in period) / RSI_PERIOD
            loss = sum(max(-change, 0.0) for change in period) / RSI_PERIOD
        else:
            gain += (max(period[-1], 0.0) - gain) / RSI_PERIOD
            loss += (max(-period[-1], 0.0) - loss) / RSI_PERIOD
        values[t] = gain / (gain + loss) if any(change != 0 for change in period) else 0.5
    return values


def macd_signal(close: Sequence[float]) -> list[Known]:
    """Signal line of MACD(12, 26, 9) over the close; each average starts as the mean of its first period."""
    slow = _exponential(close, MACD_SLOW, first=0)
    fast = _exponential(close, MACD_FAST, first=MACD_SLOW - MACD_FAST)
    start = MACD_SLOW - 1
    macd = [
        quick - lazy for quick, lazy in zip(fast[start:], slow[start:], strict=True) if quick is not None and lazy is not None
    ]
    signal = [None] * min(start, len(close)) + _exponential(macd, MACD_SIGNAL, first=0)
    return [line / price if line is not None else None for line, price in zip(signal, close, strict=True)]


def bollinger_width(close: Sequence[float]) -> list[Known]:
    """Distance of the upper from the lower band over the middle one, with the population standard deviation."""
    values: list[Known] = [None] * len(close)
    for t in range(BOLLINGER_PERIOD - 1, len(close)):
        window = close[t - BOLLINGER_PERIOD + 1 : t + 1]
        values[t] = 2 * BOLLINGER_DEVIATIONS * _deviation(window) / _mean(window)
    return values


def volume_ratio(volume: Sequence[float]) -> list[Known]:
    """Volume over its mean, at most 10; 0 where nothing was traded."""
    values: list[Known] = [None] * len(volume)
    for t in range(VOLUME_PERIOD - 1, len(volume)):
        usual = _mean(volume[t - VOLUME_PERIOD + 1 : t + 1])
        values[t] = min(volume[t] / usual, VOLUME_RATIO_CAP) if volume[t] > 0 else 0.0
    return values


def regime(close: Sequence[float], config: RegimeConfig) -> list[tuple[float, float, float] | None]:
    """One-hot low, normal, high: log volatility against its own trailing mean and deviation."""
    returns = log_returns(close)
    levels: list[float] = []
    values: list[tuple[float, float, float] | None] = [None] * len(close)
    for t in range(config.window, len(close)):
        window = [value for value in returns[t - config.window + 1 : t + 1] if value is not None]
        levels.append(math.log(max(_deviation(window), VOLATILITY_FLOOR)))
        history = levels[-config.history :]
        if len(history) < config.minimum_history:
            continue
        unusual = levels[-1] - _mean(history)
        margin = max(config.threshold * _deviation(history), math.log1p(config.minimum_change))
        values[t] = (float(unusual < -margin), float(-margin <= unusual <= margin), float(unusual > margin))
    return values


def volatility(close: Sequence[float], window: int) -> list[Known]:
    """Population standard deviation of the latest `window` log returns."""
    returns = log_returns(close)
    return [
        _deviation([value for value in returns[t - window + 1 : t + 1] if value is not None]) if t >= window else None
        for t in range(len(close))
    ]


def traded_value(volume: Sequence[float], close: Sequence[float], volume_unit: str) -> list[Known]:
    """Mean of the latest volumes in money: `quote` volume is money, `base` volume counts units."""
    money = [v if volume_unit == "quote" else v * price for v, price in zip(volume, close, strict=True)]
    first = TRADED_PERIOD - 1
    return [_mean(money[t - first : t + 1]) if t >= first else None for t in range(len(money))]


def trend(close: Sequence[float], config: TrendConfig, regimes: RegimeConfig) -> list[tuple[float, float, float, float] | None]:
    """One-hot bull, bear, volatile, sideways: the t statistic of the trailing return, then the volatility regime."""
    returns = log_returns(close)
    unusual = regime(close, regimes)
    values: list[tuple[float, float, float, float] | None] = [None] * len(close)
    for t in range(config.window, len(close)):
        state = unusual[t]
        if state is None:
            continue
        window = [value for value in returns[t - config.window + 1 : t + 1] if value is not None]
        error = max(_deviation(window), VOLATILITY_FLOOR) * math.sqrt(config.window)
        strength = math.fsum(window) / error
        bull, bear, high = strength >= config.threshold, strength <= -config.threshold, state[2] == 1.0
        values[t] = (float(bull), float(bear), float(not bull and not bear and high), float(not (bull or bear or high)))
    return values


def correlations(returns: Sequence[Sequence[Known]], config: CorrelationConfig) -> list[list[tuple[float, float] | None]]:
    """Correlation of each symbol with the market, and its mean with the others, at each of `T` rows of `A` returns.

    Every row is computed from the definition anew: weighted sums over all rows so far, None where there is no return.
    """
    passing = [row for row in returns if any(value is not None for value in row)]
    market = [_mean([value for value in row if value is not None]) for row in passing]
    found: list[list[tuple[float, float] | None]] = []
    rows = 0
    for row in returns:
        here = [a for a, value in enumerate(row) if value is not None]
        rows += bool(here)
        weight = [config.decay ** (rows - 1 - i) for i in range(rows)]
        moved = [[past[a] or 0.0 for past in passing[:rows]] for a in range(len(row))]
        values: list[tuple[float, float] | None] = [None] * len(row)
        for a in here:
            others = [_correlation(moved[a], moved[b], weight) for b in here if b != a]
            values[a] = (_correlation(moved[a], market[:rows], weight), _mean(others) if others else 0.0)
        found.append(values)
    return found


def _correlation(one: Sequence[float], other: Sequence[float], weight: Sequence[float]) -> float:
    def covariance(x: Sequence[float], y: Sequence[float]) -> float:
        return math.fsum(w * a * b for w, a, b in zip(weight, x, y, strict=True))

    scale = math.sqrt(covariance(one, one)) * math.sqrt(covariance(other, other))
    return covariance(one, other) / scale if scale > 0 else 0.0


def sentiment(close_time: Sequence[datetime], words: Sequence[Word], config: SentimentConfig) -> list[tuple[Known, Known]]:
    """Latest news and macro sentiment published by each close and not too old; None where there is none."""
    in_order = sorted(words, key=lambda word: word.published_at)
    values: list[tuple[Known, Known]] = []
    for close in close_time:
        oldest = close - timedelta(days=config.max_age_days)
        public = [word for word in in_order if oldest <= word.published_at <= close]
        news = [word.news for word in public if word.news is not None]
        macro = [word.macro for word in public if word.macro is not None]
        values.append((news[-1] if news else None, macro[-1] if macro else None))
    return values


def data_health(bars: SymbolBars, has_sentiment: Sequence[bool], config: HealthConfig) -> list[float]:
    """One minus the weighted mean of five shares of faulty bars, each against the share that is intolerable."""
    sizes = [None if value is None else abs(value) for value in log_returns(bars.close)]
    values = []
    for t in range(len(bars.close)):
        start = max(0, t - config.window + 1)
        window = range(start, t + 1)
        expected = bars.calendar_row[t] - bars.calendar_row[start] + 1
        shares = (
            1 - len(window) / expected,
            _share([bars.volume[i] <= 0 for i in window]),
            _share([sizes[i] == 0 and bars.high[i] == bars.low[i] for i in window]),
            _share([_is_jump(sizes, i, config) for i in window]),
            0.0 if has_sentiment[t] else 1.0,
        )
        faults = zip(config.faults, shares, strict=True)
        lost = sum(fault.weight * min(1.0, share / fault.intolerable) for fault, share in faults)
        values.append(1 - lost / sum(fault.weight for fault in config.faults))
    return values


def _is_jump(sizes: Sequence[Known], t: int, config: HealthConfig) -> bool:
    earlier = [size for size in sizes[max(0, t - config.window) : t] if size is not None]
    size = sizes[t]
    return size is not None and len(earlier) >= config.jump_history and size > config.jump_multiple * _mean(earlier)


def _exponential(values: Sequence[float], period: int, *, first: int) -> list[Known]:
    """Exponential average with weight 2 / (period + 1), starting at bar `first + period - 1` as a plain mean."""
    start = first + period - 1
    averages: list[Known] = [None] * len(values)
    average = 0.0
    for t in range(start, len(values)):
        if t == start:
            average = _mean(values[first : t + 1])
        else:
            average += (values[t] - average) * 2 / (period + 1)
        averages[t] = average
    return averages


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _deviation(values: Sequence[float]) -> float:
    mean = _mean(values)
    return math.sqrt(_mean([(value - mean) ** 2 for value in values]))


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags)
