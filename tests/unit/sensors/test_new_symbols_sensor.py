"""The sensor makes new symbols partitions and asks for one run per block, or says in words why it does not."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData

from assets.partitions import RANGE_END_TAG, RANGE_START_TAG
from assets.resources import TotoOps
from assets.run_tags import REASON_TAG, SCOPE_TAG, UNIVERSE_TAG
from sensors.new_symbols import new_symbols_sensor
from tests.unit.assets.run_samples import started_run
from tests.unit.pipeline.joining_samples import Coins
from toto_ops.errors import SourceError
from toto_ops.monitoring.new_symbols import SymbolAttempt
from toto_ops.pipeline.new_symbols import find_new_symbols


class Watch:
    """The universe `coins`, which serves AAA and BBB, and its sensor as it was made when the code was loaded."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.coins = Coins(folder)
        self.instance = instance
        self.coins.write("AAA", "BBB")
        self.coins.serve("AAA", "BBB")
        self.sensor = new_symbols_sensor(self.coins.universe, dg.DefaultSensorStatus.STOPPED)

    def tick(self) -> SensorExecutionData:
        settings = self.coins.settings
        toto = TotoOps(home=settings.home, config_dir=str(settings.config_dir), env="local")
        with dg.build_sensor_context(self.instance, resources={"toto": toto}) as context:
            return self.sensor.evaluate_tick(context)

    def requests(self) -> list[dg.RunRequest]:
        answer = self.tick()
        assert answer.run_requests, answer.skip_message
        return list(answer.run_requests)

    def skipped(self) -> str:
        answer = self.tick()
        assert not answer.run_requests
        assert answer.skip_message
        return answer.skip_message

    @property
    def partitions(self) -> list[str]:
        return list(self.instance.get_dynamic_partitions("coins_symbols"))


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> dg.DagsterInstance:
    """On disk, since a sensor's context opens its own; made once, since that takes seconds."""
    return dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster")))


@pytest.fixture
def watch(tmp_path: Path, instance: dg.DagsterInstance) -> Iterator[Watch]:
    yield Watch(tmp_path, instance)
    for symbol in instance.get_dynamic_partitions("coins_symbols"):
        instance.delete_dynamic_partition("coins_symbols", symbol)


def test_without_a_new_symbol_it_says_so_and_the_partitions_are_complete(watch: Watch) -> None:
    assert watch.skipped() == "coins: nothing new among 2 symbols"
    assert watch.partitions == ["AAA", "BBB"]


def test_a_new_file_becomes_a_partition_and_a_run_of_its_own(watch: Watch) -> None:
    watch.skipped()
    watch.coins.write("AAB")
    (request,) = watch.requests()
    assert watch.partitions == ["AAA", "BBB", "AAB"]
    assert (request.tags[RANGE_START_TAG], request.tags[RANGE_END_TAG]) == ("AAB", "AAB")
    assert request.tags[UNIVERSE_TAG] == "coins"
    assert request.tags[SCOPE_TAG] == "symbols"
    assert request.tags[REASON_TAG] == "new symbols: AAB"


def test_an_entry_added_to_the_configuration_is_noticed_without_loading_the_code_again(watch: Watch) -> None:
    watch.coins.write("CCC")
    watch.coins.configure(symbols=["AAA", "BBB"])
    assert watch.skipped() == "coins: nothing new among 2 symbols"
    watch.coins.configure(symbols=["AAA", "BBB", "CCC"])
    assert [request.tags[RANGE_START_TAG] for request in watch.requests()] == ["CCC"]


def test_one_run_is_asked_for_per_block(watch: Watch) -> None:
    watch.skipped()
    watch.coins.write("CCC", "DDD", "EEE")
    watch.requests()
    watch.coins.serve("AAA", "BBB", "DDD")
    blocks = [(request.tags[RANGE_START_TAG], request.tags[RANGE_END_TAG]) for request in watch.requests()]
    assert blocks == [("CCC", "CCC"), ("EEE", "EEE")]


def test_the_same_symbols_are_asked_for_under_the_same_key_until_they_change(watch: Watch) -> None:
    watch.coins.write("CCC")
    (first,), (again,) = watch.requests(), watch.requests()
    assert first.run_key == again.run_key
    watch.coins.write("CCC", bars=150)
    assert watch.requests()[0].run_key != first.run_key


def test_while_a_run_of_the_universe_is_in_progress_they_wait(watch: Watch) -> None:
    watch.coins.write("CCC")
    run = started_run(watch.instance, job_name="coins_retrain", tags={UNIVERSE_TAG: "coins"})
    said = watch.skipped()
    assert said.startswith("coins: new: CCC; they wait until ")
    assert run.run_id in said
    assert "CCC" in watch.partitions
    watch.instance.report_run_failed(run)
    assert watch.requests()


def test_one_that_waits_is_named_with_its_reason(watch: Watch) -> None:
    watch.coins.write("CCC")
    attempt = SymbolAttempt(
        symbol="CCC",
        source_mark=find_new_symbols(watch.coins.project, watch.coins.universe).marks["CCC"],
        status="waiting",
        reasons=("only 120 bars",),
        attempted_at=datetime.now(UTC),
        retrain_id="earlier",
    )
    watch.coins.project.store.write_model("coins/symbol_attempts/CCC.json", attempt)
    assert watch.skipped() == "coins: nothing new among 3 symbols; CCC waits: only 120 bars"


def test_a_source_that_cannot_be_read_fails_the_tick_and_touches_no_partition(watch: Watch) -> None:
    watch.skipped()
    shutil.rmtree(watch.coins.bars)
    with pytest.raises(SourceError, match="cannot be listed"):
        watch.tick()
    assert watch.partitions == ["AAA", "BBB"]
