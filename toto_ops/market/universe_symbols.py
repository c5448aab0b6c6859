"""Which symbols a universe has: those configured, else whatever its source holds."""

from __future__ import annotations

from toto_ops.errors import SourceError
from toto_ops.market.sources import BarSource
from toto_ops.universes import Universe


def universe_symbols(universe: Universe, source: BarSource) -> tuple[str, ...]:
    """Symbols of `universe`, sorted. A configured symbol without bars stays listed: its absence is reported, not hidden.

    Raises
    ------
    SourceError
        If none is configured and none of the source's files can become a symbol.
    """
    if universe.symbols is not None:
        return tuple(sorted(universe.symbols))
    discovery = source.discover()
    if not discovery.symbols:
        rejected = "; ".join(f"{file}: {reason}" for file, reason in discovery.rejected.items())
        raise SourceError(f"holds no usable symbol ({rejected})", where=universe.name, remedy="rename the files to <SYMBOL>.csv")
    return discovery.symbols
