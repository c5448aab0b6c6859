"""Said plainly: what beats forecasts that cost nothing, and what does not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.unit.evaluation.reports.forecast_report_samples import (
    ALL_BETTER,
    BETTER,
    LOWER,
    UNDEFINED,
    UNSURE,
    WORSE,
    at,
    evaluation,
)
from toto_ops.evaluation.reports.forecast_statements import (
    calibration_statement,
    comparison_statement,
    direction_statement,
    forecast_statements,
    forecast_verdict,
)


def test_what_is_not_beaten_is_said_with_its_interval():
    assert comparison_statement(at(5, {"ewma": UNSURE})) == (
        "At 5 bars the forecaster does not beat EWMA: its quantile loss is 0.4% [-1.1% … 2.0%] lower."
    )


def test_a_higher_loss_is_called_higher_and_its_interval_turned():
    assert comparison_statement(at(5, {"ewma": LOWER})) == (
        "At 5 bars the forecaster does not beat EWMA: its quantile loss is 0.4% [-1.1% … 2.0%] higher."
    )


def test_what_is_surely_worse_is_called_worse():
    assert comparison_statement(at(1, {"drift": WORSE})) == (
        "At 1 bar the forecaster does not beat drift and is surely worse: its quantile loss is 6.0% [2.0% … 8.0%] higher."
    )


def test_beaten_and_unbeaten_stand_in_one_statement():
    said = comparison_statement(at(1, {"seasonal_naive": BETTER, "drift": BETTER, "ewma": UNSURE}))
    assert said == (
        "At 1 bar the forecaster beats seasonal naive (quantile loss 3.1% [1.0% … 5.0%] lower) and drift (quantile loss 3.1% "
        "[1.0% … 5.0%] lower); it does not beat EWMA: its quantile loss is 0.4% [-1.1% … 2.0%] lower."
    )


def test_what_cannot_be_compared_is_not_beaten():
    said = comparison_statement(at(1, {"ewma": UNDEFINED}))
    assert said == "At 1 bar the forecaster does not beat EWMA: its quantile loss cannot be compared."


NOTHING = dict.fromkeys(ALL_BETTER, UNSURE)
SOME = ALL_BETTER | {"ewma": UNSURE}


@pytest.mark.parametrize(
    ("skills", "verdict"),
    [
        ([NOTHING, NOTHING], "On test the forecaster beats no baseline at any horizon: nothing shows that it knows more."),
        ([ALL_BETTER, ALL_BETTER], "On test the forecaster beats every baseline at every horizon (1 and 5 bars)."),
        (
            [ALL_BETTER, SOME],
            (
                "On test the forecaster beats every baseline at 1 bar alone: it does not beat EWMA at 5 bars. It beats seasonal "
                "naive and drift at 1 and 5 bars and EWMA at 1 bar."
            ),
        ),
        (
            [SOME, NOTHING],
            (
                "On test the forecaster beats all baselines at no horizon: it does not beat seasonal naive and drift at 5 bars "
                "nor EWMA at 1 and 5 bars. It beats seasonal naive and drift at 1 bar."
            ),
        ),
    ],
    ids=["nothing", "everything", "all-and-some", "some-and-none"],
)
def test_the_verdict_names_what_is_beaten_and_what_is_not(skills, verdict):
    found = evaluation(*(at(horizon, one) for horizon, one in zip((1, 5), skills, strict=True)))
    assert forecast_verdict(found) == verdict


def test_a_direction_no_better_than_the_more_frequent_one_is_said_to_be_none():
    said = direction_statement(at(5, ALL_BETTER, edge=LOWER))
    assert said == (
        "At 5 bars its direction is right in 52.1% of 2,000 calls, where always calling the more frequent one is right in 53.0%: "
        "no better, difference [-2.0% … 1.1%] (binomial test on 400 calls at every 5th bar, symbols taken for independent: "
        "p = 0.042)."
    )
    assert "better by 3.1% [1.0% … 5.0%]" in direction_statement(at(1, ALL_BETTER, edge=BETTER))


def test_who_calls_no_direction_is_not_given_an_accuracy():
    silent = at(5, ALL_BETTER)
    silent = silent.model_copy(update={"scores": silent.scores[::-1]})
    assert direction_statement(silent) == "At 5 bars it calls no direction."


def test_calibration_names_the_range_it_speaks_of():
    assert calibration_statement(at(5, ALL_BETTER), evaluation().levels) == (
        "At 5 bars its 80% range held 80.0% of 2,100 outcomes; shares below its quantiles are off by 1.0% in the mean."
    )


def test_bars_the_forecaster_has_seen_are_owned_up_to_before_any_figure():
    seen = evaluation(knows_until=datetime(2023, 1, 1, tzinfo=UTC), possibly_knows_until=datetime(2024, 1, 1, tzinfo=UTC))
    own, foreign = forecast_statements(seen)[1:3]
    assert own.startswith("The forecaster was fitted or chosen on bars up to 2023-01-01")
    assert "published on 2024-01-01" in foreign
    assert len(forecast_statements(evaluation())) == len(forecast_statements(seen)) - 2
