"""Which universe a symbol is meant in."""

from __future__ import annotations

from toto_ops.errors import SymbolNameError
from toto_ops.market.sources import open_source
from toto_ops.market.universe_symbols import universe_symbols
from toto_ops.pipeline.project import Project
from toto_ops.serving.market_view import served_symbols
from toto_ops.universes import Universe, checked_symbol


def universe_of(project: Project, symbol: str, universe: str | None = None) -> Universe:
    """The universe of a name, or the only one that has a symbol.

    Raises
    ------
    SymbolNameError
        If several have it, or none.
    """
    if universe is not None:
        return project.universe(universe)
    name = checked_symbol(symbol)
    universes = project.universes.universes.values()
    holders = [one for one in universes if name in served_symbols(project.store, one.name)]
    if not holders:  # known, and not served yet: what is missing is then said by whoever is asked to serve it
        holders = [one for one in universes if name in universe_symbols(one, open_source(one))]
    # A combined universe has its symbols from others, which answer for them unless it is asked for by name.
    holders = [one for one in holders if not one.parts] or holders
    if len(holders) == 1:
        return holders[0]
    if holders:
        raise SymbolNameError(f"{name} is in {', '.join(one.name for one in holders)}", remedy="say which with --universe")
    raise SymbolNameError(
        f"no universe has {name}", remedy="add its file to the source of a universe, and list it where the universe lists symbols"
    )
