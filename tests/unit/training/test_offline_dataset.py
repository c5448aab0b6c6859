"""Offline datasets: extraction, spans, storage without pickle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toto_ops.errors import InsufficientDataError, StorageError
from toto_ops.features.state import STATE_FEATURES
from toto_ops.learning.splits import Span
from toto_ops.simulation.observation import Action
from toto_ops.training.offline_dataset import OfflineDataset, action_distribution

START = datetime(2024, 1, 1, tzinfo=UTC)


def make_dataset(count: int = 10, **changes: Any) -> OfflineDataset:
    generator = np.random.default_rng(3)
    arrays: dict[str, Any] = {
        "states": generator.normal(size=(count, 34)).astype(np.float32),
        "actions": np.arange(count, dtype=np.int64) % 3,
        "strengths": generator.uniform(size=count).astype(np.float32),
        "close_time": np.datetime64("2024-01-01", "us") + np.arange(count) * np.timedelta64(1, "D"),
    }
    return OfflineDataset(**(arrays | changes))


def assert_equal(found: OfflineDataset, expected: OfflineDataset) -> None:
    for name in ("states", "actions", "strengths", "close_time"):
        left, right = getattr(found, name), getattr(expected, name)
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


class TestContent:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"states": np.zeros((10, 33), dtype=np.float32)}, "needs shapes"),
            ({"strengths": np.zeros(9, dtype=np.float32)}, "needs shapes"),
            ({"states": np.full((10, 34), np.nan, dtype=np.float32)}, "10 of 10 states are not finite"),
            ({"actions": np.full(10, 3)}, "HOLD=0"),
            ({"strengths": np.full(10, 1.5, dtype=np.float32)}, r"\[0, 1\]"),
            ({"strengths": np.full(10, np.nan, dtype=np.float32)}, r"\[0, 1\]"),
        ],
    )
    def test_arrays_that_make_no_sense_are_refused(self, change: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            make_dataset(**change)

    def test_comes_from_a_decision_history_in_state_order(self) -> None:
        moments = [START, START + timedelta(days=1)]
        columns: dict[str, Any] = {name: [float(i), -float(i)] for i, name in enumerate(reversed(STATE_FEATURES))}
        history = pl.DataFrame({"strength": [0.1, 0.9], "close_time": moments, "vote": [0.0, 0.0], "action": [1, 2], **columns})
        dataset = OfflineDataset.from_decisions(history)
        np.testing.assert_array_equal(dataset.states, np.outer([1, -1], np.arange(34)[::-1]))
        assert dataset.states.dtype == np.float32
        assert dataset.actions.tolist() == [Action.BUY, Action.SELL]
        assert dataset.strengths.tolist() == pytest.approx([0.1, 0.9])
        assert dataset.close_time.tolist() == [moment.replace(tzinfo=None) for moment in moments]

    def test_an_empty_history_is_an_empty_dataset(self) -> None:
        schema = pl.Schema({"close_time": pl.Datetime("us", "UTC"), "action": pl.Int8(), "strength": pl.Float32()})
        schema.update(dict.fromkeys(STATE_FEATURES, pl.Float32()))
        history = pl.DataFrame(schema=schema)
        assert len(OfflineDataset.from_decisions(history)) == 0


class TestSpans:
    def test_between_leaves_out_the_start_and_keeps_the_end(self) -> None:
        kept = make_dataset().between(Span(after=START + timedelta(days=2), until=START + timedelta(days=5)))
        assert kept.close_time.astype("datetime64[D]").astype(str).tolist() == ["2024-01-04", "2024-01-05", "2024-01-06"]
        np.testing.assert_array_equal(kept.states, make_dataset().states[3:6])

    def test_between_compares_moments_whatever_zone_they_are_given_in(self) -> None:
        tokyo = timezone(timedelta(hours=9))
        span = Span(after=START + timedelta(days=2), until=START + timedelta(days=5))
        abroad = Span(after=span.after.astimezone(tokyo), until=span.until.astimezone(tokyo))
        assert_equal(make_dataset().between(abroad), make_dataset().between(span))

    @given(cut=st.integers(-2, 12))
    @settings(deadline=None, max_examples=15)
    def test_adjacent_spans_share_no_decision_and_lose_none(self, cut: int) -> None:
        dataset, boundary = make_dataset(), START + timedelta(days=cut)
        early = dataset.between(Span(after=START - timedelta(days=9), until=boundary))
        late = dataset.between(Span(after=boundary, until=START + timedelta(days=99)))
        np.testing.assert_array_equal(np.concatenate([early.close_time, late.close_time]), dataset.close_time)


class TestActionDistribution:
    def test_counts_over_all_datasets(self) -> None:
        buys = make_dataset(4, actions=np.full(4, int(Action.BUY)))
        holds = make_dataset(12, actions=np.zeros(12, dtype=np.int64))
        assert action_distribution([buys, holds]) == {Action.HOLD: 0.75, Action.BUY: 0.25, Action.SELL: 0.0}

    def test_nothing_has_no_distribution(self) -> None:
        with pytest.raises(InsufficientDataError):
            action_distribution([make_dataset(0)])


class TestStorage:
    def test_keeps_everything(self, tmp_path: Path) -> None:
        make_dataset().save(tmp_path / "AAPL.npz")
        assert_equal(OfflineDataset.load(tmp_path / "AAPL.npz"), make_dataset())

    def test_the_same_dataset_gives_the_same_bytes(self, tmp_path: Path) -> None:
        make_dataset().save(tmp_path / "one.npz")
        make_dataset().save(tmp_path / "two.npz")
        assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()

    def test_a_name_numpy_would_change_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match=r"\.npz"):
            make_dataset().save(tmp_path / "AAPL.dat")

    def test_a_pickle_inside_is_never_loaded(self, tmp_path: Path) -> None:
        path = tmp_path / "evil.npz"
        np.savez(path, states=np.array([print], dtype=object))
        with pytest.raises(StorageError, match="not an offline dataset"):
            OfflineDataset.load(path)

    @pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 torn"])
    def test_what_is_no_npz_is_refused(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "torn.npz"
        path.write_bytes(content)
        with pytest.raises(StorageError, match="rematerialise"):
            OfflineDataset.load(path)

    def test_a_single_array_is_no_dataset(self, tmp_path: Path) -> None:
        path = tmp_path / "array.npz"
        with path.open("wb") as stream:
            np.save(stream, np.zeros(3))
        with pytest.raises(StorageError):
            OfflineDataset.load(path)

    def test_a_dataset_that_lacks_an_array_is_refused_by_name(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "part.npz", states=np.zeros((1, 34)))
        with pytest.raises(StorageError, match="actions"):
            OfflineDataset.load(tmp_path / "part.npz")

    @pytest.mark.parametrize("change", [{"schema_version": 99}, {"observation_schema": "state35/1"}])
    def test_another_schema_is_refused_and_both_are_named(self, tmp_path: Path, change: dict[str, Any]) -> None:
        path = tmp_path / "old.npz"
        make_dataset().save(path)
        with np.load(path) as stored:
            arrays = dict(stored)
        np.savez(path, **(arrays | {name: np.array(value) for name, value in change.items()}))
        with pytest.raises(StorageError, match=f"{next(iter(change.values()))}.*this release reads.*state34/1"):
            OfflineDataset.load(path)
