"""Ingest: what is wrong with one symbol is said clearly, quarantines it, stops no other and changes nothing stored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from toto_ops.errors import SourceError
from toto_ops.market.bars import load_bars, store_bars
from toto_ops.market.calendars import with_bar_times
from toto_ops.market.ingest import IngestResult, ingest_symbol, newest_close
from toto_ops.market.snapshot import Snapshot, read_snapshot
from toto_ops.market.sources import open_source
from toto_ops.market.universe_symbols import universe_symbols
from toto_ops.storage.retraining import Retraining
from toto_ops.storage.store import ArtefactKey, ArtefactRef, ArtefactStore
from toto_ops.universes import Membership


def text(bars: pl.DataFrame) -> bytes:
    return bars.write_csv().encode()


def with_column(bars: pl.DataFrame, row: int, column: str, value) -> bytes:
    cell = pl.when(pl.int_range(pl.len()) == row).then(pl.lit(value)).otherwise(pl.col(column))
    return text(bars.with_columns(cell.alias(column)))


def split_ten_to_one(bars: pl.DataFrame) -> bytes:
    prices = ["open", "high", "low", "close"]
    after = pl.int_range(pl.len()) >= 300
    return text(bars.with_columns(pl.when(after).then(pl.col(prices) / 10).otherwise(pl.col(prices))))


def mixed_zones(bars: pl.DataFrame) -> bytes:
    zone = pl.when(pl.int_range(pl.len()) < 100).then(pl.lit("Z")).otherwise(pl.lit("+09:00"))
    return text(bars.with_columns(timestamp=pl.col("timestamp").dt.to_string("%Y-%m-%dT%H:%M:%S") + zone))


BAD_INPUT = {
    "missing columns": (lambda bars: text(bars.drop("high", "close")), "lacks the columns high, close"),
    "NaNs": (lambda bars: with_column(bars, 100, "close", float("nan")), "close is missing"),
    "duplicated timestamps": (lambda bars: text(pl.concat([bars, bars.tail(1)])), "timestamps are duplicated"),
    "unordered timestamps": (lambda bars: text(bars.reverse()), "timestamps are out of order"),
    "negative prices": (lambda bars: with_column(bars, 100, "low", -3.0), "low is zero or negative"),
    "high below low": (lambda bars: with_column(bars, 100, "high", 0.01), "high is below low"),
    "unadjusted 10:1 split": (split_ten_to_one, "unadjusted split (10:1)"),
    "mixed time zones": (mixed_zones, "mixes time zones"),
    "zero rows": (lambda bars: text(bars.clear()), "zero rows"),
    "binary garbage": (lambda _: bytes(range(256)) * 40, "is binary"),
}


@pytest.fixture
def store(tmp_path) -> ArtefactStore:
    return ArtefactStore(tmp_path / "home", "test")


@pytest.fixture
def ingest(store, csv_universe, as_of):
    """Ingest the whole feed as one retraining; the latest pointers follow, as after a success."""

    def run(retrain_id: str, moment: datetime = as_of, universe=csv_universe) -> tuple[dict[str, IngestResult], Snapshot]:
        source = open_source(universe)
        retraining = Retraining(store, universe.name, retrain_id)
        retraining.resolve_as_of(moment)
        results = [ingest_symbol(source, retraining, universe, symbol, moment) for symbol in source.discover().symbols]
        snapshot = read_snapshot(retraining, config_hash="any")
        for symbol in snapshot.symbols:
            store.set_latest(snapshot.bars_ref(symbol))
        return {result.entry.symbol: result for result in results}, snapshot

    return run


@pytest.fixture
def spoilt_feed(store, feed, csv_universe, sound_bars):
    """A feed of GOOD and of BAD, whose file was sound when its bars were stored and has been spoilt since."""

    def write(spoil: Callable[[pl.DataFrame], bytes]) -> ArtefactRef:
        stored = store_bars(store, csv_universe.name, "BAD", with_bar_times(sound_bars, csv_universe)).ref
        store.set_latest(stored)
        feed("GOOD", sound_bars)
        feed("BAD", sound_bars).write_bytes(spoil(sound_bars))
        return stored

    return write


@pytest.fixture
def ingest_one(store, csv_universe, as_of):
    """Ingest one symbol of the feed."""

    def run(symbol: str) -> IngestResult:
        return ingest_symbol(open_source(csv_universe), Retraining(store, csv_universe.name, "one"), csv_universe, symbol, as_of)

    return run


def test_sound_bars_are_stored_with_their_times_and_enter_the_snapshot(ingest, feed, store, csv_universe, sound_bars):
    feed("AAPL", sound_bars)
    results, snapshot = ingest("first")
    assert results["AAPL"].change == "new"
    assert results["AAPL"].report.passed
    entry = snapshot.entry("AAPL")
    assert entry == results["AAPL"].entry
    assert (entry.status, entry.rows, entry.ended) == ("included", len(sound_bars), False)
    assert entry.last_close == datetime(2015, 12, 31, 21, tzinfo=UTC)
    assert_frame_equal(load_bars(store, snapshot.bars_ref("AAPL")), with_bar_times(sound_bars, csv_universe))


@pytest.mark.parametrize("kind", BAD_INPUT)
def test_bad_input_quarantines_its_symbol_and_no_other_and_changes_nothing_stored(spoilt_feed, ingest, store, kind):
    spoil, words = BAD_INPUT[kind]
    stored = spoilt_feed(spoil)
    before = load_bars(store, stored)
    results, today = ingest("today")

    assert today.symbols == ("GOOD",)
    (reasons,) = today.quarantined.values()
    assert any(words in reason and "BAD" in reason and "Remedy: " in reason for reason in reasons)
    assert results["BAD"].change is None
    assert results["BAD"].report.errors == reasons
    assert store.latest(ArtefactKey("stocks", "bars", "BAD")) == stored
    assert_frame_equal(load_bars(store, stored), before)


def test_good_yesterday_bad_today_is_absent_from_this_snapshot_while_what_was_stored_stays(ingest, feed, store, sound_bars):
    feed("AAPL", sound_bars)
    feed("GOOD", sound_bars)
    _, yesterday = ingest("yesterday")
    feed("AAPL", sound_bars.reverse())
    results, today = ingest("today")
    assert yesterday.symbols == ("AAPL", "GOOD")
    assert today.symbols == ("GOOD",)
    assert results["GOOD"].change == "unchanged"
    assert store.latest(ArtefactKey("stocks", "bars", "AAPL")) == yesterday.bars_ref("AAPL")
    assert len(load_bars(store, yesterday.bars_ref("AAPL"))) == len(sound_bars)


@pytest.mark.parametrize("name", ["../x", "..", "a/b", "/etc/passwd", "", "A" * 25])
def test_a_name_that_would_leave_the_folder_is_quarantined_and_nothing_is_written(ingest_one, feed, sound_bars, tmp_path, name):
    feed("GOOD", sound_bars)
    (tmp_path / "x.csv").write_bytes(text(sound_bars))
    before = set(tmp_path.rglob("*"))
    entry = ingest_one(name).entry
    assert entry.status == "quarantined"
    assert "is not a symbol" in entry.reasons[0]
    assert set(tmp_path.rglob("*")) == before


def test_files_that_collide_are_quarantined_under_the_name_they_share(ingest_one, feed, sound_bars):
    for name in ("aapl", "AAPL", "GOOD"):
        feed(name, sound_bars)
    assert "once upper-cased" in ingest_one("AAPL").entry.reasons[0]
    assert ingest_one("GOOD").entry.status == "included"


def test_a_configured_symbol_without_a_file_is_quarantined(ingest_one, feed, sound_bars):
    feed("GOOD", sound_bars)
    entry = ingest_one("GONE").entry
    assert entry.status == "quarantined"
    assert "no file for GONE" in entry.reasons[0]


def test_a_symbol_mended_returns_to_the_next_snapshot(ingest, feed, sound_bars):
    feed("AAPL", sound_bars.reverse())
    feed("GOOD", sound_bars)
    assert ingest("first")[1].symbols == ("GOOD",)
    feed("AAPL", sound_bars)
    results, snapshot = ingest("second")
    assert snapshot.symbols == ("AAPL", "GOOD")
    assert results["AAPL"].change == "new"


def test_new_bars_are_appended_and_the_older_retraining_keeps_its_own(ingest, feed, store, sound_bars):
    feed("AAPL", sound_bars[:450])
    _, first = ingest("first", datetime(2015, 10, 15, 23, tzinfo=UTC))
    feed("AAPL", sound_bars)
    results, second = ingest("second")
    assert results["AAPL"].change == "appended"
    assert (first.entry("AAPL").rows, second.entry("AAPL").rows) == (450, len(sound_bars))
    assert first.data_hash != second.data_hash
    assert len(load_bars(store, first.bars_ref("AAPL"))) == 450


def test_a_history_adjusted_for_a_split_is_taken_anew(ingest, feed, store, sound_bars):
    feed("AAPL", sound_bars)
    ingest("first")
    adjusted = sound_bars.with_columns(pl.col("open", "high", "low", "close") / 4)
    feed("AAPL", adjusted)
    results, snapshot = ingest("second")
    assert results["AAPL"].change == "rewritten"
    assert_frame_equal(load_bars(store, snapshot.bars_ref("AAPL")).select("close"), adjusted.select("close"))


def test_a_feed_that_no_longer_reaches_back_to_what_is_stored_is_quarantined(ingest, feed, csv_universe, sound_bars):
    short = csv_universe.model_copy(update={"minimum_bars": 100})
    feed("AAPL", sound_bars[:150])
    ingest("first", datetime(2014, 8, 7, tzinfo=UTC), short)
    feed("AAPL", sound_bars[300:])
    results, snapshot = ingest("second", universe=short)
    assert "nothing overlaps" in snapshot.quarantined["AAPL"][0]
    assert not results["AAPL"].report.passed


def test_bars_after_as_of_are_left_out(ingest, feed, store, sound_bars):
    feed("AAPL", sound_bars)
    at_the_close = datetime(2015, 10, 15, 20, tzinfo=UTC)
    assert ingest("at", at_the_close)[1].entry("AAPL").last_close == at_the_close
    _, snapshot = ingest("before", at_the_close - timedelta(minutes=1))
    assert snapshot.entry("AAPL").last_close == at_the_close - timedelta(days=1)
    assert load_bars(store, snapshot.bars_ref("AAPL"))["close_time"].max() == at_the_close - timedelta(days=1)


def test_bars_outside_the_membership_are_left_out(ingest, feed, csv_universe, sound_bars):
    feed("AAPL", sound_bars)
    membership = Membership.model_validate({"from": date(2014, 2, 3), "to": date(2015, 11, 30)})
    _, snapshot = ingest("r", universe=csv_universe.model_copy(update={"symbols": {"AAPL": membership}}))
    entry = snapshot.entry("AAPL")
    assert entry.first_close == datetime(2014, 2, 3, 21, tzinfo=UTC)
    assert entry.last_close == datetime(2015, 11, 30, 21, tzinfo=UTC)
    assert entry.ended


def test_a_feed_that_ended_takes_part_with_a_warning(ingest, feed, sound_bars):
    feed("AAPL", sound_bars[:400])
    _, snapshot = ingest("r")
    entry = snapshot.entry("AAPL")
    assert (entry.status, entry.ended, len(entry.warnings)) == ("included", True, 1)


def test_the_same_bars_give_the_same_data_hash_in_another_retraining(ingest, feed, sound_bars):
    feed("AAPL", sound_bars)
    assert ingest("one")[1].data_hash == ingest("two")[1].data_hash


def test_the_newest_close_is_that_of_any_readable_symbol(csv_universe, feed, sound_bars):
    feed("OLD", sound_bars[:300])
    feed("NEW", sound_bars[:400])
    feed("BAD", sound_bars).write_bytes(b"\x00\x01")
    source = open_source(csv_universe)
    newest = with_bar_times(sound_bars, csv_universe)["close_time"][399]
    assert newest_close(source, csv_universe, source.discover().symbols) == newest


def test_no_newest_close_is_made_up_where_nothing_can_be_read(csv_universe, feed, sound_bars):
    feed("BAD", sound_bars).write_bytes(b"\x00\x01")
    with pytest.raises(SourceError, match="not one symbol has a readable bar"):
        newest_close(open_source(csv_universe), csv_universe, ("BAD",))


@pytest.mark.parametrize(("name", "newest"), [("stocks", datetime(2023, 9, 21, 20)), ("crypto", datetime(2021, 7, 7))])  # noqa: DTZ001
def test_the_bundled_sample_stands_at_its_newest_close(bundled_universes, name, newest):
    universe = bundled_universes[name]
    source = open_source(universe)
    assert newest_close(source, universe, universe_symbols(universe, source)) == newest.replace(tzinfo=UTC)


def test_a_retraining_lists_the_bars_it_stored_and_none_of_a_quarantined_symbol(ingest, feed, store, csv_universe, sound_bars):
    feed("GOOD", sound_bars)
    feed("BAD", sound_bars.reverse())
    _, snapshot = ingest("r")
    assert set(Retraining(store, csv_universe.name, "r").refs()) == {snapshot.bars_ref("GOOD")}


def test_a_source_with_train_and_test_folders_says_where_training_ends(ingest, csv_universe, sound_bars, tmp_path):
    for part, bars in (("train", sound_bars.head(400)), ("test", sound_bars.slice(400))):
        (tmp_path / "feed" / part).mkdir()
        bars.write_csv(tmp_path / "feed" / part / "AAPL.csv")
    _, snapshot = ingest("one")
    entry = snapshot.entry("AAPL")
    assert entry.rows == len(sound_bars)
    closes = with_bar_times(sound_bars, csv_universe)["close_time"]
    assert entry.train_folder_until == snapshot.train_folders_until == closes[399]


def test_a_plain_folder_leaves_the_split_to_the_configuration(ingest, feed, sound_bars):
    feed("AAPL", sound_bars)
    assert ingest("one")[1].train_folders_until is None
