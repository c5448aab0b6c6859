"""`toto-ops status`: is everything where it should be? For people, and with `--json` for whatever watches over them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import typer

from toto_ops.cli.console import OUT, AsJson, errors_shown, print_json, print_table

if TYPE_CHECKING:
    from toto_ops.monitoring.status import Automation, Daemon, SystemStatus, UniverseStatus

EXIT_LATE = 2


def status(as_json: AsJson = False) -> None:
    """Show daemons, schedules, sensors, bars, what serves, and what is wrong; exit code 2 when something is late.

    Nothing is started, and nothing that is stored changes.
    """
    from toto_ops.configuration import Settings

    with errors_shown(as_json=as_json):
        from deploy.status import system_status

        found = system_status(Settings())
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print(found)
    if found.late:
        raise typer.Exit(EXIT_LATE)


def _print(found: SystemStatus) -> None:
    OUT.print(f"[bold]{found.home}[/], {found.env}, {_moment(found.at)}", highlight=False, soft_wrap=True)
    columns = {universe.universe: _universe_facts(universe) for universe in found.universes}
    facts = list(next(iter(columns.values()), {}))
    print_table("universes", [{"": fact} | {name: column[fact] for name, column in columns.items()} for fact in facts])
    print_table("schedules and sensors", [_automation_row(one) for one in found.automations])
    print_table("daemons", [_daemon_row(daemon) for daemon in found.daemons])
    for alarm in found.alarms:
        mark = "[bold red]late[/]" if alarm.late else "[yellow]note[/]"
        OUT.print(f"{mark} {alarm.where}: ", end="", highlight=False)
        OUT.print(f"{alarm.problem}. Remedy: {alarm.remedy}", markup=False, highlight=False, soft_wrap=True)
    if not found.late:
        OUT.print("[green]nothing is late[/]")


def _universe_facts(universe: UniverseStatus) -> dict[str, object]:
    serving, last = universe.serving, universe.last_retraining
    age = "" if universe.newest_bar_age_days is None or not universe.grows else f", {universe.newest_bar_age_days:.1f} days old"
    promoted = {True: "promoted", False: "not promoted", None: "outcome not stored"}
    outcome = None if last is None else "challenger quarantined" if last.challenger_quarantined else promoted[last.promoted]
    return {
        "newest bar": None if universe.newest_bar is None else f"{_moment(universe.newest_bar)}{age}",
        "serves": None if serving is None else f"{serving.role} version {serving.version} ({serving.line})",
        "since": _moment(serving.since) if serving else None,
        "frozen": (serving.frozen or "no") if serving else None,
        "retrained": f"{_moment(last.completed_at)}, {outcome}" if last else None,
        "overdue": "yes" if universe.overdue else "no",
        "next due": _moment(universe.next_due_at),
        "now": "; ".join(universe.in_progress) or "idle",
    }


def _automation_row(one: Automation) -> dict[str, object]:
    tick = one.last_tick
    return {
        "name": one.name,
        "kind": one.kind,
        "state": "running" if one.running else "stopped",
        "last tick": _ago(tick.age_seconds) if tick else None,
        "status": tick.status if tick else None,
        "message": tick.message if tick else None,
    }


def _daemon_row(daemon: Daemon) -> dict[str, object]:
    return {
        "daemon": daemon.name,
        "last heartbeat": None if daemon.age_seconds is None else _ago(daemon.age_seconds),
        "errors": "; ".join(daemon.errors) or "none",
    }


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _ago(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
