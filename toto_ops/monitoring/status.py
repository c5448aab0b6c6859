"""How the system stands, and what is wrong with it in plain words. Pure: what was observed comes in, alarms come out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

from croniter import croniter
from pydantic import AwareDatetime, Field, computed_field

from toto_ops.configuration import StrictModel

DAEMON_SILENCE = timedelta(minutes=5)
"""A daemon reports every 30 s; ten reports missed are no coincidence."""
SENSOR_SILENCE = timedelta(minutes=10)
"""Beyond a sensor's own interval: one slow evaluation of another sensor may hold it up for minutes."""
SCHEDULE_GRACE = timedelta(minutes=10)
"""How much later than its time a schedule is still on time."""
LONGEST_PROBLEM = 200
"""Characters an alarm quotes of one problem."""
RETRAINING_GRACE = timedelta(hours=6)
"""How long after its time a retraining may take to wait for others, train and be settled."""


class Daemon(StrictModel):
    """One of Dagster's daemons."""

    name: str
    last_heartbeat: AwareDatetime | None
    age_seconds: float | None
    errors: tuple[str, ...] = ()


class Tick(StrictModel):
    """The last time a schedule or sensor was evaluated. `message`: why nothing was launched, or what was raised."""

    at: AwareDatetime
    age_seconds: float
    status: Literal["started", "skipped", "success", "failure"]
    message: str = ""


class Automation(StrictModel):
    """A schedule or a sensor.

    Attributes
    ----------
    running
        Whether the daemon evaluates it.
    by_hand
        Whether somebody switched it on or off in the UI, whatever the environment says.
    cron
        Of a schedule, UTC.
    every_seconds
        Of a sensor.
    running_since
        When it was switched on; None if that is not known.
    """

    name: str
    kind: Literal["schedule", "sensor"]
    running: bool
    by_hand: bool
    cron: str | None = None
    every_seconds: float | None = None
    running_since: AwareDatetime | None = None
    last_tick: Tick | None = None


class ServingModel(StrictModel):
    """What serves a universe. `frozen`: when, by whom and why promotions were frozen; empty where they are free."""

    model: str
    version: int
    line: str
    role: Literal["champion", "fallback"]
    since: AwareDatetime
    frozen: str = ""


class RetrainingStatus(StrictModel):
    """The last retraining that succeeded. `challenger_quarantined`: its challenger was too good to be true."""

    retrain_id: str
    completed_at: AwareDatetime
    as_of: AwareDatetime | None
    promoted: bool | None
    decision: str
    challenger_quarantined: bool = False


class RunFailure(StrictModel):
    """A run that failed, and why."""

    run_id: str
    job: str
    at: AwareDatetime
    problem: str


class UniverseStatus(StrictModel):
    """How one universe stands.

    Attributes
    ----------
    grows
        Whether its source gets new bars; the bundled sample does not.
    newest_bar
        Latest close among the bars served, of symbols whose feed has not ended.
    newest_bar_age_days, max_bar_age_days
        Against the clock; what serving allows.
    late_symbols
        Symbols served with a newest bar older than that, and its close.
    last_feed_ended
        Close of the last bar of all, where every symbol served so far has ended; None where one is still fed.
    quarantined, waiting
        Symbols that take no part, and why: refused by the last ingest; not in the served market yet.
    due_at, next_due_at
        When the last retraining was due by the calendar, the time it may take included; when the next one is.
    changed_since
        What changed since the last retraining, where one was due and none came; empty where it is not overdue.
    in_progress
        What works on the universe now.
    failed_runs
        Since the last success, newest first.
    problems
        What could not be looked at, and why.
    """

    universe: str
    grows: bool
    newest_bar: AwareDatetime | None = None
    newest_bar_age_days: float | None = None
    max_bar_age_days: float
    late_symbols: dict[str, AwareDatetime] = Field(default_factory=dict)
    last_feed_ended: AwareDatetime | None = None
    quarantined: dict[str, str] = Field(default_factory=dict)
    waiting: dict[str, str] = Field(default_factory=dict)
    serving: ServingModel | None = None
    last_retraining: RetrainingStatus | None = None
    due_at: AwareDatetime
    next_due_at: AwareDatetime
    changed_since: str = ""
    in_progress: tuple[str, ...] = ()
    failed_runs: tuple[RunFailure, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def overdue(self) -> bool:
        """Whether a retraining was due, would have had something to do, and did not come."""
        return bool(self.changed_since)


class Alarm(StrictModel):
    """Something that wants attention. `late`: something that should have happened has not, or cannot be known."""

    where: str
    problem: str
    remedy: str
    late: bool


class Observed(StrictModel):
    """What was found at one moment. `daemons` is empty where Dagster was never started over this home."""

    at: AwareDatetime
    env: str
    home: str
    daemons: tuple[Daemon, ...]
    automations: tuple[Automation, ...]
    universes: tuple[UniverseStatus, ...]


class SystemStatus(Observed):
    """What was found, and what is wrong with it."""

    alarms: tuple[Alarm, ...]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def late(self) -> bool:
        """Whether anything is late."""
        return any(alarm.late for alarm in self.alarms)


def judged(observed: Observed) -> SystemStatus:
    """What was observed, with its alarms."""
    alarms = (*_daemon_alarms(observed), *_automation_alarms(observed), *_universe_alarms(observed))
    return SystemStatus(**{name: getattr(observed, name) for name in Observed.model_fields}, alarms=alarms)


def last_due(cadence: str, before: datetime) -> datetime:
    """The last moment at or before `before` that a cron expression names, UTC."""
    # `get_prev` never answers with the moment it is asked at.
    due: datetime = croniter(cadence, before.astimezone(UTC) + timedelta(microseconds=1)).get_prev(datetime)
    return due


def next_due(cadence: str, after: datetime) -> datetime:
    """The first moment after `after` that a cron expression names, UTC."""
    due: datetime = croniter(cadence, after.astimezone(UTC)).get_next(datetime)
    return due


def daemon_expected(observed: Observed) -> bool:
    """Whether somebody relies on the daemon.

    On a developer's machine it comes and goes with `toto-ops dev`, and what runs there by default is housekeeping; but
    whoever switched a schedule or a sensor on counts on it.
    """
    return observed.env != "local" or any(one.running and one.by_hand for one in observed.automations)


def _daemon_alarms(observed: Observed) -> Iterator[Alarm]:
    if not daemon_expected(observed):
        return
    silent = [daemon for daemon in observed.daemons if not _alive(daemon)]
    remedy = "start `dagster-daemon run` (locally `toto-ops dev`) over this home, and keep it running"
    if not observed.daemons:
        yield Alarm(where="daemon", problem="Dagster was never started over this home", remedy=remedy, late=True)
    elif len(silent) == len(observed.daemons):
        heard = [daemon.last_heartbeat for daemon in silent if daemon.last_heartbeat is not None]
        last = f"since {max(heard):%Y-%m-%d %H:%M} UTC" if heard else "and never reported"
        yield Alarm(where="daemon", problem=f"the Dagster daemon is silent {last}: nothing is launched", remedy=remedy, late=True)
    else:
        for daemon in silent:
            heard_of = f"since {daemon.last_heartbeat:%Y-%m-%d %H:%M} UTC" if daemon.last_heartbeat else "and never reported"
            remedy = "restart the Dagster daemon and read its log"
            yield Alarm(where=f"daemon {daemon.name}", problem=f"is silent {heard_of}", remedy=remedy, late=True)
    for daemon in observed.daemons:
        if daemon.errors and _alive(daemon):
            problem = f"reports an error: {daemon.errors[0]}"
            yield Alarm(where=f"daemon {daemon.name}", problem=problem, remedy="read the daemon's log", late=True)


def _automation_alarms(observed: Observed) -> Iterator[Alarm]:
    sensor_daemon_alive = any(daemon.name == "SENSOR" and _alive(daemon) for daemon in observed.daemons)
    for one in observed.automations:
        if not one.running:
            continue
        where = f"{one.kind} {one.name}"
        tick = one.last_tick
        if tick is not None and tick.status == "failure":
            problem = f"its last tick, {tick.at:%Y-%m-%d %H:%M} UTC, failed: {tick.message}"
            yield Alarm(where=where, problem=problem, remedy="mend what is named; the next tick tries again", late=True)
        missed = _missed(one, observed.at)
        if missed is not None:
            remedy = "see that the Dagster daemon runs; it catches up on what it missed"
            yield Alarm(where=where, problem=f"missed its time, {missed:%Y-%m-%d %H:%M} UTC", remedy=remedy, late=True)
        if sensor_daemon_alive and tick is not None and _passed_over(one, tick):
            problem = f"was last evaluated on {tick.at:%Y-%m-%d %H:%M} UTC, and should be every {one.every_seconds:g} s"
            yield Alarm(where=where, problem=problem, remedy="restart the Dagster daemon and read its log", late=True)


def _missed(one: Automation, now: datetime) -> datetime | None:
    """The moment a running schedule should have been evaluated at and was not."""
    if one.cron is None or one.running_since is None:
        return None
    due = last_due(one.cron, now - SCHEDULE_GRACE)
    evaluated = one.last_tick is not None and one.last_tick.at >= due
    return due if due > one.running_since and not evaluated else None


def _passed_over(one: Automation, tick: Tick) -> bool:
    """Whether a sensor was not evaluated for much longer than its interval."""
    return one.every_seconds is not None and tick.age_seconds > one.every_seconds + SENSOR_SILENCE.total_seconds()


def _universe_alarms(observed: Observed) -> Iterator[Alarm]:
    for universe in observed.universes:
        name = universe.universe
        for problem in universe.problems:
            yield Alarm(where=name, problem=problem, remedy="mend what is named, then look again", late=True)
        if universe.last_retraining is None and not universe.problems:
            yield Alarm(where=name, problem="was never retrained", remedy=f"run `toto-ops retrain {name}`", late=False)
        if universe.last_retraining is not None and universe.last_retraining.challenger_quarantined:
            problem = f"the challenger of retraining {universe.last_retraining.retrain_id} is quarantined: too good to be true"
            remedy = "look for leakage of the future into features, labels or bars; its evaluation report says how good"
            yield Alarm(where=name, problem=problem, remedy=remedy, late=False)
        yield from _bar_alarms(universe)
        if universe.overdue:
            problem = f"its retraining was due and has not succeeded since: {universe.changed_since}"
            yield Alarm(where=name, problem=problem, remedy=f"run `toto-ops retrain {name}`", late=True)
        if universe.failed_runs:
            newest = universe.failed_runs[0]
            count = len(universe.failed_runs)
            runs = "1 run has" if count == 1 else f"{count} runs have"
            problem = f"{runs} failed since the last success, {newest.job} last: {_brief(newest.problem)}"
            yield Alarm(where=name, problem=problem, remedy=f"see run {newest.run_id} in the Dagster UI", late=False)
        if universe.quarantined:
            problem = f"takes no part: {_listed(universe.quarantined)}"
            yield Alarm(where=name, problem=problem, remedy=f"mend the feed; `toto-ops data validate {name}` tells", late=False)
        if universe.waiting:
            problem = f"waits to join: {_listed(universe.waiting)}"
            yield Alarm(where=name, problem=problem, remedy="it is tried again when its source has changed", late=False)


def _bar_alarms(universe: UniverseStatus) -> Iterator[Alarm]:
    if not universe.grows:
        return
    if universe.last_feed_ended is not None:
        problem = f"every feed has ended, the last on {universe.last_feed_ended:%Y-%m-%d}: predict answers for no symbol"
        remedy = f"see that the feed delivers, then run `toto-ops retrain {universe.universe}`"
        yield Alarm(where=universe.universe, problem=problem, remedy=remedy, late=True)
    if not universe.late_symbols:
        return
    remedy = f"see that the feed delivers, then launch `{universe.universe}_ingest` or `toto-ops retrain {universe.universe}`"
    allowed = f"at most {universe.max_bar_age_days:g} are allowed, and predict refuses"
    age, newest = universe.newest_bar_age_days, universe.newest_bar
    if age is not None and newest is not None and age > universe.max_bar_age_days:
        problem = f"its newest bar closed on {newest:%Y-%m-%d %H:%M} UTC, {age:.1f} days ago; {allowed}"
    else:
        symbols = {symbol: f"closed on {close:%Y-%m-%d}" for symbol, close in universe.late_symbols.items()}
        problem = f"newest bars are older than {universe.max_bar_age_days:g} days, and predict refuses: {_listed(symbols)}"
    yield Alarm(where=universe.universe, problem=problem, remedy=remedy, late=True)


def _alive(daemon: Daemon) -> bool:
    return daemon.age_seconds is not None and daemon.age_seconds <= DAEMON_SILENCE.total_seconds()


def _listed(symbols: dict[str, str]) -> str:
    """The first few with their reasons, and how many more."""
    shown = "; ".join(f"{symbol} ({_brief(why)})" for symbol, why in list(symbols.items())[:5])
    return shown if len(symbols) <= 5 else f"{shown}; and {len(symbols) - 5} more"


def _brief(problem: str) -> str:
    """As much as fits a line or two; the universe's own entry has the whole of it."""
    return problem if len(problem) <= LONGEST_PROBLEM else f"{problem[:LONGEST_PROBLEM].rstrip()} …"
