"""What of a universe takes no part in its served market, what should join it now, and what waits and why."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.pipeline.joining_samples import AS_OF, MINIMUM_BARS, Coins
from toto_ops.errors import SourceError, StorageError
from toto_ops.market.bar_facts import BarStatistics
from toto_ops.market.ingest import IngestResult
from toto_ops.market.quality import QualityReport
from toto_ops.market.snapshot import Snapshot, SnapshotEntry
from toto_ops.market.sources import open_source
from toto_ops.pipeline.market_steps import ingest_symbols
from toto_ops.pipeline.new_symbols import (
    NewSymbols,
    find_new_symbols,
    may_replace,
    note_attempts,
    note_joined,
    note_joined_market,
    read_attempt,
)
from toto_ops.pipeline.retraining_decision import sources_of
from toto_ops.storage.retraining import Retraining


@pytest.fixture
def coins(tmp_path: Path) -> Coins:
    """Serves AAA and BBB; CCC has a file and was never read."""
    coins = Coins(tmp_path)
    coins.write("AAA", "BBB", "CCC")
    coins.serve("AAA", "BBB")
    return coins


def found(coins: Coins) -> NewSymbols:
    return find_new_symbols(coins.project, coins.universe)


def run(coins: Coins, retrain_id: str = "run") -> Retraining:
    return coins.project.retraining(coins.universe, retrain_id)


def attempt(coins: Coins, symbol: str, *reasons: str, retrain_id: str = "run") -> None:
    """Leave behind what reading a symbol leaves behind; with reasons, it was quarantined."""
    status = "quarantined" if reasons else "included"
    entry = SnapshotEntry(symbol=symbol, status=status, reasons=reasons)
    result = IngestResult(entry, QualityReport(symbol, BarStatistics(rows=0)), None)
    sources = sources_of(coins.universe, open_source(coins.universe), [symbol])
    note_attempts(run(coins, retrain_id), [result], sources)


def test_a_member_that_is_not_served_is_to_join(coins: Coins) -> None:
    new = found(coins)
    assert (new.to_add, dict(new.waiting), new.members) == (("CCC",), {}, ("AAA", "BBB", "CCC"))
    assert new.summary == "new: CCC"


def test_only_what_takes_no_part_is_looked_into(coins: Coins) -> None:
    (coins.bars / "AAA.csv").write_bytes(b"\x00 nobody reads this")
    assert set(found(coins).marks) == {"CCC"}


def test_before_anything_is_served_the_first_retraining_takes_all(tmp_path: Path) -> None:
    coins = Coins(tmp_path)
    coins.write("AAA")
    new = found(coins)
    assert (new.to_add, new.serving) == ((), False)
    assert new.summary == "nothing is served yet; the first retraining takes every symbol in"


def test_one_that_was_refused_waits_with_the_reason_until_its_content_changes(coins: Coins) -> None:
    attempt(coins, "CCC", "prices are negative")
    new = found(coins)
    assert (new.to_add, dict(new.waiting)) == ((), {"CCC": "prices are negative"})
    assert new.summary == "nothing new among 3 symbols; CCC waits: prices are negative"
    coins.write("CCC", bars=2 * MINIMUM_BARS + 1)
    assert found(coins).to_add == ("CCC",)


def test_of_many_that_wait_a_summary_names_some(coins: Coins) -> None:
    symbols = [f"NEW{number:02}" for number in range(12)]
    for symbol in symbols:
        coins.write(symbol)
        attempt(coins, symbol, f"{symbol}: too short")
    summary = found(coins).summary
    assert "NEW09 waits: too short" in summary
    assert "NEW10" not in summary
    assert summary.endswith("2 others wait, too")


def test_too_short_a_history_is_tried_again_when_it_is_long_enough(coins: Coins) -> None:
    coins.write("CCC", bars=MINIMUM_BARS - 2)
    assert found(coins).to_add == ("CCC",), "the first attempt reports it"
    attempt(coins, "CCC", "too short")
    coins.write("CCC", bars=MINIMUM_BARS - 1)
    assert found(coins).waiting == {"CCC": "59 bars closed by 2024-03-01 00:00; at least 60 are needed"}
    coins.write("CCC", bars=MINIMUM_BARS)
    assert found(coins).to_add == ("CCC",)


def test_bars_that_close_after_the_served_moment_do_not_make_it_longer(coins: Coins) -> None:
    attempt(coins, "CCC", "too short")
    coins.write("CCC", bars=MINIMUM_BARS, until=AS_OF + timedelta(days=1))
    assert "59 bars closed by 2024-03-01" in found(coins).waiting["CCC"]


def test_what_still_cannot_be_read_waits_with_the_present_reason(coins: Coins) -> None:
    attempt(coins, "CCC", "too short")
    (coins.bars / "CCC.csv").write_bytes(b"\x00\xff")
    assert "is binary" in found(coins).waiting["CCC"]


def test_a_listed_symbol_without_a_file_is_reported_once_and_joins_when_it_comes(coins: Coins) -> None:
    coins.configure(symbols=["AAA", "BBB", "DDD"])
    assert found(coins).to_add == ("DDD",)
    attempt(coins, "DDD", "there is no file")
    assert found(coins).waiting == {"DDD": "there is no file"}
    coins.write("DDD")
    assert found(coins).to_add == ("DDD",)


def test_one_that_a_retraining_quarantined_can_come_back_before_the_next(coins: Coins) -> None:
    coins.serve("AAA", quarantined=("BBB",))
    attempt(coins, "BBB", "odd", retrain_id="whole")
    assert found(coins).waiting == {"BBB": "odd"}
    coins.write("BBB", bars=2 * MINIMUM_BARS + 1)
    assert "BBB" in found(coins).to_add


def test_published_sentiment_is_part_of_what_a_symbol_is_tried_with(coins: Coins, tmp_path: Path) -> None:
    sentiment = tmp_path / "sentiment"
    sentiment.mkdir()
    (sentiment / "CCC.csv").write_text("broken")
    coins.configure(source={"kind": "csv", "folder": str(coins.bars), "sentiment_folder": str(sentiment)})
    attempt(coins, "CCC", "the sentiment is broken")
    assert found(coins).waiting == {"CCC": "the sentiment is broken"}
    (sentiment / "CCC.csv").write_text("mended")
    assert found(coins).to_add == ("CCC",)


def test_a_source_that_cannot_be_listed_is_no_universe_without_symbols(coins: Coins) -> None:
    shutil.rmtree(coins.bars)
    with pytest.raises(SourceError):
        found(coins)


def test_what_a_run_stored_has_joined_only_when_it_is_published(coins: Coins) -> None:
    attempt(coins, "CCC")
    before = read_attempt(coins.project.store, "coins", "CCC")
    assert before is not None
    assert before.status == "stored"
    note_joined(run(coins), ("AAA", "CCC"))
    after = read_attempt(coins.project.store, "coins", "CCC")
    assert after is not None
    assert (after.status, after.source_mark) == ("joined", before.source_mark)
    assert read_attempt(coins.project.store, "coins", "AAA") is None, "it never had to wait"


def test_without_a_served_market_there_is_nothing_to_join(tmp_path: Path) -> None:
    coins = Coins(tmp_path)
    coins.write("AAA")
    with pytest.raises(StorageError, match=r"run `toto-ops retrain coins` first"):
        ingest_symbols(coins.project, run(coins), coins.universe, ("AAA",))


def test_an_old_run_over_some_symbols_does_not_take_away_what_joined_since(coins: Coins) -> None:
    def served(retrain_id: str) -> Snapshot:
        return Snapshot(universe="coins", retrain_id=retrain_id, as_of=AS_OF, config_hash="c", entries=())

    some = run(coins, "some")
    note_joined_market(some, served("whole"))
    assert may_replace(some, served("whole"))
    assert may_replace(some, served("some")), "executed again, it replaces what it published itself"
    assert not may_replace(some, served("later"))
    assert may_replace(run(coins, "a whole one"), served("later"))
    outdated = run(coins, "outdated")
    note_joined_market(outdated, served("earlier"))
    with pytest.raises(StorageError, match="replaced by run whole since"):
        ingest_symbols(coins.project, outdated, coins.universe, ("CCC",))
