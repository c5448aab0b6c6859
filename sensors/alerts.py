"""One sensor per alert channel: it reads what happened since its cursor and sends it, oldest first.

Each channel has its own cursor, so that a mail server that is down neither holds up the webhook nor makes it repeat
itself. An alert counts as delivered only when the channel took it; until then the tick fails and the next one tries
again. Dagster's own run-failure sensors would pass over a failed delivery, so failed runs are read from the event log.
"""

import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from assets.resources import TotoOps
from sensors.failures import failed_run
from toto_ops.configuration import VersionedModel
from toto_ops.errors import AlertError
from toto_ops.monitoring.alert_channels import Channel, open_channel
from toto_ops.monitoring.alert_config import CHANNELS, ChannelName, load_alerts, read_secrets
from toto_ops.monitoring.alerts import Alert, run_alert, succession_alerts
from toto_ops.pipeline.project import Project
from toto_ops.registry.events import events

LOGGER = logging.getLogger("toto_ops.alerts")

INTERVAL_SECONDS = 60
TICK_SECONDS = 15
"""After this long a tick leaves the rest to the next: Dagster ends one after 60 s, and a slow delivery may take 40."""
RUNS_AT_ONCE = 50

OFF = "off"
"""Cursor of a channel that is off: Dagster keeps the last one where a sensor leaves none."""


class AlertCursor(VersionedModel):
    """Up to where a channel has told everything: failed runs by event, the diary of each universe by number."""

    failed_runs: int
    diaries: dict[str, int]


@dataclass(frozen=True)
class Pending:
    """Something that happened, what to say of it if anything, and the cursor once that is done."""

    alert: Alert | None
    cursor: AlertCursor


def alert_sensors(default_status: dg.DefaultSensorStatus) -> list[dg.SensorDefinition]:
    """`webhook_alerts` and `email_alerts`."""
    return [_alert_sensor(name, default_status) for name in CHANNELS]


def _alert_sensor(name: ChannelName, default_status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{name}_alerts",
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=default_status,
        description="Tells people of failed runs, failed coverage, promotions and demotions, as alerts.yaml says.",
    )
    def alerts(context: dg.SensorEvaluationContext, toto: TotoOps) -> dg.SkipReason:
        project = toto.project()
        config = load_alerts(project.settings.config_dir)
        channel = open_channel(name, config, read_secrets())
        if channel is None:
            # Whoever turns it on is told what happens from then on, not what happened meanwhile.
            context.update_cursor(OFF)
            return dg.SkipReason(f"off: set {name}.enabled in alerts.yaml")
        if context.cursor in (None, OFF):
            context.update_cursor(_present(context.instance, project).model_dump_json())
            return dg.SkipReason("alerts begin with what happens from now on")
        cursor = AlertCursor.stored(json.loads(context.cursor))
        # One source at a time, and each read to its end before anything is sent: a tick that failed on the second
        # would forget what it had sent of the first. Failed runs go first, since they must not wait for MLflow.
        waiting = tuple(_failed_runs(context.instance, cursor)) or tuple(_diary_entries(project, cursor))
        return dg.SkipReason(_deliver(context, channel, waiting, frozenset(config.send)))

    return alerts


def _deliver(context: dg.SensorEvaluationContext, channel: Channel, waiting: Sequence[Pending], wanted: frozenset[str]) -> str:
    """Send what is wanted, noting each delivery; what was sent, in words.

    Raises
    ------
    AlertError
        If the first alert cannot be delivered. A later one that cannot is left to the next tick, where it is the first:
        a tick that fails would forget what it had delivered.
    """
    deadline = time.monotonic() + TICK_SECONDS
    told: list[str] = []
    for item in waiting:
        if item.alert is not None and item.alert.kind in wanted:
            if time.monotonic() > deadline:
                return "; ".join([*told, "the next tick goes on"])
            try:
                remark = channel.send(item.alert)
            except AlertError as error:
                if not told:
                    raise
                LOGGER.warning("%s", error)
                return "; ".join([*told, f"not delivered, the next tick tries again: {error}"])
            if remark:
                LOGGER.warning("%s", remark)
            told.append(f"delivered: {item.alert.title}" + (f" ({remark})" if remark else ""))
        context.update_cursor(item.cursor.model_dump_json())
    return "; ".join(told) or "nothing to tell"


def _failed_runs(instance: dg.DagsterInstance, cursor: AlertCursor) -> Iterator[Pending]:
    newer = dg.RunStatusChangeRecordsFilter(dg.DagsterEventType.RUN_FAILURE, after_storage_id=cursor.failed_runs)
    for record in instance.fetch_run_status_changes(newer, limit=RUNS_AT_ONCE, ascending=True).records:
        entry = record.event_log_entry
        run = instance.get_run_by_id(entry.run_id)
        at = datetime.fromtimestamp(entry.timestamp, UTC)
        alert = run_alert(failed_run(instance, run, at, entry.message)) if run is not None else None
        yield Pending(alert, cursor.model_copy(update={"failed_runs": record.storage_id}))


def _diary_entries(project: Project, cursor: AlertCursor) -> Iterator[Pending]:
    """Finished entries of every universe's diary that were not told yet."""
    for universe in project.universes.universes:
        for number, alert in succession_alerts(events(project.registry, universe), cursor.diaries.get(universe, 0)):
            cursor = cursor.model_copy(update={"diaries": {**cursor.diaries, universe: number}})
            yield Pending(alert, cursor)


def _present(instance: dg.DagsterInstance, project: Project) -> AlertCursor:
    """The cursor of a channel that has just been turned on."""
    newest = instance.fetch_run_status_changes(dg.DagsterEventType.RUN_FAILURE, limit=1).records
    beginning = AlertCursor(failed_runs=newest[0].storage_id if newest else 0, diaries={})
    entries = tuple(_diary_entries(project, beginning))
    return entries[-1].cursor if entries else beginning
