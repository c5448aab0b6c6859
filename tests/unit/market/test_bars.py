"""Stored bars grow at the end, and are rebuilt once the source rewrites their past."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toto_ops.errors import BarDataError, StorageError
from toto_ops.market.bars import load_bars, store_bars
from toto_ops.market.schema import BAR_SCHEMA, VALUE_COLUMNS
from toto_ops.storage.store import ArtefactKey, ArtefactStore

KEY = ArtefactKey("stocks", "bars", "AAPL")
START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def bars(first: int, last: int, factor: float = 1.0) -> pl.DataFrame:
    """Bars of days `first` to `last`; `factor` rescales prices as a split adjustment does."""
    days = range(first, last + 1)
    times = {"open_time": [START + day * DAY for day in days], "close_time": [START + (day + 1) * DAY for day in days]}
    return pl.DataFrame(times | {name: [(100.0 + day) * factor for day in days] for name in VALUE_COLUMNS}, schema=BAR_SCHEMA)


@pytest.fixture
def store(tmp_path) -> ArtefactStore:
    return ArtefactStore(tmp_path)


@pytest.fixture
def put(store):
    def put_and_point(table: pl.DataFrame, **options):
        update = store_bars(store, "stocks", "AAPL", table, **options)
        store.set_latest(update.ref)
        return update

    return put_and_point


def test_first_bars_are_new_and_come_back_as_they_went(store, put):
    update = put(bars(0, 9))
    assert update.change == "new"
    assert update.ref.key == KEY
    assert load_bars(store, update.ref).equals(bars(0, 9))
    assert load_bars(store, update.ref).schema == BAR_SCHEMA


def test_the_same_bars_are_the_same_artefact(put):
    first = put(bars(0, 9))
    again = put(bars(0, 9))
    assert again.change == "unchanged"
    assert again.ref == first.ref


def test_new_bars_are_appended(store, put):
    put(bars(0, 9))
    update = put(bars(0, 12))
    assert update.change == "appended"
    assert load_bars(store, update.ref).equals(bars(0, 12))


def test_a_source_that_only_reaches_back_a_while_keeps_what_was_stored(store, put):
    put(bars(0, 9))
    update = put(bars(7, 12))
    assert update.change == "appended"
    assert update.bars.equals(bars(0, 12))
    assert load_bars(store, update.ref).equals(bars(0, 12))


def test_a_window_without_news_changes_nothing(put):
    first = put(bars(0, 9))
    assert put(bars(7, 9)).ref == first.ref
    assert put(bars(7, 9)).change == "unchanged"


@pytest.mark.parametrize("table", [bars(0, 12, factor=0.1), bars(5, 12, factor=0.1)], ids=["whole", "window"])
def test_a_rewritten_history_is_rebuilt_from_the_source(store, put, table):
    put(bars(0, 9))
    update = put(table)
    assert update.change == "rewritten"
    assert load_bars(store, update.ref).equals(table)


def test_one_corrected_bar_is_a_rewritten_history(put):
    put(bars(0, 9))
    corrected = bars(0, 12).with_columns(close=pl.when(pl.int_range(pl.len()) == 4).then(1.0).otherwise("close"))
    update = put(corrected)
    assert update.change == "rewritten"
    assert update.bars.equals(corrected)


def test_a_bar_removed_by_the_source_is_removed(put):
    put(bars(0, 9))
    thinned = bars(0, 12).filter(pl.int_range(pl.len()) != 4)
    assert put(thinned).bars.equals(thinned)


def test_earlier_history_is_taken_up(put):
    put(bars(5, 9))
    update = put(bars(0, 12))
    assert update.change == "rewritten"
    assert update.bars.equals(bars(0, 12))


def test_no_bar_after_the_last_given_one_is_taken_from_the_store(put):
    put(bars(0, 9))
    assert put(bars(0, 4)).bars.equals(bars(0, 4))
    put(bars(0, 9))
    assert put(bars(2, 4)).bars.equals(bars(0, 4))


def test_bars_from_before_membership_are_dropped(put):
    put(bars(0, 9))
    update = put(bars(5, 12), since=START + 5 * DAY)
    assert update.bars.equals(bars(5, 12))
    assert update.change == "rewritten"


def test_membership_that_begins_after_the_stored_bars_starts_anew(put):
    put(bars(0, 9))
    assert put(bars(20, 25), since=START + 20 * DAY).bars.equals(bars(20, 25))


def test_bars_that_do_not_reach_back_to_the_stored_ones_are_refused(store, put):
    first = put(bars(0, 9))
    with pytest.raises(BarDataError, match="nothing overlaps") as refusal:
        put(bars(10, 12))
    assert "stocks/AAPL" in refusal.value.where
    assert store.latest(KEY) == first.ref


def test_the_pointer_is_left_to_the_caller(store):
    store_bars(store, "stocks", "AAPL", bars(0, 9))
    assert store.latest(KEY) is None
    assert store_bars(store, "stocks", "AAPL", bars(0, 12)).change == "new"


def test_zero_bars_are_refused(put):
    with pytest.raises(BarDataError, match="zero bars"):
        put(bars(0, -1))


def test_raw_bars_are_refused(put):
    with pytest.raises(BarDataError, match="give exactly open_time"):
        put(bars(0, 3).rename({"open_time": "timestamp"}))


@pytest.mark.parametrize("file", ["bars.parquet", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "other"])
def test_damaged_bars_are_never_used(store, put, file, damage):
    ref = put(bars(0, 9)).ref
    path = store.local_folder(ref) / file
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "gone":
        path.unlink()
    else:
        other = store_bars(ArtefactStore(store.root, "other"), "stocks", "AAPL", bars(0, 8))
        path.write_bytes((ArtefactStore(store.root, "other").local_folder(other.ref) / file).read_bytes())
    with pytest.raises(StorageError, match="remove this folder and run `toto-ops retrain stocks --force`"):
        load_bars(store, ref)


def test_a_manifest_of_another_schema_version_is_refused(store, put):
    ref = put(bars(0, 9)).ref
    manifest = store.local_folder(ref) / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"schema_version": 1', '"schema_version": 99'))
    with pytest.raises(StorageError, match="schema_version 99 cannot be read; this release reads"):
        load_bars(store, ref)


@given(
    cuts=st.lists(st.integers(min_value=1, max_value=40), min_size=1, max_size=5), window=st.integers(min_value=0, max_value=40)
)
@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_growing_in_any_steps_ends_in_the_same_bars(tmp_path_factory, cuts, window):
    store = ArtefactStore(tmp_path_factory.mktemp("store"))
    end = -1
    for step in [*sorted(cuts), 41]:
        start = max(0, end - window)
        update = store_bars(store, "stocks", "AAPL", bars(start if end >= 0 else 0, step))
        store.set_latest(update.ref)
        assert update.change in ("new", "appended", "unchanged")
        end = step
    whole = store_bars(ArtefactStore(store.root, "fresh"), "stocks", "AAPL", bars(0, 41))
    assert update.ref.content_hash == whole.ref.content_hash


def test_once_a_damaged_folder_is_removed_the_source_is_taken_as_it_is(store, put):
    first = put(bars(0, 9))
    shutil.rmtree(store.local_folder(first.ref))
    again = put(bars(0, 9))
    assert again.change == "new"
    assert load_bars(store, again.ref).equals(bars(0, 9))
