"""Letting go of a symbol is an explicit act: it must have left its universe, nothing may be running, and no data goes."""

import threading
from pathlib import Path

import dagster as dg
import pytest

from assets.run_tags import UNIVERSE_TAG
from deploy.symbols import list_symbols, remove_symbol
from deploy.universe_lock import universe_lock
from tests.unit.assets.run_samples import DEAD_LAUNCHER, ELSEWHERE, of_a_command_line, queued_run
from tests.unit.pipeline.joining_samples import Coins
from toto_ops.errors import BusyError, SourceError, SymbolNameError


@pytest.fixture
def coins(tmp_path: Path) -> Coins:
    coins = Coins(tmp_path)
    coins.write("AAA", "BBB")
    return coins


@pytest.fixture
def instance(coins: Coins, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    """Knows AAA, BBB and OLD, which left."""
    instance = dg.DagsterInstance.ephemeral()
    monkeypatch.setattr("deploy.symbols.prepare_instance", lambda _settings: instance)
    monkeypatch.setattr("deploy.symbols.existing_instance", lambda _settings: instance)
    instance.add_dynamic_partitions("coins_symbols", ["AAA", "OLD", "BBB"])
    return instance


def remove(coins: Coins, name: str, wait: float = 0.0) -> str:
    return remove_symbol(coins.project, coins.universe, name, wait)


def test_the_partition_goes_and_the_data_stays(coins: Coins, instance: dg.DagsterInstance) -> None:
    stored = Path(coins.settings.home, "live", "coins", "bars", "OLD")
    stored.mkdir(parents=True)
    assert remove(coins, "old") == str(stored)
    assert instance.get_dynamic_partitions("coins_symbols") == ["AAA", "BBB"]
    assert stored.exists()


def test_a_member_would_come_back_and_is_refused(coins: Coins, instance: dg.DagsterInstance) -> None:
    with pytest.raises(SymbolNameError, match=r"AAA is still in the universe.*take AAA.csv out"):
        remove(coins, "AAA")
    assert "AAA" in instance.get_dynamic_partitions("coins_symbols")


@pytest.mark.parametrize(("name", "says"), [("NOSUCH", "is not a partition"), ("../x", "is not a symbol")])
def test_what_is_no_partition_is_refused(coins: Coins, instance: dg.DagsterInstance, name: str, says: str) -> None:
    with pytest.raises(SymbolNameError, match=says):
        remove(coins, name)


def test_a_source_that_cannot_be_read_does_not_say_who_is_a_member(coins: Coins, instance: dg.DagsterInstance) -> None:
    coins.bars.rename(coins.bars.with_name("elsewhere"))
    with pytest.raises(SourceError):
        remove(coins, "AAA")
    assert "AAA" in instance.get_dynamic_partitions("coins_symbols")


def test_it_waits_for_a_run_in_progress_and_gives_up_after_the_wait(
    coins: Coins, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.symbols.POLL_SECONDS", 0.05)
    run = of_a_command_line(instance, ELSEWHERE, "coins")
    with pytest.raises(BusyError, match=run.run_id):
        remove(coins, "OLD", wait=0.1)
    ending = threading.Timer(0.3, instance.report_run_failed, [run])
    ending.start()
    remove(coins, "OLD", wait=30)
    ending.join()
    assert "OLD" not in instance.get_dynamic_partitions("coins_symbols")


def test_a_queued_run_is_waited_for_too_since_it_could_not_run_without_the_partition(
    coins: Coins, instance: dg.DagsterInstance
) -> None:
    run = queued_run(instance, {UNIVERSE_TAG: "coins"})
    with pytest.raises(BusyError, match=run.run_id):
        remove(coins, "OLD")


def test_a_command_line_that_works_on_the_universe_is_waited_for(coins: Coins, instance: dg.DagsterInstance) -> None:
    with universe_lock(coins.settings, coins.universe), pytest.raises(BusyError):
        remove(coins, "OLD", wait=0.1)


def test_a_dead_run_is_not_waited_for(coins: Coins, instance: dg.DagsterInstance) -> None:
    of_a_command_line(instance, DEAD_LAUNCHER, "coins")
    remove(coins, "OLD")
    assert "OLD" not in instance.get_dynamic_partitions("coins_symbols")


def test_the_list_knows_members_and_partitions(coins: Coins, instance: dg.DagsterInstance) -> None:
    coins.write("CCC")
    listed = {state.symbol: (state.status, state.partition) for state in list_symbols(coins.project, coins.universe)}
    assert listed == {"AAA": ("new", True), "BBB": ("new", True), "CCC": ("new", False), "OLD": ("gone", True)}


def test_listing_makes_no_home(coins: Coins) -> None:
    assert [state.symbol for state in list_symbols(coins.project, coins.universe)] == ["AAA", "BBB"]
    assert not Path(coins.settings.home).exists()
