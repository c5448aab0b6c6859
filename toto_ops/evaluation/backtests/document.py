"""What a backtest found, as one document: the pages, the text and the output for programs are drawn from it alone."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from toto_ops.configuration import StrictModel
from toto_ops.evaluation.findings.documents import Curve, StressResult, SymbolTrades
from toto_ops.evaluation.statistics.paired import PairedDifference
from toto_ops.evaluation.statistics.performance import Performance
from toto_ops.evaluation.statistics.significance import Significance
from toto_ops.learning.splits import Span


class SubjectIdentity(StrictModel):
    """Which policy was backtested.

    Attributes
    ----------
    origin
        Registered version or strategy file.
    knows_until
        Latest close that influenced it; None where nothing was fitted.
    selected_until
        End of the test span its promotion was decided on; None where nothing was decided.
    """

    name: str
    origin: str
    line: str
    inputs_hash: str
    code_version: str
    knows_until: AwareDatetime | None
    selected_until: AwareDatetime | None


class Contestant(StrictModel):
    """One account over the whole span.

    Attributes
    ----------
    final_equity
        Money at the last open.
    """

    name: str
    role: Literal["subject", "benchmark"]
    performance: Performance
    final_equity: float
    curve: Curve


class MonthReturn(StrictModel):
    """Compounded return of one calendar month, UTC; those at the ends may be parts of months."""

    year: int
    month: int = Field(ge=1, le=12)
    value: float


class MonthlyReturns(StrictModel):
    """One contestant month by month."""

    name: str
    months: tuple[MonthReturn, ...]

    def year(self, year: int) -> tuple[float | None, ...]:
        """The twelve months of a year; None where the span has none."""
        found = {one.month: one.value for one in self.months if one.year == year}
        return tuple(found.get(month) for month in range(1, 13))

    def whole_year(self, year: int) -> float:
        """The months of a year, compounded."""
        growth = 1.0
        for one in self.months:
            growth *= 1.0 + one.value if one.year == year else 1.0
        return growth - 1.0

    @property
    def years(self) -> tuple[int, ...]:
        return tuple(sorted({one.year for one in self.months}))


class TradeRow(StrictModel):
    """One round trip, from the first unit of a position to the last; money in that of the initial capital.

    Attributes
    ----------
    exit_time
        None where the position is still open; it is then marked at the end of the span.
    entry_price, exit_price
        Averages over what was added to the position and over what was taken off it.
    units, value
        Largest held.
    net_profit
        After fees; financing belongs to the account, not to a trade.
    return_on_value
        Net profit over the value of all that was added to the position.
    """

    symbol: str
    side: Literal["long", "short"]
    entry_time: AwareDatetime
    exit_time: AwareDatetime | None
    holding_days: float
    entry_price: float
    exit_price: float
    units: float
    value: float
    fees: float
    net_profit: float
    return_on_value: float


class SubjectTrades(StrictModel):
    """What one subject traded; per symbol, fees and profit are shares of the initial capital."""

    name: str
    by_symbol: tuple[SymbolTrades, ...]
    trades: tuple[TradeRow, ...]


class TriedCombination(StrictModel):
    """One combination of symbols on the validation span."""

    symbols: tuple[str, ...]
    sharpe: float | None
    total_return: float


class SelectionFindings(StrictModel):
    """How the symbols were chosen.

    Attributes
    ----------
    tried
        Combinations; each is a trial in the ledger.
    best
        The first of them by Sharpe ratio.
    """

    method: Literal["exhaustive", "greedy"]
    candidates: tuple[str, ...]
    validation: Span
    tried: int
    best: tuple[TriedCombination, ...]


class LookAtTestSpan(StrictModel):
    """That the backtest looked at bars of the test span, and how often it has been looked at.

    Attributes
    ----------
    openings
        Looks at overlapping bars in the ledgers of all universes with a market in common, those of this backtest included.
    """

    looked_at: Span
    openings: int


class LeftOut(StrictModel):
    """A symbol or file without part in the backtest."""

    name: str
    why: str


class BacktestReport(StrictModel):
    """One backtest. It is written into reports and never read back by a later release, and so has no schema version.

    Attributes
    ----------
    span
        What was asked for; `first_close` and `last_close` are of the bars found there.
    left_out
        Symbols and files without part in it, and why.
    market
        Where the bars came from.
    test_span
        None where no bar of the test span was looked at.
    significance
        Of the first subject.
    paired
        The first subject minus every other contestant, bar by bar.
    stresses
        The first subject with one condition changed.
    oracle_sharpe
        Of perfect foresight of the next open, at the same costs, lag and limits; None where it is not defined.
    """

    universe: str
    span: Span
    first_close: AwareDatetime
    last_close: AwareDatetime
    bars: int
    symbols: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    market: str
    data_hash: str
    periods_per_year: float
    initial_capital: float
    subjects: tuple[SubjectIdentity, ...]
    contestants: tuple[Contestant, ...]
    stresses: tuple[StressResult, ...]
    paired: tuple[PairedDifference, ...]
    significance: Significance
    monthly: tuple[MonthlyReturns, ...]
    traded: tuple[SubjectTrades, ...]
    selection: SelectionFindings | None
    oracle_sharpe: float | None
    test_span: LookAtTestSpan | None
    caveats: tuple[str, ...]
