"""How figures are called and written, wherever a report shows them: HTML, terminal, run metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from toto_ops.evaluation.findings.documents import Target, Unit
from toto_ops.evaluation.judgement.evidence import Criterion
from toto_ops.evaluation.statistics.bootstrap import Estimate
from toto_ops.evaluation.statistics.performance import Performance

UNDEFINED = "n/a"

SMALL_CAPITAL = 10_000.0
"""Below it, fees and profits in whole units of money would say nothing."""

Writer = Callable[[float], str]


@dataclass(frozen=True)
class Figure:
    """How one field of `Performance` is called and written."""

    field: str
    title: str
    write: Writer

    def of(self, performance: Performance) -> Estimate:
        """The estimate it stands for."""
        estimate: Estimate = getattr(performance, self.field)
        return estimate


def percent(value: float) -> str:
    """Percent with one decimal."""
    return f"{value:z,.1%}"


def fine_percent(value: float) -> str:
    """Percent with two decimals."""
    return f"{value:z,.2%}"


def ratio(value: float) -> str:
    """A number with two decimals."""
    return f"{value:z,.2f}"


def count(value: float) -> str:
    """A whole number."""
    return f"{value:z,.0f}"


def money(capital: float) -> Writer:
    """Money beside a capital: whole units, and hundredths where the capital is small."""
    return count if capital >= SMALL_CAPITAL else ratio


def day(at: datetime) -> str:
    """A day."""
    return f"{at:%Y-%m-%d}"


def moment(at: datetime) -> str:
    """A moment to the minute."""
    return f"{at:%Y-%m-%d %H:%M}"


def price(value: float) -> str:
    """A price, whatever its size."""
    return f"{value:,.6g}"


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

WRITERS: Mapping[Unit, Writer] = {"percent": percent, "ratio": ratio, "count": count}

FIGURES = (
    Figure("total_return", "Total return", percent),
    Figure("cagr", "Return p.a.", percent),
    Figure("sharpe", "Sharpe", ratio),
    Figure("sortino", "Sortino", ratio),
    Figure("calmar", "Calmar", ratio),
    Figure("omega", "Omega", ratio),
    Figure("volatility", "Volatility p.a.", percent),
    Figure("skew", "Skew", ratio),
    Figure("kurtosis", "Kurtosis", ratio),
    Figure("value_at_risk", "Value at risk 95 %", fine_percent),
    Figure("expected_shortfall", "Expected shortfall 95 %", fine_percent),
    Figure("max_drawdown", "Max drawdown", percent),
    Figure("average_drawdown", "Mean drawdown", percent),
    Figure("longest_drawdown_days", "Longest drawdown, days", count),
    Figure("hit_rate", "Bars with a profit", percent),
    Figure("win_rate", "Win rate", percent),
    Figure("profit_factor", "Profit factor", ratio),
    Figure("average_holding_days", "Mean holding, days", ratio),
    Figure("trades", "Fills", count),
    Figure("fees", "Fees", fine_percent),
    Figure("interest", "Interest", fine_percent),
    Figure("turnover", "Turnover p.a.", ratio),
    Figure("exposure", "Mean gross exposure", ratio),
    Figure("net_exposure", "Mean net exposure", ratio),
    Figure("concentration", "Concentration", ratio),
    Figure("correlation_exposure", "Correlation with the market", ratio),
)
"""Every field of `Performance`, in the order of the tables."""


def _chosen(*fields: str) -> tuple[Figure, ...]:
    by_field = {figure.field: figure for figure in FIGURES}
    return tuple(by_field[field] for field in fields)


COMPARED_WITH_INTERVAL = _chosen("total_return", "sharpe")
COMPARED = _chosen("volatility", "max_drawdown", "win_rate", "turnover")
"""The few that are compared first, where there is no room for all."""


def optional(write: Writer) -> Callable[[float | None], str]:
    """The same writer for figures that may not be defined."""
    return lambda value: UNDEFINED if value is None else write(value)


def interval(low: float | None, high: float | None, write: Writer) -> str:
    """`low … high`; empty where there is no interval."""
    return "" if low is None or high is None else f"{write(low)} … {write(high)}"


def cell(estimate: Estimate, write: Writer) -> str:
    """A figure with its interval in one line."""
    bounds = interval(estimate.low, estimate.high, write)
    return optional(write)(estimate.value) + (f" [{bounds}]" if bounds else "")


def counted(number: int, noun: str) -> str:
    """A number of things: `1 trial`, `3 trials`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def measured(criterion: Criterion) -> str:
    """What was measured, as its criterion is written."""
    return optional(WRITERS[criterion.unit])(criterion.measured)


def measured_interval(criterion: Criterion) -> str:
    """The interval of what was measured; empty where there is none."""
    return interval(criterion.low, criterion.high, WRITERS[criterion.unit])


def measured_in_brief(criterion: Criterion) -> str:
    """What was measured in one line, with its interval where a bound of it was compared."""
    return cell(
        Estimate(value=criterion.measured, low=criterion.low, high=criterion.high)
        if criterion.compared == "lower bound"
        else Estimate(value=criterion.measured),
        WRITERS[criterion.unit],
    )


def required(criterion: Criterion) -> str:
    """What was required, with its relation."""
    if criterion.required is None:
        return "-" if criterion.verdict == "shown" else UNDEFINED
    relation = {">=": "≥", "<=": "≤", ">": ">"}[criterion.relation]
    bound = "" if criterion.compared == "estimate" else f"{criterion.compared} "
    return f"{bound}{relation} {WRITERS[criterion.unit](criterion.required)}"


def aim(target: Target) -> str:
    """The range of a target."""
    write = WRITERS[target.unit]
    if target.low is None:
        return f"≤ {optional(write)(target.high)}"
    return f"≥ {write(target.low)}" if target.high is None else f"{write(target.low)} … {write(target.high)}"
