"""`toto-ops admin`: what an operator does to the store as a whole."""

from __future__ import annotations

import typer

from toto_ops.cli.alerts import send_test_alert
from toto_ops.cli.collect import gc
from toto_ops.cli.migrate import migrate

app = typer.Typer(
    help="Look after the store: remove what is old, migrate it to a new release, try the alerts.", no_args_is_help=True
)
app.command("gc")(gc)
app.command("test-alert")(send_test_alert)
app.command("migrate")(migrate)
