"""What a backtest stands on once nothing about it is open any more, and before the first bar is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from toto_ops.pipeline.backtest_market import BacktestMarket
from toto_ops.pipeline.backtest_span import symbols_with_bars
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from toto_ops.evaluation.backtests.subject import Subject
    from toto_ops.evaluation.statistics.bootstrap import BootstrapConfig
    from toto_ops.features.panel import Panel
    from toto_ops.learning.splits import Span
    from toto_ops.simulation.rules import TradingRules


@dataclass(frozen=True)
class SettledBacktest:
    """Everything that was settled before the first bar is looked at."""

    universe: Universe
    market: BacktestMarket
    subjects: tuple[Subject, ...]
    symbols: tuple[str, ...]
    left_out: Mapping[str, str]
    span: Span
    capital: float
    bootstrap: BootstrapConfig

    def in_span(self) -> SettledBacktest:
        """The same without the symbols that have no bar in the span: those are left out.

        Raises
        ------
        InsufficientDataError
            If no symbol is left.
        """
        kept = symbols_with_bars(self.market.view.panel, self.symbols, self.span)
        absent = {symbol: "no bar in this span" for symbol in self.symbols if symbol not in kept}
        return replace(self, symbols=kept, left_out={**self.left_out, **absent})

    def rules_on(self, panel: Panel) -> TradingRules:
        """The rules for the symbols of a panel: in a combined universe each has the costs of its part."""
        from toto_ops.simulation.rules import TradingRules

        return TradingRules.of(self.universe, panel.parts).with_capital(self.capital)


@dataclass(frozen=True)
class Look:
    """Bars of the test span that are looked at, and how many looks at them the ledger held before."""

    looked_at: Span
    earlier: int
