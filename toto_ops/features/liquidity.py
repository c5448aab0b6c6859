"""How much of a symbol is usually traded in one bar, in money: what market impact and participation are measured against."""

from __future__ import annotations

import polars as pl

from toto_ops.features.indicators import BLOCK, ROW
from toto_ops.universes import Universe

TRADED_PERIOD = 20
"""Bars whose mean is the usual one."""


def traded_value(universe: Universe) -> pl.Expr:
    """`traded_value`: mean of the latest bars' volume in money, null before there are enough. Needs `block` and `row`."""
    in_money = pl.col("volume") if universe.volume_unit == "quote" else pl.col("volume") * pl.col("close")
    # A rolling sum keeps the rounding of what has left it, which may be below zero.
    usual = in_money.rolling_mean(TRADED_PERIOD).over(BLOCK).clip(lower_bound=0.0)
    return pl.when(pl.col(ROW) >= TRADED_PERIOD - 1).then(usual).alias("traded_value")
