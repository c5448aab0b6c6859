"""The fallback's identity: what is registered once must not stand for an ensemble that would decide otherwise."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from toto_ops.configuration import Settings
from toto_ops.features.panel import Panel
from toto_ops.learning.splits import Span, Splits
from toto_ops.market.snapshot import SnapshotEntry, record_entry
from toto_ops.pipeline import evaluation_steps
from toto_ops.pipeline.evaluation_steps import fallback_candidate
from toto_ops.pipeline.project import Project
from toto_ops.policies.contract import PolicyManifest

START = datetime(2020, 1, 1, tzinfo=UTC)


def splits(train_days: int) -> Splits:
    ends = [START + timedelta(days=days) for days in (0, train_days, 200, 300)]
    train, validation, test = (Span(after=after, until=until) for after, until in pairwise(ends))
    return Splits(train=train, validation=validation, test=test)


def panel() -> Panel:
    moment, cell = np.array(["2020-01-01"], dtype="datetime64[us]"), np.ones((1, 1))
    return Panel.of_prices(
        symbols=("AAA",),
        feature_names=(),
        open_time=moment,
        close_time=moment,
        features=np.zeros((1, 1, 0), dtype=np.float32),
        mask=cell > 0,
        open=cell,
        close=cell,
        ended=np.array([False]),
    )


@pytest.fixture
def fallback(tmp_path: Path) -> Callable[[int], PolicyManifest]:
    """The fallback's manifest when train ends after so many days."""
    project = Project(Settings(home=str(tmp_path)))
    universe = project.universe("crypto")
    retraining = project.retraining(universe, "r")
    retraining.resolve_as_of(START)
    record_entry(retraining, SnapshotEntry(symbol="AAA", status="included", bars="b", inputs_hash="i"))

    def make(train_days: int = 100) -> PolicyManifest:
        return fallback_candidate(project, retraining, universe, panel(), splits(train_days)).manifest

    return make


def test_the_same_ensemble_is_the_same_model(fallback: Callable[..., PolicyManifest]) -> None:
    assert fallback() == fallback()


def test_other_code_of_the_analysts_is_another_model(
    fallback: Callable[..., PolicyManifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fallback()
    monkeypatch.setattr(evaluation_steps, "DECISIONS_VERSION", "next")
    assert fallback().inputs_hash != before.inputs_hash


def test_another_train_span_is_another_model_since_it_knows_other_bars(fallback: Callable[..., PolicyManifest]) -> None:
    assert fallback(90).knows_until == START + timedelta(days=90)
    assert fallback(90).inputs_hash != fallback(100).inputs_hash
