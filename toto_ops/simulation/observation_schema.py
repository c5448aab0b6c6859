"""What an observation may hold, by name: one table, and the named, versioned selections of it that policies are trained on.

A schema is part of what a stored policy is: another set, order or meaning of fields is another name or version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from toto_ops.errors import ConfigError
from toto_ops.features.clock import CLOCK_FEATURES
from toto_ops.features.state import ACCOUNT_FEATURES, MARKET_FEATURES, STATE_SCHEMA

PORTFOLIO_FEATURES = ("cash_ratio", "balance_ratio", "gross", "net", "drawdown", "open_profit")
"""Cash over equity; equity over initial capital; sum of absolute weights; sum of weights; loss from the peak as a share of
it; profit of the open positions over their average entry prices, before costs, over equity."""

Width = Literal["context", "forecast", "embedding"]
"""Axes whose width a market decides, not the schema."""

OF_THE_ACCOUNT = ("account", "portfolio", "allocation")
"""Fields that tell what an account holds; the others are the same for whoever looks at a row."""

OF_A_FORECASTER = ("forecast", "embedding")
"""Fields that only a panel with forecasts attached fills (`toto_ops.features.panel_forecasts`)."""


class MarketWidths(NamedTuple):
    """How wide those axes are in one market: `Panel.context_names`, `Panel.forecast_names`, values of an embedding."""

    context: int = 0
    forecast: int = 0
    embedding: int = 0


NEITHER = MarketWidths()
"""Of a market without context, forecasts and embeddings."""


@dataclass(frozen=True)
class ObservationField:
    """One field of `Observation`.

    Attributes
    ----------
    name
        As in `Observation`.
    of
        What it is told of: each symbol, `[B, A, ...]`, or the account as a whole, `[B, ...]`.
    columns
        Names along the last axis; empty for a field without one, or the axis whose width the market decides.
    unit
        What its numbers are.
    """

    name: str
    of: Literal["symbol", "account"]
    columns: tuple[str, ...] | Width
    unit: str

    def shape(self, assets: int, widths: MarketWidths) -> tuple[int, ...]:
        """Shape in one account, for a market of `assets` symbols."""
        symbols = (assets,) if self.of == "symbol" else ()
        if isinstance(self.columns, str):
            return (*symbols, getattr(widths, self.columns))
        return (*symbols, len(self.columns)) if self.columns else symbols


FIELDS: dict[str, ObservationField] = {
    field.name: field
    for field in (
        ObservationField("market", "symbol", MARKET_FEATURES, "raw market features; 0 where masked"),
        ObservationField("account", "symbol", ACCOUNT_FEATURES, "shares and squashed days; see toto_ops.features.state"),
        ObservationField("mask", "symbol", (), "true: the symbol has a bar now and may be decided on"),
        ObservationField("context", "symbol", "context", "as the panel names them: trend, correlations; 0 where masked"),
        ObservationField("clock", "account", CLOCK_FEATURES, "sine and cosine of the time of the close, in [-1, 1]"),
        ObservationField("portfolio", "account", PORTFOLIO_FEATURES, "fractions of equity, of initial capital or of the peak"),
        ObservationField("allocation", "symbol", (), "value of the position over equity, at the close"),
        ObservationField("volatility", "symbol", (), "standard deviation of log returns per bar; 0 where unknown"),
        ObservationField("forecast", "symbol", "forecast", "as the panel names them; width 0 where there are none"),
        ObservationField("embedding", "symbol", "embedding", "as the forecaster made them; width 0 where there are none"),
    )
}
"""Every field an observation may hold, in its order."""


@dataclass(frozen=True)
class ObservationSchema:
    """A named, versioned selection of fields.

    Attributes
    ----------
    name
        `<name>/<version>`, as it stands in manifests and ONNX files.
    fields
        Names of `FIELDS`, in their order.
    """

    name: str
    fields: tuple[str, ...]

    def __post_init__(self) -> None:
        known = tuple(name for name in FIELDS if name in self.fields)
        if known != self.fields:
            raise ValueError(f"schema {self.name} must name fields in the order of {tuple(FIELDS)}, got {self.fields}")


STATE = ObservationSchema(STATE_SCHEMA, ("market", "account", "mask"))
"""The 34-feature state, symbol by symbol."""

MARKET = ObservationSchema("market/2", tuple(FIELDS))
"""Everything: the state, the place in the market, the time, the portfolio as a whole, forecasts and embeddings."""

SCHEMAS: dict[str, ObservationSchema] = {schema.name: schema for schema in (STATE, MARKET)}


def observation_schema(name: str) -> ObservationSchema:
    """The schema of a name.

    Raises
    ------
    ConfigError
        If this release makes no such observations.
    """
    if name not in SCHEMAS:
        raise ConfigError(f"unknown observation schema {name!r}", remedy=f"use one of {', '.join(SCHEMAS)}")
    return SCHEMAS[name]


def schema_for(inputs: Sequence[str]) -> ObservationSchema:
    """The first schema that holds every field a policy takes.

    Raises
    ------
    ValueError
        If none does: a field is misspelt.
    """
    for schema in SCHEMAS.values():
        if set(inputs) <= set(schema.fields):
            return schema
    raise ValueError(f"no observation schema holds {tuple(inputs)}; fields are {tuple(FIELDS)}")
