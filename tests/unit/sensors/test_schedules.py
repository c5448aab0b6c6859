"""The calendar asks for one run over all symbols when something changed, and says why it does not when nothing did."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
import yaml

from assets.partitions import RANGE_END_TAG, RANGE_START_TAG
from assets.resources import TotoOps
from assets.run_tags import AS_OF_TAG, UNIVERSE_TAG
from sensors.schedules import ingest_schedule, retrain_schedule, schedules
from toto_ops.configuration import PROJECT_ROOT, Settings
from toto_ops.errors import SourceError
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import note_fingerprint, remember

DUE = datetime(2024, 2, 1, 6, tzinfo=UTC)
BARS = "timestamp,open,high,low,close,volume\n2024-01-01,1,2,1,2,10\n2024-01-02,2,2,1,1,10\n"


class Calendar:
    """One project with the universe `coins` in a CSV folder, and its schedule."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.bars = folder / "bars"
        self.bars.mkdir()
        self.instance = instance
        self.settings = Settings(home=str(folder / "home"), config_dir=_configuration(folder / "config", self.bars), env="local")
        self.add("AAA", "BBB")

    @property
    def project(self) -> Project:
        return Project(self.settings)

    def add(self, *symbols: str) -> None:
        for symbol in symbols:
            (self.bars / f"{symbol}.csv").write_text(BARS)

    def retrained(self, universe_name: str = "coins") -> None:
        """Leave behind what a successful retraining leaves behind."""
        universe = self.project.universe(universe_name)
        retraining = self.project.retraining(universe, "earlier")
        note_fingerprint(self.project, retraining, universe)
        remember(self.project, retraining, universe, DUE)

    def tick(self, universe_name: str = "coins", due: datetime = DUE) -> dg.RunRequest | dg.SkipReason:
        schedule = retrain_schedule(self.project.universe(universe_name), dg.DefaultScheduleStatus.STOPPED)
        toto = TotoOps(home=self.settings.home, config_dir=str(self.settings.config_dir), env="local")
        with dg.build_schedule_context(self.instance, due, resources={"toto": toto}) as context:
            answer = schedule(context)
        assert isinstance(answer, (dg.RunRequest, dg.SkipReason))
        return answer

    def request(self, universe_name: str = "coins") -> dg.RunRequest:
        answer = self.tick(universe_name)
        assert isinstance(answer, dg.RunRequest), answer
        return answer


def _configuration(folder: Path, bars: Path) -> Path:
    """The shipped configuration with a universe `coins` added, which takes what it finds in `bars`."""
    shutil.copytree(PROJECT_ROOT / "deploy" / "config", folder)
    content = yaml.safe_load((folder / "universes.yaml").read_text())
    crypto = {key: value for key, value in content["universes"]["crypto"].items() if key != "symbols"}
    content["universes"]["coins"] = {**crypto, "source": {"kind": "csv", "folder": str(bars)}}
    (folder / "universes.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> dg.DagsterInstance:
    """An instance on disk, since a schedule's context opens its own; made once, since that takes seconds."""
    return dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster")))


@pytest.fixture
def calendar(tmp_path: Path, instance: dg.DagsterInstance) -> Iterator[Calendar]:
    yield Calendar(tmp_path, instance)
    for symbol in instance.get_dynamic_partitions("coins_symbols"):
        instance.delete_dynamic_partition("coins_symbols", symbol)


def test_one_run_is_requested_over_all_symbols(calendar: Calendar) -> None:
    request = calendar.request()
    assert request.tags[UNIVERSE_TAG] == "coins"
    assert (request.tags[RANGE_START_TAG], request.tags[RANGE_END_TAG]) == ("AAA", "BBB")
    assert request.tags["toto/reason"] == "never retrained"


def test_nothing_is_requested_when_nothing_changed_and_the_reason_is_given(calendar: Calendar) -> None:
    calendar.retrained()
    answer = calendar.tick()
    assert isinstance(answer, dg.SkipReason)
    assert answer.skip_message is not None
    assert answer.skip_message.startswith("coins: nothing changed since the last retraining")


def test_a_new_symbol_is_a_reason_and_joins_the_range(calendar: Calendar) -> None:
    calendar.request()
    calendar.retrained()
    calendar.add("AAB")
    request = calendar.request()
    assert request.tags["toto/reason"] == "new symbols: AAB"
    assert set(calendar.instance.get_dynamic_partitions("coins_symbols")) == {"AAA", "BBB", "AAB"}
    assert (request.tags[RANGE_START_TAG], request.tags[RANGE_END_TAG]) == ("AAA", "AAB"), "in the order they were added"


def test_what_was_added_to_the_configuration_counts_without_loading_the_code_again(calendar: Calendar) -> None:
    schedule = retrain_schedule(calendar.project.universe("coins"), dg.DefaultScheduleStatus.STOPPED)
    path = calendar.settings.config_dir / "universes.yaml"
    content = yaml.safe_load(path.read_text())
    content["universes"]["coins"]["symbols"] = ["AAA", "BBB", "CCC"]
    path.write_text(yaml.safe_dump(content))
    toto = TotoOps(home=calendar.settings.home, config_dir=str(calendar.settings.config_dir), env="local")
    with dg.build_schedule_context(calendar.instance, DUE, resources={"toto": toto}) as context:
        schedule(context)
    assert "CCC" in calendar.instance.get_dynamic_partitions("coins_symbols")


def test_new_bars_are_a_reason(calendar: Calendar) -> None:
    calendar.retrained()
    (calendar.bars / "BBB.csv").write_text(BARS + "2024-01-03,1,2,1,2,10\n")
    assert calendar.request().tags["toto/reason"] == "new bars or rewritten history: BBB"


def test_nothing_later_than_the_scheduled_time_is_known_to_the_run(calendar: Calendar) -> None:
    assert calendar.request().tags[AS_OF_TAG] == DUE.isoformat()


def test_the_bundled_sample_stands_at_its_newest_close(calendar: Calendar) -> None:
    assert AS_OF_TAG not in calendar.request("crypto").tags


def test_a_tick_that_is_evaluated_twice_asks_for_the_same_run(calendar: Calendar) -> None:
    later = calendar.tick(due=DUE.replace(month=3))
    assert isinstance(later, dg.RunRequest)
    assert calendar.request().run_key == calendar.request().run_key != later.run_key


def test_a_source_that_cannot_be_read_fails_the_tick(calendar: Calendar) -> None:
    calendar.retrained()
    shutil.rmtree(calendar.bars)
    with pytest.raises(SourceError):
        calendar.tick()


def test_new_bars_are_brought_in_between_retrainings_where_the_universe_says_when(calendar: Calendar) -> None:
    coins, stopped = calendar.project.universe("coins"), dg.DefaultScheduleStatus.STOPPED
    assert [schedule.name for schedule in schedules(coins, stopped)] == ["coins_retrain"]
    daily = coins.model_copy(update={"ingest_cadence": "30 0 * * *"})
    assert [schedule.name for schedule in schedules(daily, stopped)] == ["coins_retrain", "coins_ingest"]
    calendar.retrained()
    toto = TotoOps(home=calendar.settings.home, config_dir=str(calendar.settings.config_dir), env="local")
    with dg.build_schedule_context(calendar.instance, DUE, resources={"toto": toto}) as context:
        request = ingest_schedule(daily, "30 0 * * *", stopped)(context)
    assert isinstance(request, dg.RunRequest)
    assert request.tags[AS_OF_TAG] == DUE.isoformat(), "unlike a retraining, it asks although nothing is stale"
    assert (request.tags[RANGE_START_TAG], request.tags[RANGE_END_TAG]) == ("AAA", "BBB")
