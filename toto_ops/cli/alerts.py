"""`toto-ops admin test-alert`: does an alert arrive?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from toto_ops.cli.console import EXIT_ERROR, AsJson, errors_shown, print_json, print_table

if TYPE_CHECKING:
    from toto_ops.monitoring.alert_channels import Channel
    from toto_ops.monitoring.alerts import Alert


def send_test_alert(as_json: AsJson = False) -> None:
    """Send a test through every channel that alerts.yaml turns on; exit code 1 if one did not take it, or none is on."""
    from toto_ops.configuration import Settings
    from toto_ops.errors import ConfigError
    from toto_ops.monitoring.alert_channels import open_channel
    from toto_ops.monitoring.alert_config import CHANNELS, load_alerts, read_secrets
    from toto_ops.monitoring.alerts import trial_alert

    with errors_shown(as_json=as_json):
        folder = Settings().config_dir
        config, secrets = load_alerts(folder), read_secrets()
        channels = {name: channel for name in CHANNELS if (channel := open_channel(name, config, secrets)) is not None}
        if not channels:
            raise ConfigError(
                "every channel is off",
                where=str(folder / "alerts.yaml"),
                remedy="set webhook.enabled or email.enabled to true; see docs/configuration.md",
            )
    alert = trial_alert(datetime.now(UTC))
    rows = [{"channel": name, **_delivery(channel, alert)} for name, channel in channels.items()]
    print_json(rows) if as_json else print_table("test alert", rows)
    if not all(row["delivered"] for row in rows):
        raise typer.Exit(EXIT_ERROR)


def _delivery(channel: Channel, alert: Alert) -> dict[str, object]:
    """Whether one channel took the alert; the others are tried whatever became of it."""
    from toto_ops.errors import AlertError

    try:
        return {"delivered": True, "remark": channel.send(alert)}
    except AlertError as error:
        return {"delivered": False, "remark": str(error)}
