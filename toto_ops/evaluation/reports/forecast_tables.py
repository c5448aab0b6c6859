"""The tables of an evaluation of forecasts, as rows that a page, a text and run metadata write in their own way."""

from __future__ import annotations

from dataclasses import dataclass

from toto_ops.evaluation.forecasts.documents import Comparison, ForecastEvaluation, HorizonEvaluation, Scores
from toto_ops.evaluation.reports.figures import UNDEFINED, cell, count, day, fine_percent, interval, optional, percent
from toto_ops.evaluation.reports.forecast_statements import contestant, forecast_statements
from toto_ops.evaluation.reports.text_layout import bullets, section, text_table

WIDTH = 80
"""Characters in a line of the text, tables included, of ordinary symbols."""

SYMBOLS_IN_TEXT = 40
"""Symbols a text lists; the page and the evidence have all of them."""

_MARKS = {"better": "+", "worse": "-", "no different": " "}


@dataclass(frozen=True)
class Table:
    """Written cells under a header."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def text(self) -> str:
        """As aligned columns; empty without rows."""
        return text_table(self.header, self.rows) if self.rows else ""

    def markdown(self) -> str:
        """As a Markdown table; empty without rows."""
        if not self.rows:
            return ""
        return "\n".join("| " + " | ".join(row) + " |" for row in (self.header, ("---",) * len(self.header), *self.rows))


def scores_table(evaluation: ForecastEvaluation) -> Table:
    """Pooled figures of every contestant at every horizon."""
    header = ("contestant", "bars", "outcomes", "MASE", "CRPS", "WQL", "right", "base", "IC", "off")
    rows = tuple(
        (contestant(one.contestant), str(at.horizon), count(at.outcomes), *_figures(one))
        for at in evaluation.pooled
        for one in at.scores
    )
    return Table("Scores, pooled over the symbols", header, rows)


def comparisons_table(evaluation: ForecastEvaluation) -> Table:
    """The forecaster against every baseline: pooled, and on how many symbols it is surely better or worse."""
    rows = tuple(
        (
            contestant(one.against),
            str(at.horizon),
            optional(percent)(one.skill.value),
            interval(one.skill.low, one.skill.high, percent),
            one.standing,
            *_symbols_by_standing(evaluation, at.horizon, one.against),
        )
        for at in evaluation.pooled
        for one in at.comparisons
    )
    header = ("against", "bars", "lead", "interval", "standing", "better", "worse")
    return Table("Lead over each baseline", header, rows)


def calibration_table(evaluation: ForecastEvaluation) -> Table:
    """Share of the outcomes at or below each quantile of the forecaster, and how often each quantile promises it."""
    rows = tuple(
        (str(at.horizon), *(f"{share:.1%}" for share in at.forecaster.calibration.below))
        for at in evaluation.pooled
        if at.forecaster.calibration is not None
    )
    return Table(
        "Outcomes below each quantile of the forecaster", ("bars", *(f"{level:.0%}" for level in evaluation.levels)), rows
    )


def symbols_table(evaluation: ForecastEvaluation) -> Table:
    """Every symbol at every horizon: the forecaster's figures, its binomial test, and its lead over each baseline."""
    baselines = tuple(one.against for one in evaluation.pooled[0].comparisons)
    header = ("symbol", "bars", "outcomes", "MASE", "CRPS", "WQL", "right", "base", "IC", "off", "p")
    rows = tuple(
        (
            symbol.symbol,
            str(at.horizon),
            count(at.outcomes),
            *_figures(at.forecaster),
            optional(_thousandths)(at.forecaster.direction.p_value),
            *(f"{cell(one.skill, percent)}{_MARKS[one.standing]}" for one in at.comparisons),
        )
        for symbol in evaluation.symbols
        for at in symbol.horizons
    )
    return Table("Symbol by symbol", (*header, *(f"over {contestant(name)}" for name in baselines)), rows)


def leads_table(evaluation: ForecastEvaluation) -> Table:
    """One line for each symbol: how far its quantile loss is under that of its best baseline, horizon by horizon."""
    header = ("symbol", *(f"{at.horizon} {'bar' if at.horizon == 1 else 'bars'}" for at in evaluation.pooled))
    rows = tuple((symbol.symbol, *(_least_lead(at) for at in symbol.horizons)) for symbol in evaluation.symbols)
    return Table("Lead over the best baseline", header, rows)


@dataclass(frozen=True)
class ShownForecasts:
    """One evaluation as a page shows it."""

    evaluation: ForecastEvaluation
    statements: tuple[str, ...]
    tables: tuple[Table, ...]
    by_symbol: Table
    legend: str


def shown_forecasts(evaluation: ForecastEvaluation) -> ShownForecasts:
    """What the page shows of an evaluation."""
    return ShownForecasts(
        evaluation=evaluation,
        statements=forecast_statements(evaluation),
        tables=(scores_table(evaluation), comparisons_table(evaluation), calibration_table(evaluation)),
        by_symbol=symbols_table(evaluation),
        legend=legend(evaluation),
    )


def forecast_section(evaluation: ForecastEvaluation) -> str:
    """The part of a text report about one evaluation."""
    leads = leads_table(evaluation)
    listed = Table(leads.title, leads.header, leads.rows[:SYMBOLS_IN_TEXT])
    left_out = len(leads.rows) - len(listed.rows)
    span = evaluation.span
    return section(
        f"Forecasts on {evaluation.part}: {evaluation.backbone}, {day(span.after)} to {day(span.until)}",
        bullets(forecast_statements(evaluation), WIDTH),
        *(_titled(table) for table in (scores_table(evaluation), comparisons_table(evaluation), calibration_table(evaluation))),
        _titled(listed),
        f"and {left_out} more symbols" if left_out > 0 else "",
        f"\n{legend(evaluation)}",
    )


def legend(evaluation: ForecastEvaluation) -> str:
    """What the heads of the columns mean."""
    level = f"{evaluation.bootstrap.level:.0%}"
    return "\n".join(
        (
            f"MASE: absolute error of the median over a change across {evaluation.season} bars.",
            "CRPS: twice the mean quantile loss, in log returns; WQL: over absolute returns.",
            "right, base: share of right directions, and of the more frequent direction.",
            "IC: rank correlation of median and outcome, mean over the symbols.",
            "EWMA: a random walk with EWMA volatility, the naive forecast of returns.",
            "off: mean distance between a level and the share of outcomes below it.",
            "p: one-sided binomial test of the direction on outcomes that do not overlap.",
            "lead: share by which the quantile loss is lower than the baseline's.",
            f"better or +, worse or -: its {level} block-bootstrap interval is without 0.",
        )
    )


def _titled(table: Table) -> str:
    return f"\n{table.title}\n{table.text()}" if table.rows else ""


def _figures(scores: Scores) -> tuple[str, ...]:
    return (
        optional(_thousandths)(scores.mase),
        optional(fine_percent)(scores.crps),
        optional(_thousandths)(scores.weighted_quantile_loss),
        optional(percent)(scores.direction.accuracy),
        optional(percent)(scores.direction.base_rate),
        optional(_thousandths)(scores.information_coefficient.value),
        optional(percent)(scores.calibration.error if scores.calibration else None),
    )


def _thousandths(value: float) -> str:
    return f"{value:z,.3f}"


def _marked(comparison: Comparison) -> str:
    """A lead with a mark where it is sure."""
    return f"{optional(percent)(comparison.skill.value)}{_MARKS[comparison.standing]}"


def _least_lead(evaluated: HorizonEvaluation) -> str:
    leads = [one for one in evaluated.comparisons if one.skill.value is not None]
    return _marked(min(leads, key=lambda one: one.skill.value or 0.0)) if leads else UNDEFINED


def _symbols_by_standing(evaluation: ForecastEvaluation, horizon: int, against: str) -> tuple[str, str]:
    standings = [
        one.standing
        for symbol in evaluation.symbols
        for at in symbol.horizons
        if at.horizon == horizon
        for one in at.comparisons
        if one.against == against
    ]
    if not standings:
        return UNDEFINED, UNDEFINED
    return f"{standings.count('better')}/{len(standings)}", f"{standings.count('worse')}/{len(standings)}"
