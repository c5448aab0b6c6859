"""What is done to the store as a whole is done while nothing runs."""

from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from assets.run_processes import launcher_identity
from deploy import maintenance
from deploy.maintenance import nothing_running
from deploy.universe_lock import universe_lock
from tests.fixtures.first_release import UNIVERSE, unpack
from tests.unit.assets.run_samples import DEAD_LAUNCHER, of_a_command_line, status_now
from toto_ops.cli import app
from toto_ops.errors import BusyError
from toto_ops.pipeline.migration import survey
from toto_ops.pipeline.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return unpack(tmp_path)


@pytest.fixture
def instance(project: Project, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    """The instance of a project in which something ran before."""
    project.settings.dagster_home.mkdir()
    instance = dg.DagsterInstance.ephemeral()
    monkeypatch.setattr(maintenance, "prepare_instance", lambda _settings: instance)
    return instance


def test_a_run_in_progress_is_named(project: Project, instance: dg.DagsterInstance) -> None:
    run = of_a_command_line(instance, launcher_identity(), UNIVERSE)
    with pytest.raises(BusyError, match=run.run_id), nothing_running(project):
        pytest.fail("went on beside a run")


def test_a_run_whose_process_died_is_put_to_rest_first(project: Project, instance: dg.DagsterInstance) -> None:
    run = of_a_command_line(instance, DEAD_LAUNCHER, UNIVERSE)
    with nothing_running(project):
        assert status_now(instance, run).status is dg.DagsterRunStatus.FAILURE


def test_nothing_can_be_launched_meanwhile(project: Project) -> None:
    universe = project.universe(UNIVERSE)
    with nothing_running(project), pytest.raises(BusyError), universe_lock(project.settings, universe):
        pytest.fail("took a lock that is held")
    with universe_lock(project.settings, universe):
        pass


def test_the_command_refuses_beside_a_command_line_and_migrates_after_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOTO_HOME", project.settings.home)
    monkeypatch.setenv("TOTO_CONFIG_DIR", str(project.settings.config_dir))
    with universe_lock(project.settings, project.universe(UNIVERSE)):
        refused = CliRunner().invoke(app, ["admin", "migrate", "--json"])
        looked = CliRunner().invoke(app, ["admin", "migrate", "--dry-run", "--json"])
    assert (refused.exit_code, '"BusyError"' in refused.stdout) == (1, True)
    assert (looked.exit_code, '"migrated": 0' in looked.stdout) == (0, True)
    assert survey(project).outdated == 10

    done = CliRunner().invoke(app, ["admin", "migrate"])
    assert (done.exit_code, "10 documents were rewritten" in done.stdout) == (0, True)
    again = CliRunner().invoke(app, ["admin", "migrate"])
    assert (again.exit_code, "everything is of the present version" in again.stdout) == (0, True)
