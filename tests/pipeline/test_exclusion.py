"""Whatever route a retraining came by, it reads no bars while an earlier one of its universe is in progress."""

from collections.abc import Callable
from pathlib import Path

from assets.run_processes import launcher_identity
from tests.pipeline.conftest import Workbench
from tests.pipeline.planted import write_config, write_market
from tests.unit.assets.run_samples import DEAD_LAUNCHER, of_a_command_line


def test_the_second_is_refused_by_name_before_it_reads_anything_and_a_dead_one_stands_in_nobodys_way(
    workbench: Callable[..., Workbench], tmp_path: Path
) -> None:
    write_market(tmp_path / "bars", 500)
    bench = workbench(write_config(tmp_path / "config", tmp_path / "bars"))
    of_a_command_line(bench.instance, DEAD_LAUNCHER, "planted")
    assert bench.run("planted", "ingest").success

    earlier = of_a_command_line(bench.instance, launcher_identity(), "planted")
    refused = bench.run("planted", "ingest")
    (failure,) = refused.get_step_failure_events()
    assert failure.step_key == "planted__bars"
    assert f"run {earlier.run_id}" in str(failure.step_failure_data.error)
    assert "BusyError" in str(failure.step_failure_data.error)
    assert not (Path(bench.project.settings.home) / "live" / "planted" / "retrainings" / refused.run_id).exists()
