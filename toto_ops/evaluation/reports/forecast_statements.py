"""What an evaluation of forecasts says in sentences, the same in a page, a text and run metadata."""

from __future__ import annotations

from toto_ops.evaluation.forecasts.documents import Comparison, Direction, ForecastEvaluation, HorizonEvaluation
from toto_ops.evaluation.reports.figures import cell, counted, day, interval, percent
from toto_ops.evaluation.statistics.bootstrap import Estimate

CONTESTANTS = {"forecaster": "forecaster", "seasonal_naive": "seasonal naive", "drift": "drift", "ewma": "EWMA"}
"""How contestants are called."""


def contestant(name: str) -> str:
    """A contestant as reports call it."""
    return CONTESTANTS.get(name, name)


def forecast_verdict(evaluation: ForecastEvaluation) -> str:
    """In a sentence: whether the forecaster knows more than forecasts that cost nothing, first of all where it does not."""
    beaten, unbeaten = _by_horizons(evaluation, better=True), _by_horizons(evaluation, better=False)
    on = f"On {evaluation.part} the forecaster"
    if not beaten:
        return f"{on} beats no baseline at any horizon: nothing shows that it knows more."
    if not unbeaten:
        return f"{on} beats every baseline at every horizon ({_horizons(tuple(at.horizon for at in evaluation.pooled))})."
    ahead = tuple(at.horizon for at in evaluation.pooled if at.beats_all)
    first = f"beats every baseline at {_horizons(ahead)} alone" if ahead else "beats all baselines at no horizon"
    return f"{on} {first}: it does not beat {' nor '.join(unbeaten)}. It beats {' and '.join(beaten)}."


def forecast_statements(evaluation: ForecastEvaluation) -> tuple[str, ...]:
    """The verdict, what it rests on, and one statement for each horizon about loss, direction and calibration."""
    return (
        forecast_verdict(evaluation),
        *provenance_statements(evaluation),
        *(
            statement
            for one in evaluation.pooled
            for statement in (comparison_statement(one), direction_statement(one), calibration_statement(one, evaluation.levels))
        ),
    )


def provenance_statements(evaluation: ForecastEvaluation) -> tuple[str, ...]:
    """Whether the forecaster could have known what it foretold."""
    said = []
    if evaluation.seen:
        said.append(
            f"The forecaster was fitted or chosen on bars up to {day(evaluation.knows_until)}, some of them in this span: it is "
            "less good than it looks here."
        )
    if evaluation.possibly_knows_until is not None and evaluation.possibly_seen:
        said.append(
            f"Its weights come from elsewhere and were published on {day(evaluation.possibly_knows_until)}: older bars of this "
            "span may have been in their training."
        )
    return tuple(said)


def comparison_statement(evaluated: HorizonEvaluation) -> str:
    """Which baselines the forecaster beats at one horizon, and by how much."""
    beaten = [_against(one) for one in evaluated.comparisons if one.standing == "better"]
    unbeaten = [one for one in evaluated.comparisons if one.standing != "better"]
    at = f"At {counted(evaluated.horizon, 'bar')} the forecaster"
    beats = f"beats {_listed(beaten)}" if beaten else ""
    lacks = "; ".join(f"does not beat {_unbeaten(one)}" for one in unbeaten)
    return f"{at} {'; it '.join(part for part in (beats, lacks) if part)}."


def direction_statement(evaluated: HorizonEvaluation) -> str:
    """Whether it points the way prices go more often than the more frequent direction alone would."""
    called = evaluated.forecaster.direction
    at = f"At {counted(evaluated.horizon, 'bar')}"
    if called.accuracy is None or called.base_rate is None:
        return f"{at} it calls no direction."
    test = _binomial(called, evaluated.horizon)
    return (
        f"{at} its direction is right in {percent(called.accuracy)} of {counted(called.calls, 'call')}, where always calling the "
        f"more frequent one is right in {percent(called.base_rate)}: {_edge(called.edge)}{test}."
    )


def calibration_statement(evaluated: HorizonEvaluation, levels: tuple[float, ...]) -> str:
    """How much came to lie between its outermost quantiles."""
    calibration = evaluated.forecaster.calibration
    at = f"At {counted(evaluated.horizon, 'bar')}"
    if calibration is None:
        return f"{at} there is no outcome to calibrate by."
    held = calibration.below[-1] - calibration.below[0]
    return (
        f"{at} its {levels[-1] - levels[0]:.0%} range held {percent(held)} of {counted(evaluated.outcomes, 'outcome')}; "
        f"shares below its quantiles are off by {percent(calibration.error)} in the mean."
    )


def loss_difference(skill: Estimate) -> str:
    """A skill in words: the quantile loss so much lower, or higher, with its interval."""
    if skill.value is None:
        return "its quantile loss cannot be compared"
    if skill.value >= 0.0:
        return f"its quantile loss is {cell(skill, percent)} lower"
    turned = Estimate(
        value=-skill.value,
        low=None if skill.high is None else -skill.high,
        high=None if skill.low is None else -skill.low,
    )
    return f"its quantile loss is {cell(turned, percent)} higher"


def _against(comparison: Comparison) -> str:
    return f"{contestant(comparison.against)} (quantile loss {cell(comparison.skill, percent)} lower)"


def _unbeaten(comparison: Comparison) -> str:
    worse = " and is surely worse" if comparison.standing == "worse" else ""
    return f"{contestant(comparison.against)}{worse}: {loss_difference(comparison.skill)}"


def _edge(edge: Estimate) -> str:
    if edge.low is not None and edge.low > 0.0:
        return f"better by {cell(edge, percent)}"
    bounds = interval(edge.low, edge.high, percent)
    return "no better" + (f", difference [{bounds}]" if bounds else "")


def _binomial(called: Direction, horizon: int) -> str:
    if called.p_value is None:
        return ""
    spaced = "" if horizon == 1 else f" at every {horizon}th bar"
    return (
        f" (binomial test on {counted(called.independent_calls, 'call')}{spaced}, symbols taken for independent: "
        f"{_chance(called.p_value)})"
    )


def _chance(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _by_horizons(evaluation: ForecastEvaluation, *, better: bool) -> list[str]:
    """`drift and EWMA at 1 and 5 bars`: baselines that are, or are not, beaten at the same horizons stand together."""
    names: dict[tuple[int, ...], list[str]] = {}
    for against in dict.fromkeys(one.against for at in evaluation.pooled for one in at.comparisons):
        horizons = tuple(at.horizon for at in evaluation.pooled if (against in at.beaten) == better)
        if horizons:
            names.setdefault(horizons, []).append(contestant(against))
    return [f"{_listed(together)} at {_horizons(horizons)}" for horizons, together in names.items()]


def _horizons(horizons: tuple[int, ...]) -> str:
    return f"{_listed([str(one) for one in horizons])} {'bar' if horizons == (1,) else 'bars'}"
