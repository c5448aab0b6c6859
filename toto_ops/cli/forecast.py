"""`toto-ops forecast`: where the closes of a symbol may go, as quantiles."""

from __future__ import annotations

from typing import Annotated

import typer

from toto_ops.cli.console import OUT, AsJson, errors_shown, print_json, print_table


def forecast(
    symbol: Annotated[str, typer.Option("--symbol", "-s", help="Symbol to foretell.")],
    horizon: Annotated[int, typer.Option(min=1, help="Bars ahead.")] = 20,
    universe: Annotated[str | None, typer.Option(help="Universe; found by the symbol if only one has it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the forecaster of the last retraining about the newest served bar."""
    from toto_ops.configuration import Settings
    from toto_ops.pipeline.forecast_answers import forecast as answered
    from toto_ops.pipeline.project import Project
    from toto_ops.pipeline.symbol_lookup import universe_of

    with errors_shown(as_json=as_json):
        project = Project(Settings())
        answer = answered(project, universe_of(project, symbol, universe), symbol, horizon)
    if as_json:
        print_json(answer.model_dump(mode="json"))
        return
    rows = [
        {
            "bars": step.ahead,
            "10 %": _price(step.prices["0.1"]),
            "30 %": _price(step.prices["0.3"]),
            "median": _price(step.prices["0.5"]),
            "70 %": _price(step.prices["0.7"]),
            "90 %": _price(step.prices["0.9"]),
            "rise": f"{step.up:.1%}",
            "by": step.by,
        }
        for step in answer.steps
    ]
    print_table(f"{answer.symbol}: closes after {answer.bar_close:%Y-%m-%d %H:%M} UTC, {_price(answer.close)} then", rows)
    OUT.print(f"backbone {answer.backbone}, fitted on bars up to {answer.knows_until:%Y-%m-%d}", highlight=False)
    for backbone, reason in answer.passed_over.items():
        OUT.print(f"[yellow]passed over:[/] {backbone}: {reason}", highlight=False)
    if not answer.trained_on_symbol:
        OUT.print(f"[yellow]new:[/] the forecaster was fitted without {answer.symbol}", highlight=False)


def _price(value: float) -> str:
    """Six digits, as prices are written: never a power of ten where a plain number does."""
    return f"{value:.0f}" if value >= 1e6 else f"{value:.6g}"
