"""What features are keyed by: whatever would change them, and nothing less."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from toto_ops.configuration import Settings
from toto_ops.market.snapshot import Snapshot, SnapshotEntry
from toto_ops.pipeline.feature_steps import _features_inputs
from toto_ops.universes import CsvSource, Universe, load_universes

SNAPSHOT = Snapshot(
    universe="crypto",
    retrain_id="r",
    as_of=datetime(2021, 1, 1, tzinfo=UTC),
    config_hash="c",
    entries=(SnapshotEntry(symbol="BTCUSD", status="included", bars="content", inputs_hash="bars"),),
)


@pytest.fixture
def crypto(tmp_path: Path) -> Universe:
    """Reads BTCUSD's sentiment from `<tmp_path>/BTCUSD.csv`."""
    (tmp_path / "BTCUSD.csv").write_text("published_at,news_sentiment,macro_sentiment\n2020-01-01 09:30,0.5,0.1\n")
    source = CsvSource(folder=tmp_path, timezone="UTC", sentiment_folder=tmp_path)
    return load_universes(Settings()).universe("crypto").model_copy(update={"source": source})


def test_another_zone_of_published_sentiment_makes_other_features(crypto: Universe) -> None:
    elsewhere = crypto.model_copy(update={"source": crypto.source.model_copy(update={"timezone": "America/New_York"})})
    assert _features_inputs(SNAPSHOT, crypto, "BTCUSD") != _features_inputs(SNAPSHOT, elsewhere, "BTCUSD")


def test_new_words_make_other_features_and_the_same_words_the_same(crypto: Universe, tmp_path: Path) -> None:
    before = _features_inputs(SNAPSHOT, crypto, "BTCUSD")
    assert _features_inputs(SNAPSHOT, crypto, "BTCUSD") == before
    with (tmp_path / "BTCUSD.csv").open("a") as stream:
        stream.write("2020-01-02 09:30,-0.5,0.1\n")
    assert _features_inputs(SNAPSHOT, crypto, "BTCUSD") != before
