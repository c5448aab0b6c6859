"""How every symbol of a universe stands, in one word and with the reason; and what adds one or lets one go."""

import shutil
from pathlib import Path

import pytest

from tests.unit.pipeline.joining_samples import AS_OF, MINIMUM_BARS, Coins
from toto_ops.errors import SourceError
from toto_ops.market.snapshot import Snapshot, SnapshotEntry
from toto_ops.market.sources import open_source
from toto_ops.monitoring.new_symbols import SymbolAttempt
from toto_ops.pipeline.new_symbols import mark_of
from toto_ops.pipeline.retraining_decision import sources_of
from toto_ops.pipeline.symbol_states import SymbolState, how_to_add, how_to_leave, symbol_states
from toto_ops.serving.market_view import publish_market
from toto_ops.storage.store import ArtefactKey, ArtefactRef


@pytest.fixture
def coins(tmp_path: Path) -> Coins:
    """Serves AAA and BBB."""
    coins = Coins(tmp_path)
    coins.write("AAA", "BBB")
    coins.serve("AAA", "BBB")
    return coins


def serve(coins: Coins, entry: SnapshotEntry) -> None:
    snapshot = Snapshot(universe="coins", retrain_id="whole", as_of=AS_OF, config_hash="c", entries=(entry,))
    publish_market(coins.project.store, snapshot, ArtefactRef(ArtefactKey("coins", "panel"), "p", "i"))


def states(coins: Coins, *partitions: str) -> dict[str, SymbolState]:
    return {state.symbol: state for state in symbol_states(coins.project, coins.universe, partitions)}


def refused(coins: Coins, symbol: str, reason: str) -> None:
    """Leave behind what refusing the present bars of a symbol leaves behind."""
    mark = mark_of(sources_of(coins.universe, open_source(coins.universe), [symbol]), symbol)
    attempt = SymbolAttempt(
        symbol=symbol, source_mark=mark, status="waiting", reasons=(reason,), attempted_at=AS_OF, retrain_id="run"
    )
    coins.project.store.write_model(f"coins/symbol_attempts/{symbol}.json", attempt)


def test_what_is_served_is_told_with_its_bars(coins: Coins) -> None:
    entry = SnapshotEntry(
        symbol="AAA", status="included", bars="b", inputs_hash="i", rows=120, first_close=AS_OF, last_close=AS_OF
    )
    serve(coins, entry)
    state = states(coins, "AAA")["AAA"]
    assert (state.status, state.partition, state.bars, state.last_close, state.reason) == ("served", True, 120, AS_OF, "")


def test_a_feed_that_ended_is_listed_as_ended(coins: Coins) -> None:
    serve(coins, SnapshotEntry(symbol="AAA", status="included", bars="b", inputs_hash="i", ended=True))
    assert states(coins)["AAA"].status == "ended"


def test_a_member_nobody_tried_is_new_and_told_the_way_in(coins: Coins) -> None:
    coins.write("CCC")
    state = states(coins, "AAA", "BBB")["CCC"]
    assert (state.status, state.partition) == ("new", False)
    assert "toto-ops backfill coins" in state.reason


def test_before_the_first_retraining_every_member_is_new(tmp_path: Path) -> None:
    coins = Coins(tmp_path)
    coins.write("AAA")
    assert states(coins)["AAA"].status == "new"
    assert "toto-ops retrain coins" in states(coins)["AAA"].reason


def test_one_that_was_refused_waits_and_one_that_was_part_before_is_quarantined(coins: Coins) -> None:
    coins.write("CCC", bars=MINIMUM_BARS - 1)
    refused(coins, "CCC", "too short")
    assert (states(coins)["CCC"].status, states(coins)["CCC"].reason) == ("waiting", "too short")
    coins.project.store.set_latest(ArtefactRef(ArtefactKey("coins", "bars", "CCC"), "b", "i"))
    assert states(coins)["CCC"].status == "quarantined"


def test_one_that_is_removed_is_told_where_its_data_is(coins: Coins) -> None:
    (coins.bars / "BBB.csv").unlink()
    state = states(coins)["BBB"]
    assert (state.status, state.partition) == ("removed", False)
    assert str(Path(coins.settings.home, "live", "coins", "bars", "BBB")) in state.reason


def test_one_whose_file_is_gone_is_missed_until_it_is_removed(coins: Coins) -> None:
    (coins.bars / "BBB.csv").unlink()
    state = states(coins, "BBB")["BBB"]
    assert (state.status, state.partition) == ("gone", True)
    assert "toto-ops symbols remove coins BBB" in state.reason


def test_a_source_that_cannot_be_listed_is_no_universe_without_symbols(coins: Coins) -> None:
    shutil.rmtree(coins.bars)
    with pytest.raises(SourceError):
        states(coins, "AAA", "BBB")


def test_the_way_in_and_out_fits_the_configuration(coins: Coins) -> None:
    assert how_to_add(coins.universe, ["CCC"]) == f"put CCC.csv into {coins.bars}"
    assert how_to_leave(coins.universe, "AAA").startswith(f"take AAA.csv out of the source ({coins.bars})")
    coins.configure(symbols=["AAA", "BBB"])
    assert how_to_add(coins.universe, ["CCC"]).startswith("list CCC under `symbols` of coins in universes.yaml, and put CCC.csv")
    assert how_to_leave(coins.universe, "AAA") == "take AAA off `symbols` of coins in universes.yaml first"
    coins.configure(source={"kind": "sample", "folder": "daily_crypto"})
    assert "`source: added` of coins" in how_to_add(coins.universe, ["CCC"])
    assert "the bundled sample" in how_to_leave(coins.universe, "BTCUSD")
