"""Validate what a source holds without storing anything."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from toto_ops.errors import BarDataError, SymbolNameError
from toto_ops.market.quality import validate_bars
from toto_ops.market.sources import BarSource, open_source, part_of
from toto_ops.market.universe_symbols import universe_symbols
from toto_ops.pipeline.market_steps import default_as_of
from toto_ops.universes import Universe


@dataclass(frozen=True)
class Validated:
    """One symbol or rejected file."""

    symbol: str
    passed: bool
    rows: int
    errors: tuple[str, ...]
    warnings: tuple[str, ...]


def validate_source(universe: Universe) -> tuple[Validated, ...]:
    """Validate every symbol of a universe's source, then list the files whose names cannot become symbols.

    Raises
    ------
    SourceError
        If the source itself cannot be read.
    """
    source = open_source(universe)
    as_of = default_as_of(universe)
    validated = tuple(
        _validate(source, part_of(universe, source, symbol), symbol, as_of) for symbol in universe_symbols(universe, source)
    )
    rejected = source.discover().rejected
    return (*validated, *(Validated(name, passed=False, rows=0, errors=(why,), warnings=()) for name, why in rejected.items()))


def _validate(source: BarSource, universe: Universe, symbol: str, as_of: datetime) -> Validated:
    try:
        raw = source.read(symbol)
    except (BarDataError, SymbolNameError) as error:
        return Validated(symbol, passed=False, rows=0, errors=(str(error),), warnings=())
    report = validate_bars(raw, universe, symbol, as_of)
    return Validated(symbol, report.passed, raw.height, report.errors, report.warnings)
