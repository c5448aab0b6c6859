"""Which universe a symbol is meant in: the only one that has it; where several do, whoever asks must say."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from toto_ops.configuration import PROJECT_ROOT, Settings
from toto_ops.errors import ConfigError, SymbolNameError
from toto_ops.market.snapshot import Snapshot, SnapshotEntry
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.symbol_lookup import universe_of
from toto_ops.serving.market_view import publish_market
from toto_ops.storage.store import ArtefactKey, ArtefactRef

BARS = "timestamp,open,high,low,close,volume\n2024-01-02,1,1,1,1,1\n"

FILES = {"east": ("AAA", "BOTH"), "west": ("BBB", "BOTH"), "north": ("CCC",)}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Universes of CSV files, two of which have `BOTH`, and `whole`, which is `west` and `north`."""
    shipped = yaml.safe_load((PROJECT_ROOT / "deploy" / "config" / "universes.yaml").read_text())["universes"]
    entries: dict[str, Any] = {}
    for name, symbols in FILES.items():
        (tmp_path / name).mkdir()
        for symbol in symbols:
            (tmp_path / name / f"{symbol}.csv").write_text(BARS)
        crypto = {key: value for key, value in shipped["crypto"].items() if key != "symbols"}
        entries[name] = {**crypto, "source": {"kind": "csv", "folder": str(tmp_path / name)}}
    together = {"kind": "combined", "universes": ["west", "north"]}
    entries["whole"] = {"source": together, "cadence": "0 7 1 * *", "periods_per_year": 365}
    config = tmp_path / "config"
    config.mkdir()
    (config / "universes.yaml").write_text(yaml.safe_dump({"schema_version": 1, "universes": entries}))
    return Project(Settings(home=str(tmp_path / "home"), env="local", config_dir=config))


def serve(project: Project, universe: str, *symbols: str, quarantined: tuple[str, ...] = ()) -> None:
    entries = [SnapshotEntry(symbol=one, status="included", bars="b", inputs_hash="i") for one in symbols]
    entries += [SnapshotEntry(symbol=one, status="quarantined", reasons=("odd",)) for one in quarantined]
    moment = datetime(2024, 3, 1, tzinfo=UTC)
    snapshot = Snapshot(universe=universe, retrain_id="r", as_of=moment, config_hash="c", entries=tuple(entries))
    publish_market(project.store, snapshot, ArtefactRef(ArtefactKey(universe, "panel"), "p", "i"))


class TestServed:
    def test_the_only_one_that_serves_a_symbol_has_it(self, project: Project) -> None:
        serve(project, "east", "AAA")
        assert universe_of(project, "aaa").name == "east"

    def test_a_quarantined_symbol_is_found_too(self, project: Project) -> None:
        serve(project, "east", "BOTH", quarantined=("AAA",))
        assert universe_of(project, "AAA").name == "east"

    def test_one_that_merely_could_serve_it_does_not_count(self, project: Project) -> None:
        serve(project, "east", "BOTH")
        assert universe_of(project, "BOTH").name == "east"

    def test_of_several_one_must_be_named(self, project: Project) -> None:
        serve(project, "east", "BOTH")
        serve(project, "west", "BOTH")
        with pytest.raises(SymbolNameError, match=r"BOTH is in east, west\b.*--universe"):
            universe_of(project, "BOTH")

    def test_a_combined_universe_gives_way_to_its_part(self, project: Project) -> None:
        serve(project, "whole", "BBB", "CCC")
        serve(project, "west", "BBB")
        assert universe_of(project, "BBB").name == "west"

    def test_a_combined_universe_answers_where_it_alone_serves(self, project: Project) -> None:
        serve(project, "whole", "CCC")
        assert universe_of(project, "CCC").name == "whole"


class TestNotServed:
    def test_the_only_one_that_has_a_file_is_meant(self, project: Project) -> None:
        assert universe_of(project, "AAA").name == "east"

    def test_a_combined_universe_gives_way_to_the_part_with_the_file(self, project: Project) -> None:
        assert universe_of(project, "CCC").name == "north"

    def test_of_several_one_must_be_named(self, project: Project) -> None:
        with pytest.raises(SymbolNameError, match="BOTH is in east, west"):
            universe_of(project, "BOTH")

    def test_nobody_has_it(self, project: Project) -> None:
        with pytest.raises(SymbolNameError, match="no universe has NOBODY"):
            universe_of(project, "NOBODY")

    def test_what_is_no_symbol_is_refused(self, project: Project) -> None:
        with pytest.raises(SymbolNameError, match="is not a symbol"):
            universe_of(project, "../AAA")


class TestNamed:
    @pytest.mark.parametrize("name", ["east", "west", "whole"])
    def test_it_is_taken_at_its_word(self, project: Project, name: str) -> None:
        serve(project, "east", "BOTH")
        assert universe_of(project, "BOTH", name).name == name

    def test_a_name_of_none_is_refused(self, project: Project) -> None:
        with pytest.raises(ConfigError, match="'south' does not exist"):
            universe_of(project, "BOTH", "south")
