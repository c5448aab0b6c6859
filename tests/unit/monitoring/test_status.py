"""What counts as an alarm, what as late, and who may be silent."""

from datetime import UTC, datetime, timedelta

import pytest

from toto_ops.monitoring.status import (
    DAEMON_SILENCE,
    SCHEDULE_GRACE,
    SENSOR_SILENCE,
    Automation,
    Daemon,
    Observed,
    RetrainingStatus,
    RunFailure,
    SystemStatus,
    Tick,
    UniverseStatus,
    judged,
    last_due,
    next_due,
)

NOW = datetime(2024, 2, 10, 12, tzinfo=UTC)
DUE = datetime(2024, 2, 1, 6, tzinfo=UTC)
BARS = datetime(2024, 2, 10, tzinfo=UTC)
RETRAINED = RetrainingStatus(retrain_id="r1", completed_at=DUE + timedelta(hours=1), as_of=DUE, promoted=True, decision="passed")


def daemon(name: str = "SENSOR", age: float | None = 20, **changes: object) -> Daemon:
    at = None if age is None else NOW - timedelta(seconds=age)
    return Daemon(name=name, last_heartbeat=at, age_seconds=age, **changes)  # type: ignore[arg-type]


def tick(age: timedelta, status: str = "success", message: str = "") -> Tick:
    return Tick(at=NOW - age, age_seconds=age.total_seconds(), status=status, message=message)  # type: ignore[arg-type]


def schedule(**changes: object) -> Automation:
    content = {"name": "crypto_retrain", "kind": "schedule", "running": True, "by_hand": False, "cron": "0 6 1 * *", **changes}
    return Automation(**content)  # type: ignore[arg-type]


def sensor(**changes: object) -> Automation:
    content = {"name": "email_alerts", "kind": "sensor", "running": True, "by_hand": False, "every_seconds": 60, **changes}
    return Automation(**content)  # type: ignore[arg-type]


def universe(**changes: object) -> UniverseStatus:
    content = {
        "universe": "crypto",
        "grows": True,
        "newest_bar": BARS,
        "newest_bar_age_days": 0.5,
        "max_bar_age_days": 5,
        "last_retraining": RETRAINED,
        "due_at": DUE,
        "next_due_at": datetime(2024, 3, 1, 6, tzinfo=UTC),
        **changes,
    }
    return UniverseStatus(**content)  # type: ignore[arg-type]


def status(*automations: Automation, env: str = "prod", **changes: object) -> SystemStatus:
    content = {"at": NOW, "env": env, "home": "/srv", "daemons": (daemon(),), "universes": (universe(),), **changes}
    return judged(Observed(automations=automations, **content))  # type: ignore[arg-type]


def test_a_system_at_work_has_no_alarm() -> None:
    found = status(schedule(last_tick=tick(NOW - DUE)), sensor(last_tick=tick(timedelta(seconds=30), "skipped")))
    assert found.alarms == ()
    assert not found.late
    assert found.model_dump(mode="json")["late"] is False


def test_a_quarantined_challenger_is_told_of_and_makes_nothing_late() -> None:
    quarantined = RETRAINED.model_copy(update={"promoted": False, "challenger_quarantined": True})
    found = status(universes=(universe(last_retraining=quarantined),))
    (alarm,) = found.alarms
    assert "r1 is quarantined: too good to be true" in alarm.problem
    assert "leakage" in alarm.remedy
    assert not found.late


class TestDaemon:
    def test_silence_in_production_is_late(self) -> None:
        found = status(daemons=(daemon(age=DAEMON_SILENCE.total_seconds() + 1),))
        (alarm,) = found.alarms
        assert found.late
        assert "silent since 2024-02-10 11:54 UTC" in alarm.problem
        assert "dagster-daemon run" in alarm.remedy

    @pytest.mark.parametrize("daemons", [(), (daemon(age=None),)])
    def test_one_that_never_ran_is_late_in_production(self, daemons: tuple[Daemon, ...]) -> None:
        assert status(daemons=daemons).late
        assert status(daemons=daemons, env="local").alarms == ()

    def test_on_a_laptop_it_may_be_off_unless_somebody_switched_something_on(self) -> None:
        silent = (daemon(age=86_400),)
        assert status(sensor(), env="local", daemons=silent).alarms == (), "housekeeping runs by default"
        assert status(schedule(running=False, by_hand=True), env="local", daemons=silent).alarms == ()
        assert status(schedule(by_hand=True), env="local", daemons=silent).late

    def test_one_of_several_that_stopped_is_named(self) -> None:
        (alarm,) = status(daemons=(daemon(), daemon("SCHEDULER", 3600))).alarms
        assert alarm.where == "daemon SCHEDULER"

    def test_an_error_it_reports_is_late(self) -> None:
        (alarm,) = status(daemons=(daemon(errors=("disk full",)),)).alarms
        assert alarm.late
        assert "disk full" in alarm.problem


class TestSchedulesAndSensors:
    def test_a_failing_tick_is_late_and_says_why(self) -> None:
        (alarm,) = status(sensor(last_tick=tick(timedelta(seconds=30), "failure", "AlertError: answered 503"))).alarms
        assert alarm.late
        assert "answered 503" in alarm.problem

    def test_what_is_stopped_cannot_fail_or_miss(self) -> None:
        failed = tick(timedelta(days=90), "failure", "long ago")
        assert status(schedule(running=False, running_since=DUE - timedelta(days=99), last_tick=failed)).alarms == ()
        assert status(sensor(running=False, last_tick=failed)).alarms == ()

    def test_a_schedule_that_missed_its_time_is_late(self) -> None:
        since = DUE - timedelta(days=40)
        (alarm,) = status(schedule(running_since=since, last_tick=tick(timedelta(days=40)))).alarms
        assert alarm.late
        assert "missed its time, 2024-02-01 06:00 UTC" in alarm.problem
        assert status(schedule(running_since=since)).late
        assert not status(schedule(running_since=since, last_tick=tick(NOW - DUE))).late

    def test_a_time_before_it_was_switched_on_was_not_missed(self) -> None:
        assert not status(schedule(running_since=DUE + timedelta(hours=1))).late

    def test_a_schedule_may_be_some_minutes_late(self) -> None:
        hourly = {"cron": "0 * * * *", "running_since": NOW - timedelta(days=1), "last_tick": tick(timedelta(hours=1))}
        assert not status(schedule(**hourly)).late
        later = NOW + SCHEDULE_GRACE + timedelta(seconds=1)
        assert status(schedule(**hourly), at=later).late

    def test_a_sensor_nobody_evaluates_though_the_daemon_lives_is_late(self) -> None:
        forgotten = sensor(last_tick=tick(SENSOR_SILENCE + timedelta(minutes=2), "skipped"))
        assert status(forgotten).late
        (alarm,) = status(forgotten, daemons=(daemon(age=86_400),)).alarms
        assert alarm.where == "daemon", "when the daemon is silent, that is the one alarm"


class TestUniverses:
    def test_old_bars_of_a_source_that_grows_are_late(self) -> None:
        old = {"newest_bar_age_days": 9.34, "late_symbols": {"BTCUSD": BARS}}
        (alarm,) = status(universes=(universe(**old),)).alarms
        assert alarm.late
        assert "9.3 days ago; at most 5" in alarm.problem
        assert "`crypto_ingest`" in alarm.remedy
        assert status(universes=(universe(grows=False, **old),)).alarms == ()

    def test_one_feed_that_lags_is_named(self) -> None:
        (alarm,) = status(universes=(universe(late_symbols={"XRPUSD": DUE}),)).alarms
        assert alarm.late
        assert "XRPUSD (closed on 2024-02-01)" in alarm.problem

    def test_a_source_that_grows_and_feeds_nobody_any_more_is_late(self) -> None:
        ended = {"newest_bar": None, "newest_bar_age_days": None, "last_feed_ended": DUE}
        (alarm,) = status(universes=(universe(**ended),)).alarms
        assert alarm.late
        assert "the last on 2024-02-01" in alarm.problem
        assert status(universes=(universe(grows=False, **ended),)).alarms == ()

    def test_what_cannot_be_read_is_not_called_never_retrained(self) -> None:
        (alarm,) = status(universes=(universe(last_retraining=None, problems=("cannot be read",)),)).alarms
        assert alarm.problem == "cannot be read"

    def test_an_overdue_retraining_is_late_and_says_what_changed(self) -> None:
        (alarm,) = status(universes=(universe(changed_since="new symbols: XMRUSD"),)).alarms
        assert alarm.late
        assert "new symbols: XMRUSD" in alarm.problem
        assert "toto-ops retrain crypto" in alarm.remedy

    def test_what_cannot_be_looked_at_counts_as_late(self) -> None:
        assert status(universes=(universe(problems=("its source cannot be read: gone",)),)).late

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"last_retraining": None}, "was never retrained"),
            ({"quarantined": {"BTCUSD": "gaps"}}, "takes no part: BTCUSD (gaps)"),
            ({"waiting": {"XMRUSD": "too short"}}, "waits to join: XMRUSD (too short)"),
            (
                {"failed_runs": (RunFailure(run_id="r2", job="crypto_ingest", at=NOW, problem="bars: gone"),)},
                "1 run has failed since the last success, crypto_ingest last: bars: gone",
            ),
        ],
    )
    def test_other_news_is_told_and_is_not_late(self, changes: dict[str, object], says: str) -> None:
        found = status(universes=(universe(**changes),))
        (alarm,) = found.alarms
        assert says in alarm.problem
        assert not found.late

    def test_a_long_problem_is_cut(self) -> None:
        long = RunFailure(run_id="r2", job="crypto_ingest", at=NOW, problem="x" * 10_000)
        (alarm,) = status(universes=(universe(failed_runs=(long, long)),)).alarms
        assert alarm.problem.startswith("2 runs have failed")
        assert len(alarm.problem) < 300

    def test_a_long_list_is_cut(self) -> None:
        (alarm,) = status(universes=(universe(waiting={f"S{number}": "short" for number in range(2_000)}),)).alarms
        assert alarm.problem.endswith("and 1995 more")


def test_when_it_was_due_and_will_be() -> None:
    assert last_due("0 6 1 * *", NOW) == DUE
    assert last_due("0 6 1 * *", DUE) == DUE
    assert next_due("0 6 1 * *", DUE) == datetime(2024, 3, 1, 6, tzinfo=UTC)
