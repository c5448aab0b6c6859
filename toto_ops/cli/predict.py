"""`toto-ops predict`: what the incumbent would do now about one symbol."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated

import typer

from toto_ops.cli.console import OUT, AsJson, as_utc, errors_shown, print_json


def _finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter("must be a finite number")
    return value


def predict(
    symbol: Annotated[str, typer.Option("--symbol", "-s", help="Symbol to decide on.")],
    universe: Annotated[str | None, typer.Option(help="Universe; found by the symbol if only one has it.")] = None,
    position: Annotated[float, typer.Option(min=-1, max=1, help="Weight held now, as a share of the largest allowed.")] = 0.0,
    leverage: Annotated[float | None, typer.Option(min=0, callback=_finite, help="Gross exposure over equity.")] = None,
    cash: Annotated[float | None, typer.Option(callback=_finite, help="Cash over equity.")] = None,
    days_since_trade: Annotated[float | None, typer.Option(min=0, help="Days since this symbol was last traded.")] = None,
    at: Annotated[datetime | None, typer.Option(help="Moment of the question (UTC); now by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the incumbent, through ONNX Runtime, and say until when the answer holds."""
    from toto_ops.configuration import Settings
    from toto_ops.pipeline.project import Project
    from toto_ops.pipeline.symbol_lookup import universe_of
    from toto_ops.serving.account import AccountQuery
    from toto_ops.serving.predict import Predictor

    with errors_shown(as_json=as_json):
        project = Project(Settings())
        chosen = universe_of(project, symbol, universe)
        account = AccountQuery(position=position, leverage=leverage, cash=cash, days_since_trade=days_since_trade)
        answer = Predictor.open(chosen, project.store, project.registry).predict(symbol, as_utc(at), account)
    if as_json:
        print_json(answer.model_dump(mode="json"))
        return
    target = "keep the units held" if answer.target_weight is None else f"target weight {answer.target_weight:+.4f}"
    OUT.print(f"[bold]{answer.symbol}: {answer.action}[/] strength {answer.strength:.2f}, {target}", highlight=False)
    chances = answer.probabilities
    OUT.print(f"probabilities: hold {chances.hold:.3f}, buy {chances.buy:.3f}, sell {chances.sell:.3f}", highlight=False)
    OUT.print(
        f"on the bar that closed {answer.bar_close:%Y-%m-%d %H:%M} UTC, valid until {answer.valid_until:%Y-%m-%d %H:%M} UTC",
        highlight=False,
    )
    source = "the fallback (analysts' ensemble)" if answer.is_fallback else "the champion"
    OUT.print(f"answered by {source}: {answer.model} version {answer.version}", highlight=False)
    for warning in answer.warnings:
        OUT.print(f"[yellow]warning:[/] {warning}", highlight=False)
