"""The command line and the UI share one instance, and opening the UI puts the dead to rest."""

from pathlib import Path

import dagster as dg
import pytest
import yaml

from assets.run_processes import LAUNCHER_VARIABLE
from deploy.instance import prepare_for_ui, prepare_instance
from tests.unit.assets.run_samples import DEAD_LAUNCHER, of_a_command_line, status_now
from toto_ops.configuration import PROJECT_ROOT, Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("DAGSTER_HOME", "TOTO_HOME", "TOTO_ENV", "TOTO_CONFIG_DIR", "OMP_NUM_THREADS", LAUNCHER_VARIABLE):
        monkeypatch.setenv(name, "to be replaced")
    folder = tmp_path / "config"
    folder.mkdir()
    content = yaml.safe_load((PROJECT_ROOT / "deploy" / "config" / "universes.yaml").read_text())
    lost = {**content["universes"]["crypto"], "source": {"kind": "csv", "folder": str(tmp_path / "nowhere")}}
    content["universes"] = {"lost": lost, "stocks": content["universes"]["stocks"]}
    (folder / "universes.yaml").write_text(yaml.safe_dump(content))
    return Settings(home=str(tmp_path / "home"), env="local", config_dir=folder)


def test_the_instance_is_configured_from_the_project(settings: Settings) -> None:
    instance = prepare_instance(settings)
    assert (settings.dagster_home / "dagster.yaml").exists()
    assert instance.global_op_concurrency_default_limit == 1
    assert instance.run_monitoring_enabled


def test_whoever_reads_the_configuration_meanwhile_sees_all_of_it(settings: Settings) -> None:
    prepare_instance(settings)
    stored = settings.dagster_home / "dagster.yaml"
    stored.write_text("of an earlier release")
    with stored.open() as reader:
        prepare_instance(settings)
        assert reader.read() == "of an earlier release"
    assert stored.read_text() == (PROJECT_ROOT / "deploy" / "dagster.yaml").read_text()


def test_the_ui_opens_on_settled_runs_and_every_symbol_that_can_be_listed(settings: Settings) -> None:
    instance = prepare_instance(settings)
    dead = of_a_command_line(instance, DEAD_LAUNCHER, "stocks")
    instance.add_dynamic_partitions("lost_symbols", ["OLD"])

    prepare_for_ui(settings)

    assert status_now(instance, dead).status == dg.DagsterRunStatus.FAILURE
    stocks = {path.stem for path in (PROJECT_ROOT / "toto_ops" / "market" / "sample" / "daily_stocks").glob("*.csv")}
    assert set(instance.get_dynamic_partitions("stocks_symbols")) >= stocks
    assert instance.get_dynamic_partitions("lost_symbols") == ["OLD"], "a source that cannot be read empties nothing"
