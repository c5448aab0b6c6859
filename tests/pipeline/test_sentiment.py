"""Published sentiment through ingest: it reaches the features, its absence lowers health, a broken file quarantines."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from assets.run_tags import AS_OF_TAG
from tests.pipeline.conftest import Workbench
from tests.pipeline.planted import START, SYMBOLS, write_config, write_market
from toto_ops.errors import SourceError
from toto_ops.pipeline.feature_steps import panel_of
from toto_ops.pipeline.market_steps import snapshot_of
from toto_ops.pipeline.retraining_decision import assess

DAYS = 500


@pytest.fixture
def bench(workbench: Callable[..., Workbench], tmp_path: Path) -> Workbench:
    write_market(tmp_path / "bars", DAYS)
    folder = tmp_path / "sentiment"
    folder.mkdir()
    published = START + timedelta(days=400, hours=12)
    (folder / "ALPHA.csv").write_text(f"published_at,news_sentiment,macro_sentiment\n{published:%Y-%m-%dT%H:%M:%SZ},0.75,-0.5\n")
    source = {"kind": "csv", "folder": str(tmp_path / "bars"), "sentiment_folder": str(folder)}
    return workbench(write_config(tmp_path / "config", tmp_path / "bars", source=source))


def test_sentiment_is_known_from_the_first_close_after_it_was_published(bench: Workbench) -> None:
    result = bench.run("planted", "ingest", **{AS_OF_TAG: (START + timedelta(days=DAYS)).isoformat()})
    assert result.success
    panel, _ = panel_of(bench.project.retraining(bench.project.universe("planted"), result.run_id))
    features = pl.DataFrame(panel.features[:, panel.symbols.index("ALPHA")], schema=list(panel.feature_names))
    known = panel.close_time > (START + timedelta(days=400, hours=12)).replace(tzinfo=None)
    assert (features["news_sentiment"].to_numpy()[~known] == 0).all()
    first = features.filter(pl.Series(known)).row(0, named=True)
    assert (first["news_sentiment"], first["macro_sentiment"]) == (0.75, -0.5)
    health = panel.features[..., panel.feature_names.index("data_health")]
    assert health[known][5, panel.symbols.index("ALPHA")] > health[known][5, panel.symbols.index("BETA")]


def test_a_broken_sentiment_file_quarantines_its_symbol_alone(bench: Workbench, tmp_path: Path) -> None:
    (tmp_path / "sentiment" / "ALPHA.csv").write_text("published_at,news_sentiment,macro_sentiment\n2019-01-01T00:00:00Z,7,0\n")
    result = bench.run("planted", "ingest")
    assert result.success
    universe = bench.project.universe("planted")
    snapshot = snapshot_of(bench.project, bench.project.retraining(universe, result.run_id), universe)
    assert snapshot.symbols == tuple(sorted(set(SYMBOLS) - {"ALPHA"}))
    assert "ALPHA.csv" in snapshot.quarantined["ALPHA"][0]


def test_a_changed_sentiment_file_makes_the_universe_stale(bench: Workbench, tmp_path: Path) -> None:
    universe = bench.project.universe("planted")
    before = assess(bench.project, universe).fingerprint
    path = tmp_path / "sentiment" / "ALPHA.csv"
    path.write_text(path.read_text().replace("0.75", "0.25"))
    after = assess(bench.project, universe).fingerprint
    assert {name for name in after.sources if before.sources.get(name) != after.sources[name]} == {"ALPHA sentiment"}


def test_a_sentiment_folder_that_is_gone_is_an_error(bench: Workbench, tmp_path: Path) -> None:
    (tmp_path / "sentiment").rename(tmp_path / "elsewhere")
    with pytest.raises(SourceError, match="sentiment"):
        assess(bench.project, bench.project.universe("planted"))
