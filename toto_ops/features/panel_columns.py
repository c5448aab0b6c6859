"""Some symbols of a panel, as a panel of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from toto_ops.errors import SymbolNameError
from toto_ops.features.panel import Panel


def panel_of_symbols(panel: Panel, symbols: Sequence[str]) -> Panel:
    """The columns of `symbols`, in the order of the panel; no row is left out and nothing is computed anew.

    Features and context stay what they were in the whole market: choosing what to trade does not change what is known.

    Raises
    ------
    SymbolNameError
        If the panel lacks one of them.
    """
    strangers = sorted(set(symbols) - set(panel.symbols))
    if strangers:
        raise SymbolNameError(f"{', '.join(strangers)} not in the panel", remedy=f"choose from {', '.join(panel.symbols)}")
    keep = [column for column, symbol in enumerate(panel.symbols) if symbol in symbols]
    return replace(
        panel,
        symbols=tuple(panel.symbols[column] for column in keep),
        features=panel.features[:, keep],
        mask=panel.mask[:, keep],
        open=panel.open[:, keep],
        close=panel.close[:, keep],
        ended=panel.ended[keep],
        tradable=panel.tradable[:, keep],
        context=panel.context[:, keep],
        volatility=panel.volatility[:, keep],
        traded_value=panel.traded_value[:, keep],
        forecast=panel.forecast[:, keep],
        embedding=panel.embedding[:, keep],
        parts=tuple(panel.parts[column] for column in keep) if panel.parts else (),
    )
