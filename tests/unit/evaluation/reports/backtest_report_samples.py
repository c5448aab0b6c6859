"""A small report of a backtest, and the course it tells of."""

from datetime import UTC, datetime, timedelta

import numpy as np

from toto_ops.evaluation.backtests.document import (
    BacktestReport,
    Contestant,
    LeftOut,
    LookAtTestSpan,
    SubjectIdentity,
    SubjectTrades,
    TradeRow,
)
from toto_ops.evaluation.backtests.rows import monthly_returns
from toto_ops.evaluation.findings.documents import Curve, StressResult, SymbolTrades
from toto_ops.evaluation.statistics.bootstrap import Estimate
from toto_ops.evaluation.statistics.paired import PairedDifference
from toto_ops.evaluation.statistics.performance import Performance
from toto_ops.evaluation.statistics.significance import significance_of
from toto_ops.learning.splits import Span
from toto_ops.simulation.backtest import BacktestResult

START = datetime(2024, 1, 30, tzinfo=UTC)
DAYS = 5
FIGURE = Estimate(value=1.25, low=0.75, high=1.75)
PERFORMANCE = Performance(**dict.fromkeys(Performance.model_fields, FIGURE))


class Course:
    """As much of a backtest's result as the months are made of."""

    open_time = np.datetime64(START.replace(tzinfo=None), "us") + np.arange(DAYS) * np.timedelta64(1, "D")
    returns = np.array([0.10, -0.10, 0.20, 0.0])


def trade(number: int) -> TradeRow:
    return TradeRow(
        symbol="AAA",
        side="long",
        entry_time=START + timedelta(hours=number),
        exit_time=None if number == 0 else START + timedelta(hours=number + 1),
        holding_days=1 / 24,
        entry_price=100.0,
        exit_price=101.0,
        units=10.0,
        value=1_000.0 + number,
        fees=1.0,
        net_profit=9.0,
        return_on_value=0.009,
    )


def report(trades: int = 3, **changes: object) -> BacktestReport:
    curve = Curve(
        open_time=tuple(START + timedelta(days=day) for day in range(DAYS)),
        equity=(1.0, 1.1, 0.99, 1.188, 1.188),
        exposure=(0.0,) * DAYS,
    )
    months = monthly_returns("bc", as_result(Course))
    summary = SymbolTrades(
        symbol="AAA", trades=trades, open=1, win_rate=1.0, profit_factor=None, holding_days=0.04, best=0.1, worst=-0.1,
        fees=0.0004, net_profit=0.0036,
    )  # fmt: skip
    fields: dict[str, object] = {
        "universe": "stocks",
        "span": Span(after=START, until=START + timedelta(days=DAYS)),
        "first_close": START + timedelta(days=1),
        "last_close": START + timedelta(days=DAYS),
        "bars": DAYS,
        "symbols": ("AAA", "BBB"),
        "left_out": (LeftOut(name="CCC", why="3 bars have <negative> prices"),),
        "market": "the served market as of 2024-02-04",
        "data_hash": "data-1",
        "periods_per_year": 252.0,
        "initial_capital": 500_000.0,
        "subjects": (
            SubjectIdentity(
                name="bc",
                origin="toto-stocks version 3",
                line="bc",
                inputs_hash="inputs-1",
                code_version="1",
                knows_until=START,
                selected_until=None,
            ),
        ),
        "contestants": (
            Contestant(name="bc", role="subject", performance=PERFORMANCE, final_equity=594_000.0, curve=curve),
            Contestant(name="cash", role="benchmark", performance=PERFORMANCE, final_equity=500_000.0, curve=curve),
        ),
        "stresses": (StressResult(name="costs x2", performance=PERFORMANCE),),
        "paired": (PairedDifference(against="cash", bars=4, mean_log_return=FIGURE, sharpe=FIGURE),),
        "significance": significance_of(
            Course.returns, [], earlier_openings=2, periods_per_year=252.0, trial_periods_per_year=252.0
        ),
        "monthly": (months,),
        "traded": (SubjectTrades(name="bc", by_symbol=(summary,), trades=tuple(trade(one) for one in range(trades))),),
        "selection": None,
        "oracle_sharpe": 12.5,
        "test_span": LookAtTestSpan(looked_at=Span(after=START, until=START + timedelta(days=DAYS)), openings=3),
        "caveats": ("chosen with hindsight",),
    }
    return BacktestReport.model_validate(fields | changes)


def as_result(course: type[Course]) -> BacktestResult:
    return course  # type: ignore[return-value] # the months need nothing else
