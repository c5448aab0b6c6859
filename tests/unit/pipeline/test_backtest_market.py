"""The bars of a backtest: what is served, or a folder of raw files that is processed once and touches nothing else."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.unit.pipeline.backtest_samples import Sample, make_sample
from toto_ops.errors import ConfigError, InsufficientDataError, SourceError, StorageError
from toto_ops.pipeline import backtest_market
from toto_ops.pipeline.backtest_market import BacktestMarket, market_of, reading_from
from toto_ops.pipeline.backtest_request import BacktestRequest
from toto_ops.universes import Membership


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample(tmp_path_factory.mktemp("served"))


@pytest.fixture
def sample(served: Sample, tmp_path: Path) -> Sample:
    """The sample in a folder of the test's own."""
    return served.copy(tmp_path)


def processing(sample: Sample, **asked: object) -> BacktestRequest:
    return sample.request(process_data=True, raw_data_dir=sample.raw, processed_data_dir=sample.processed, **asked)


def market(sample: Sample, request: BacktestRequest) -> BacktestMarket:
    return market_of(sample.project, sample.universe, request)


def test_by_default_it_is_what_is_served(served: Sample) -> None:
    found = market(served, served.request())
    assert found.view.snapshot.symbols == ("ALPHA", "BETA", "DELTA", "GAMMA")
    assert found.origin.startswith("the served market as of 2020-01-31")
    assert not found.left_out


def test_raw_files_become_the_same_market_as_a_retraining_makes_of_them(sample: Sample) -> None:
    ours = market(sample, processing(sample))
    theirs = market(sample, sample.request())
    assert ours.view.snapshot.data_hash == theirs.view.snapshot.data_hash
    np.testing.assert_array_equal(ours.view.panel.features, theirs.view.panel.features)
    assert ours.splits == theirs.splits


def test_what_is_served_is_not_touched(sample: Sample) -> None:
    def content() -> dict[str, bytes]:
        home = sample.folder / "home"
        return {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file()}

    before = content()
    market(sample, processing(sample))
    assert content() == before


def test_the_same_files_are_processed_once_and_changed_ones_anew(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    first = market(sample, processing(sample))
    with monkeypatch.context() as once:
        for step in ("ingest", "make_features", "make_panel"):
            once.setattr(backtest_market, step, lambda *_: pytest.fail("processed again"))
        again = market(sample, processing(sample))
    assert again.view.snapshot == first.view.snapshot
    (sample.raw / "BETA.csv").unlink()
    assert market(sample, processing(sample)).view.panel.symbols == ("ALPHA", "DELTA", "GAMMA")


def test_what_was_processed_before_can_be_read_without_the_raw_files(sample: Sample) -> None:
    with pytest.raises(
        StorageError, match=r"processed: no bars of planted were processed into this folder.* leave processed_data_dir out"
    ):
        market(sample, sample.request(processed_data_dir=sample.processed))
    first = market(sample, processing(sample))
    shutil.rmtree(sample.raw)
    again = market(sample, sample.request(processed_data_dir=sample.processed))
    assert again.view.snapshot == first.view.snapshot


def test_a_broken_symbol_is_left_out_with_its_reason_and_the_others_go_on(sample: Sample) -> None:
    lines = (sample.raw / "BETA.csv").read_text().splitlines()
    (sample.raw / "BETA.csv").write_text("\n".join([*lines, lines[-1]]))
    for name in ("GAMMA", "DELTA"):
        (sample.raw / f"{name}.csv").write_text("\n".join(lines[:50]))
    (sample.raw / "bad name.csv").write_text(lines[0])
    found = market(sample, processing(sample))
    assert found.view.panel.symbols == ("ALPHA",), "a backtest does not need the coverage that a retraining needs"
    assert set(found.left_out) == {"BETA", "GAMMA", "DELTA", "bad name.csv"}
    assert "only 49 bars" in found.left_out["GAMMA"]
    assert "is not a symbol" in found.left_out["bad name.csv"]


def test_without_a_single_usable_symbol_it_is_refused_with_every_reason(sample: Sample) -> None:
    for path in sample.raw.iterdir():
        path.write_text("\n".join(path.read_text().splitlines()[:50]))
    with pytest.raises(InsufficientDataError, match=r"not one symbol can be used.*ALPHA: .*only 49 bars"):
        market(sample, processing(sample))


def test_a_folder_that_is_not_there_is_no_empty_market(sample: Sample) -> None:
    request = sample.request(process_data=True, raw_data_dir=sample.folder / "nowhere", processed_data_dir=sample.processed)
    with pytest.raises(SourceError, match="cannot be listed"):
        market(sample, request)


def test_a_file_is_no_folder_for_processed_data(sample: Sample) -> None:
    sample.processed.write_text("")
    with pytest.raises(ConfigError, match="processed: is not a folder"):
        market(sample, processing(sample))


def test_symbols_of_the_folder_take_part_and_listed_ones_between_their_dates(served: Sample) -> None:
    member = Membership.model_validate({"from": "2019-01-01"})
    listed = served.universe.model_copy(update={"symbols": {"ALPHA": member, "GONE": Membership()}})
    read = reading_from(listed, served.raw)
    assert read.symbols == {"ALPHA": member, "BETA": Membership(), "DELTA": Membership(), "GAMMA": Membership()}


def test_a_combined_universe_reads_a_folder_for_each_of_its_parts(served: Sample, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(served.raw, tmp_path / name)
    parts = {name: served.universe.model_copy(update={"name": name}) for name in ("one", "two")}
    both = served.universe.model_copy(update={"parts": parts})
    read = reading_from(both, tmp_path)
    assert {name: part.source.folder for name, part in read.parts.items()} == {  # type: ignore[union-attr]
        "one": tmp_path / "one",
        "two": tmp_path / "two",
    }
    shutil.rmtree(tmp_path / "two")
    with pytest.raises(SourceError, match=r"has no subfolder two. Remedy: planted is combined: .*per part, one/, two/"):
        reading_from(both, tmp_path)
