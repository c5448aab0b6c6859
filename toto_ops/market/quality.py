"""Quality of one symbol's bars: Great Expectations decides, and says so in words a person can act on.

A failed critical expectation quarantines the symbol; a failed warning is told and stops nothing. Validation runs in an
ephemeral context: nothing is written, nothing is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import polars as pl

from toto_ops.errors import BarDataError, TotoOpsError
from toto_ops.market.bar_facts import FACT_COLUMNS, BarStatistics, bar_facts, bar_statistics
from toto_ops.market.eligibility import eligible_bars, membership_end
from toto_ops.market.expectations import BarRule, QualityConfig, Severity, bar_rules, schema_rules
from toto_ops.market.schema import RAW_SCHEMA, require_schema
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.expectations.expectation import Expectation

STANDARD = QualityConfig()
SHOWN = 3
"""Bars named in a message; the count tells how many more there are."""
RESULT_FORMAT = {
    "result_format": "SUMMARY",
    "partial_unexpected_count": SHOWN,
    "unexpected_index_column_names": ["timestamp"],
}


@dataclass(frozen=True)
class QualityReport:
    """The verdict on one symbol's bars.

    Parameters
    ----------
    symbol
        Whose bars.
    statistics
        The bars in numbers.
    errors
        Why they cannot be used; none if they can.
    warnings
        What a person should know and need not mend.
    ended
        The feed ended so long before `as_of` that the symbol no longer trades for us.
    gx_results
        Validation result of Great Expectations as JSON values; None where the bars could not even be read.
    """

    symbol: str
    statistics: BarStatistics
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    ended: bool = False
    gx_results: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def passed(self) -> bool:
        return not self.errors

    def with_error(self, error: TotoOpsError) -> QualityReport:
        """The same report with a fault that only showed after validation."""
        return replace(self, errors=(*self.errors, str(error)))


def validate_bars(
    raw: pl.DataFrame, universe: Universe, symbol: str, as_of: datetime, config: QualityConfig = STANDARD
) -> QualityReport:
    """Judge the bars of `raw` that belong to the symbol's membership and had closed by `as_of`.

    Parameters
    ----------
    raw
        `[T]` raw bars as a source gives them, in any order and state.
    as_of
        Aware moment after which nothing is known.

    Raises
    ------
    ConfigError
        If the universe's calendar does not exist.
    """
    try:
        require_schema(raw, RAW_SCHEMA, symbol)
    except BarDataError as error:
        report = _judged(raw, symbol, schema_rules(raw.columns), BarStatistics(rows=len(raw)))
        # pandas types are coarser than ours: they do not tell every zone and unit of time apart.
        return report if report.errors else replace(report, errors=(str(error),))
    facts = bar_facts(eligible_bars(raw, universe, symbol, as_of), universe)
    statistics = bar_statistics(facts, universe, symbol, as_of)
    facts = facts.with_columns(behind=pl.lit(statistics.behind, pl.Int64))
    rules = (
        *schema_rules(facts.columns, (*FACT_COLUMNS, "behind")),
        *bar_rules(universe, statistics, as_of, config),
    )
    report = _judged(facts, symbol, rules, statistics)
    return replace(report, ended=_ended(universe, symbol, statistics, as_of))


def unreadable(symbol: str, error: TotoOpsError) -> QualityReport:
    """The report on bars that never got as far as being judged."""
    return QualityReport(symbol, BarStatistics(rows=0), errors=(str(error),))


def _ended(universe: Universe, symbol: str, statistics: BarStatistics, as_of: datetime) -> bool:
    """Whether the membership is over, or bars are overdue by more than serving accepts.

    A long holiday is not an end, since no bar is overdue; nor is a feed that is a day late.
    """
    end = membership_end(universe, symbol)
    if end is not None and end <= as_of:
        return True
    if statistics.last_close is None:
        return False
    return statistics.behind > 0 and as_of - statistics.last_close > timedelta(days=universe.max_bar_age_days)


def _judged(table: pl.DataFrame, symbol: str, rules: Sequence[BarRule], statistics: BarStatistics) -> QualityReport:
    import great_expectations as gx

    batch = _whole_table().get_batch(batch_parameters={"dataframe": table.to_pandas()})
    suite = gx.ExpectationSuite(symbol, expectations=[_named(rule) for rule in rules])
    outcome = batch.validate(suite, result_format=RESULT_FORMAT)
    results = {_rule_name(result): result for result in outcome.results}
    messages: dict[Severity, list[str]] = {severity: [] for severity in Severity}
    for rule in rules:
        result = results[rule.name]
        _require_evaluated(rule, result)
        if not result.success:
            messages[rule.severity].append(_message(symbol, rule, result.result, len(table)))
    return QualityReport(
        symbol,
        statistics,
        errors=tuple(messages[Severity.CRITICAL]),
        warnings=tuple(messages[Severity.WARNING]),
        gx_results=outcome.to_json_dict(),  # type: ignore[no-untyped-call]
    )


def _named(rule: BarRule) -> Expectation:
    """The expectation with the name that its result will carry: results come in an order of their own."""
    from great_expectations.expectations.metadata_types import FailureSeverity

    return rule.expectation.copy(update={"meta": {"rule": rule.name}, "severity": FailureSeverity(rule.severity.value)})


def _rule_name(result: ExpectationValidationResult) -> str:
    if result.expectation_config is None:
        raise RuntimeError("Great Expectations returned a result without saying which expectation it belongs to")
    return str((result.expectation_config.meta or {})["rule"])


def _message(symbol: str, rule: BarRule, result: dict[str, Any], rows: int) -> str:
    """What is wrong, on how many bars, on which, and what to do."""
    problem = f"{symbol}: {rule.problem}"
    if result.get("unexpected_count"):
        values = dict.fromkeys(str(value) for value in result["partial_unexpected_list"])
        named = result["partial_unexpected_index_list"]
        stamps = dict.fromkeys(_shown(entry["timestamp"]) for entry in named)
        more = " and others" if result["unexpected_count"] > len(named) else ""
        problem = (
            f"{problem.replace('{values}', ', '.join(values))} on {result['unexpected_count']} of {rows} bars:"
            f" {', '.join(stamps)}{more}"
        )
    return f"{problem}. Remedy: {rule.remedy}"


def _shown(stamp: Any) -> str:
    import pandas as pd

    return "(no timestamp)" if pd.isna(stamp) else f"{stamp:%Y-%m-%d %H:%M}"


def _require_evaluated(rule: BarRule, result: ExpectationValidationResult) -> None:
    """An expectation that could not be evaluated is a fault of ours, never a verdict on the bars."""
    info = result.exception_info or {}
    # One exception, or one for each metric that failed.
    for exception in (info, *(value for value in info.values() if isinstance(value, dict))):
        if exception.get("raised_exception"):
            raise RuntimeError(f"rule {rule.name} could not be evaluated: {exception.get('exception_message')}")


@lru_cache(maxsize=1)
def _whole_table() -> BatchDefinition[Any]:
    """The one batch definition of this process: making a context for each symbol would cost more than validating it."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults, ProgressBarsConfig

    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    context = gx.get_context(mode="ephemeral", project_config=config)
    return context.data_sources.add_pandas("memory").add_dataframe_asset("bars").add_batch_definition_whole_dataframe("all")
