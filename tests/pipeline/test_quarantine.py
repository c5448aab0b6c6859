"""Bad data through the whole pipeline: the symbol is quarantined, the others go on, what was stored stays as it was."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
import yaml

from assets.partitions import reconcile_partitions
from tests.pipeline.conftest import Workbench
from tests.pipeline.planted import SYMBOLS, write_config, write_market
from toto_ops.errors import SourceError
from toto_ops.market.bars import load_bars
from toto_ops.market.snapshot import Snapshot
from toto_ops.pipeline.market_steps import snapshot_of
from toto_ops.pipeline.retraining_decision import last_retraining
from toto_ops.storage.hashing import folder_hash
from toto_ops.storage.store import ArtefactKey


def snapshot_after(bench: Workbench, result: dg.ExecuteInProcessResult) -> Snapshot:
    universe = bench.project.universe("planted")
    return snapshot_of(bench.project, bench.project.retraining(universe, result.run_id), universe)


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    write_market(tmp_path / "bars", 500)
    return tmp_path / "bars"


def test_good_yesterday_bad_today(workbench: Callable[..., Workbench], tmp_path: Path, bars: Path) -> None:
    bench = workbench(write_config(tmp_path / "config", bars))
    first = bench.run("planted", "ingest")
    assert first.success
    good = snapshot_after(bench, first)
    assert good.symbols == tuple(sorted(SYMBOLS))
    stored = Path(bench.project.settings.home) / "live" / "planted" / "bars" / "ALPHA"
    before = folder_hash(stored)

    text = (bars / "ALPHA.csv").read_text().splitlines()
    (bars / "ALPHA.csv").write_text("\n".join([*text[:-1], text[-1].replace(text[-1].split(",")[3], "-5")]))
    second = bench.run("planted", "ingest")

    assert second.success
    today = snapshot_after(bench, second)
    assert today.symbols == tuple(sorted(set(SYMBOLS) - {"ALPHA"}))
    assert "ALPHA" in today.quarantined
    assert folder_hash(stored) == before
    assert load_bars(bench.project.store, good.bars_ref("ALPHA")).height == 500
    assert bench.project.store.latest(ArtefactKey("planted", "bars", "ALPHA")) is None  # ingest alone settles nothing

    checks = {check.partition: check.passed for check in second.get_asset_check_evaluations() if check.check_name == "quality"}
    assert checks == {symbol: symbol != "ALPHA" for symbol in SYMBOLS}
    latest = bench.instance.get_latest_materialization_event(dg.AssetKey(["planted", "served_market"]))
    assert latest is not None


def test_too_few_healthy_symbols_stop_everything_downstream(
    workbench: Callable[..., Workbench], tmp_path: Path, bars: Path
) -> None:
    for symbol in SYMBOLS[:2]:
        (bars / f"{symbol}.csv").write_bytes(b"\x00\xff\x13binary garbage")
    bench = workbench(write_config(tmp_path / "config", bars))
    result = bench.run("planted", "ingest")
    assert not result.success
    coverage = next(check for check in result.get_asset_check_evaluations() if check.check_name == "coverage")
    assert not coverage.passed
    assert "50%" in (coverage.description or "")
    assert result.get_step_failure_events()
    made = {event.asset_key.path[-1] for event in result.get_asset_materialization_events() if event.asset_key}
    assert made == {"bars"}


def test_a_source_that_is_gone_fails_the_run_and_is_never_an_empty_universe(
    workbench: Callable[..., Workbench], tmp_path: Path, bars: Path
) -> None:
    bench = workbench(write_config(tmp_path / "config", bars))
    assert bench.run("planted", "ingest").success
    known = bench.instance.get_dynamic_partitions("planted_symbols")
    bars.rename(tmp_path / "elsewhere")
    with pytest.raises(SourceError, match="Remedy"):
        bench.run("planted", "ingest")
    assert bench.instance.get_dynamic_partitions("planted_symbols") == known


def test_a_run_over_some_symbols_is_no_retraining(workbench: Callable[..., Workbench], tmp_path: Path, bars: Path) -> None:
    bench = workbench(write_config(tmp_path / "config", bars))
    universe = bench.project.universe("planted")
    reconcile_partitions(bench.instance, universe, SYMBOLS)
    job = bench.definitions.resolve_job_def("planted_ingest")
    result = job.execute_in_process(instance=bench.instance, partition_key="ALPHA", raise_on_error=False)
    assert not result.success
    coverage = next(check for check in result.get_asset_check_evaluations() if check.check_name == "coverage")
    assert "left out BETA, DELTA, GAMMA" in (coverage.description or "")
    assert last_retraining(bench.project, universe) is None


def test_a_file_that_is_gone_is_missed_until_its_symbol_is_removed(
    workbench: Callable[..., Workbench], tmp_path: Path, bars: Path
) -> None:
    bench = workbench(write_config(tmp_path / "config", bars))
    assert bench.run("planted", "ingest").success
    (bars / "BETA.csv").unlink()
    result = bench.run("planted", "ingest")
    assert result.success
    snapshot = snapshot_after(bench, result)
    assert snapshot.symbols == ("ALPHA", "DELTA", "GAMMA")
    assert "there is no file for BETA" in snapshot.quarantined["BETA"][0]

    bench.instance.delete_dynamic_partition("planted_symbols", "BETA")
    result = bench.run("planted", "ingest")
    assert result.success
    assert snapshot_after(bench, result).quarantined == {}


def test_a_symbol_taken_off_the_list_takes_no_part_although_its_partition_stays(
    workbench: Callable[..., Workbench], tmp_path: Path, bars: Path
) -> None:
    bench = workbench(write_config(tmp_path / "config", bars))
    assert bench.run("planted", "ingest").success
    listed = write_config(tmp_path / "listed", bars)
    content = yaml.safe_load((listed / "universes.yaml").read_text())
    content["universes"]["planted"]["symbols"] = ["ALPHA", "DELTA", "GAMMA"]
    (listed / "universes.yaml").write_text(yaml.safe_dump(content))
    shorter = workbench(listed, home=Path(bench.project.settings.home))
    reconcile_partitions(shorter.instance, bench.project.universe("planted"), SYMBOLS)
    result = shorter.run("planted", "ingest")
    assert result.success
    snapshot = snapshot_after(shorter, result)
    assert (snapshot.symbols, snapshot.quarantined) == (("ALPHA", "DELTA", "GAMMA"), {})
