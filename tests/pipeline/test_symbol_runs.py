"""New symbols join the served market by runs of their own, which leave everything else as it was."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from assets.resources import TotoOps
from assets.run_tags import AS_OF_TAG
from tests.pipeline.conftest import Workbench
from tests.pipeline.planted import START, SYMBOLS, write_config, write_market
from toto_ops.pipeline.feature_steps import panel_of
from toto_ops.pipeline.market_steps import snapshot_of
from toto_ops.pipeline.new_symbols import find_new_symbols
from toto_ops.pipeline.retraining_decision import last_retraining
from toto_ops.serving.market_view import read_market
from toto_ops.storage.store import ArtefactKey

DAYS = 400
AS_OF = {AS_OF_TAG: (START + timedelta(days=DAYS)).isoformat()}
HEADER = 1


@pytest.fixture
def drawer(tmp_path: Path) -> Path:
    """Files of every planted symbol, from which a test takes what it puts into the source."""
    write_market(tmp_path / "drawer", DAYS)
    return tmp_path / "drawer"


@pytest.fixture
def bench(workbench: Callable[..., Workbench], tmp_path: Path, drawer: Path) -> Workbench:
    """Serves BETA, DELTA and GAMMA."""
    for symbol in sorted(set(SYMBOLS) - {"ALPHA"}):
        put(drawer, tmp_path / "bars", symbol)
    bench = workbench(write_config(tmp_path / "config", tmp_path / "bars"))
    assert bench.run("planted", "ingest", **AS_OF).success
    return bench


def put(drawer: Path, bars: Path, symbol: str, name: str = "", days: int = DAYS) -> None:
    bars.mkdir(exist_ok=True)
    lines = (drawer / f"{symbol}.csv").read_text().splitlines(keepends=True)
    (bars / f"{name or symbol}.csv").write_text("".join(lines[: HEADER + days]))


def add_new_symbols(bench: Workbench) -> list[dg.ExecuteInProcessResult]:
    """Do what the sensor asks for."""
    sensor = next(one for one in bench.definitions.sensors or () if one.name == "planted_new_symbols")
    assert isinstance(sensor, dg.SensorDefinition)
    settings = bench.project.settings
    toto = TotoOps(home=settings.home, config_dir=str(settings.config_dir), env="local")
    with dg.build_sensor_context(bench.instance, resources={"toto": toto}) as context:
        requests = sensor.evaluate_tick(context).run_requests or []
    job = bench.definitions.resolve_job_def("planted_add_symbols")
    return [job.execute_in_process(instance=bench.instance, tags=one.tags, raise_on_error=False) for one in requests]


def test_a_symbol_that_joined_alone_is_served_as_if_it_had_been_there_from_the_start(
    bench: Workbench, workbench: Callable[..., Workbench], tmp_path: Path, drawer: Path
) -> None:
    project, universe = bench.project, bench.project.universe("planted")
    before = read_market(project.store, "planted").snapshot
    put(drawer, tmp_path / "bars", "ALPHA")
    put(drawer, tmp_path / "bars", "ALPHA", name="ZETA")
    (run,) = add_new_symbols(bench)
    assert run.success

    served = read_market(project.store, "planted")
    assert served.snapshot.symbols == served.panel.symbols == ("ALPHA", "BETA", "DELTA", "GAMMA", "ZETA")
    assert served.snapshot.as_of == before.as_of
    assert all(served.snapshot.entry(entry.symbol) == entry for entry in before.entries)
    assert find_new_symbols(project, universe).to_add == ()

    # Nothing but the new symbols was materialised or checked, and no pointer of a retraining moved.
    materialised = {
        (event.asset_key.path[-1], event.partition) for event in run.get_asset_materialization_events() if event.asset_key
    }
    new = ("ALPHA", "ZETA")
    assert materialised == {(asset, one) for asset in ("bars", "features") for one in new} | {
        ("panel", None),
        ("served_market", None),
        ("served_embeddings", None),
    }
    assert {check.partition for check in run.get_asset_check_evaluations()} == {*new, None}
    assert last_retraining(project, universe) is None
    assert project.store.latest(ArtefactKey("planted", "bars", "ALPHA")) is None

    # A run over the whole universe in a home of its own makes the very same of the same files.
    whole = workbench(project.settings.config_dir, home=tmp_path / "another home")
    result = whole.run("planted", "ingest", **AS_OF)
    retraining = whole.project.retraining(universe, result.run_id)
    assert snapshot_of(whole.project, retraining, universe).data_hash == served.snapshot.data_hash
    own = bench.project.retraining(universe, run.run_id)
    assert panel_of(retraining)[1] == panel_of(own)[1]


def test_too_short_a_history_waits_holds_nobody_up_and_joins_when_it_is_long_enough(
    bench: Workbench, tmp_path: Path, drawer: Path
) -> None:
    universe = bench.project.universe("planted")
    names = [f"SHORT{number}" for number in range(4)]
    for name in names:
        put(drawer, tmp_path / "bars", "ALPHA", name, days=200)
    (run,) = add_new_symbols(bench)
    assert run.success, "four of seven cannot be used, and the three that are served are as healthy as before"
    checks = {check.partition: check.passed for check in run.get_asset_check_evaluations() if check.check_name == "quality"}
    assert checks == dict.fromkeys(names, False)

    waiting = find_new_symbols(bench.project, universe)
    assert waiting.to_add == ()
    assert all("only 200 bars" in waiting.waiting[name] for name in names)
    assert add_new_symbols(bench) == [], "the same bars are not tried again"

    put(drawer, tmp_path / "bars", "ALPHA", "SHORT1", days=299)
    assert add_new_symbols(bench) == [], "nor is what is still too short"
    put(drawer, tmp_path / "bars", "ALPHA", "SHORT1", days=300)
    put(drawer, tmp_path / "bars", "ALPHA", "SHORT3", days=300)
    runs = add_new_symbols(bench)
    assert [one.success for one in runs] == [True, True], "one run for each block of partitions"
    assert read_market(bench.project.store, "planted").snapshot.symbols == ("BETA", "DELTA", "GAMMA", "SHORT1", "SHORT3")


def test_a_run_over_some_symbols_needs_a_served_market(workbench: Callable[..., Workbench], tmp_path: Path, drawer: Path) -> None:
    for symbol in SYMBOLS:
        put(drawer, tmp_path / "bars", symbol)
    bench = workbench(write_config(tmp_path / "config", tmp_path / "bars"))
    result = bench.run("planted", "add_symbols")
    assert not result.success
    (failure,) = result.get_step_failure_events()
    assert "run `toto-ops retrain planted` first" in str(failure.step_failure_data.error)
