"""What features are keyed by, and how those of several markets come into one panel."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import yaml

from toto_ops.configuration import PROJECT_ROOT, Settings
from toto_ops.market.bars import load_bars
from toto_ops.market.snapshot import Snapshot, SnapshotEntry
from toto_ops.market.sources import SAMPLE_FOLDER
from toto_ops.pipeline.feature_steps import _features_inputs, make_features, make_panel, panel_of
from toto_ops.pipeline.market_steps import ingest, snapshot_of
from toto_ops.pipeline.project import Project
from toto_ops.storage.retraining import Retraining
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


def test_another_unit_of_volume_makes_other_features(crypto: Universe) -> None:
    assert crypto.volume_unit == "quote"
    counted = crypto.model_copy(update={"volume_unit": "base"})
    assert _features_inputs(SNAPSHOT, crypto, "BTCUSD") != _features_inputs(SNAPSHOT, counted, "BTCUSD")


# -- a universe of two markets -------------------------------------------------------------------------------------

COIN, SHARE = "BTCUSD", "AAPL"
UNTIL = "2021-03-08"
"""A Monday: the newest bar of the coin is that of Sunday, the newest of the share that of Friday."""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Universe, Retraining]:
    """Real coins and shares in one universe, ingested."""
    folder = tmp_path_factory.mktemp("both")
    config = folder / "config"
    shutil.copytree(PROJECT_ROOT / "deploy" / "config", config)
    content = yaml.safe_load((config / "universes.yaml").read_text())
    for part, symbol in (("crypto", COIN), ("stocks", SHARE)):
        (folder / part).mkdir()
        sample = content["universes"][part]["source"]["folder"]
        header, *rows = (SAMPLE_FOLDER / sample / f"{symbol}.csv").read_text().splitlines()
        (folder / part / f"{symbol}.csv").write_text("\n".join([header, *[row for row in rows if row < UNTIL][-150:]]))
        content["universes"][part] |= {"source": {"kind": "csv", "folder": str(folder / part)}, "minimum_bars": 60}
    shared = {"cadence": "0 6 1 * *", "minimum_bars": 60}
    content["universes"]["both"] = {"source": {"kind": "combined", "universes": ["crypto", "stocks"]}, **shared}
    (config / "universes.yaml").write_text(yaml.safe_dump(content))
    project = Project(Settings(home=str(folder / "home"), config_dir=config, env="local"))
    universe = project.universe("both")
    retraining = project.retraining(universe, "r")
    ingest(project, retraining, universe, (SHARE, COIN), datetime.fromisoformat(f"{UNTIL}T00:00:00+00:00"))
    return project, universe, retraining


def test_each_symbol_follows_the_calendar_and_the_units_of_its_own_market(both: tuple[Project, Universe, Retraining]) -> None:
    project, universe, retraining = both
    made = {features.symbol: features for features in make_features(project, retraining, universe)}
    # A weekend is no hole in the bars of a share: by the coin's calendar a third of them would be missing.
    assert made[SHARE].health > 0.85
    assert make_panel(project, retraining, universe).symbols == (SHARE, COIN)
    panel, _ = panel_of(retraining)
    bars = {symbol: load_bars(retraining.store, snapshot_of(project, retraining, universe).bars_ref(symbol)) for symbol in made}
    in_units = (bars[SHARE]["volume"] * bars[SHARE]["close"]).tail(20).mean()
    assert panel.traded_value[-1].tolist() == pytest.approx([in_units, bars[COIN]["volume"].tail(20).mean()])


def test_a_share_has_not_ended_because_it_is_sunday(both: tuple[Project, Universe, Retraining]) -> None:
    project, universe, retraining = both
    make_features(project, retraining, universe)
    make_panel(project, retraining, universe)
    panel, _ = panel_of(retraining)
    assert panel.mask[-1].tolist() == [False, True]
    assert panel.ended.tolist() == [False, False]
    assert panel.tradable[:, 0].any()
    assert not np.array_equal(panel.tradable[:, 1], panel.mask[:, 1])
