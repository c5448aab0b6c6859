"""Puts the commands together. Imports stay light: every command loads what it needs when it runs."""

from __future__ import annotations

import typer

from toto_ops.cli import (
    admin,
    backfill,
    backtest,
    controls,
    cross_validate,
    data,
    export,
    forecast,
    forecasters,
    predict,
    registry,
    retrain,
    servers,
    status,
    symbols,
)

app = typer.Typer(
    name="toto-ops",
    help="Retrain, judge, promote and serve trading policies.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("retrain")(retrain.retrain)
app.command("backfill")(backfill.backfill)
app.command("forecast")(forecast.forecast)
app.command("forecasters")(forecasters.forecasters)
app.command("predict")(predict.predict)
app.command("backtest")(backtest.backtest)
app.command("controls")(controls.controls)
app.command("cross-validate")(cross_validate.cross_validate)
app.command("status")(status.status)
app.add_typer(symbols.app, name="symbols")
app.add_typer(data.app, name="data")
app.add_typer(export.app, name="export")
app.add_typer(registry.app, name="registry")
app.add_typer(admin.app, name="admin")
app.command("dev")(servers.dev)
app.command("mlflow")(servers.mlflow)
app.command("tensorboard")(servers.tensorboard)
