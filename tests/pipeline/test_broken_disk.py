"""Real disks that refuse: one clear message, exit code 1, everything stored as it was; with space again, all goes on."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.first_release import PROMOTED, UNIVERSE, unpack
from tests.pipeline.planted import write_market
from tests.unit.storage.broken_disks import visible
from toto_ops.configuration import PROJECT_ROOT
from toto_ops.pipeline.project import Project
from toto_ops.registry.events import events

pytestmark = pytest.mark.subprocess
DAYS = 1_700
"""A hundred days more than the newest retraining of the store knows."""

NOTHING_NEW = 16_384
"""Bytes a file may have. SQLite meets it as soon as it writes to a page of a database that is there."""

NO_PANEL = 800_000
"""Bytes a file may have: the panel of 1,700 days has more."""

PROGRAM = "from toto_ops.cli import app; app()"
LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); " + PROGRAM


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A store of two retrainings, opened once, with new bars waiting."""
    project = unpack(tmp_path)
    write_market(tmp_path / "bars", DAYS)
    assert events(project.registry, UNIVERSE)
    return project


def run(
    project: Project, *arguments: str, program: str = PROGRAM, within: tuple[str, ...] = ()
) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {
        "TOTO_HOME": project.settings.home,
        "TOTO_CONFIG_DIR": str(project.settings.config_dir),
        "PYTHONPATH": str(PROJECT_ROOT),
    }
    command = [*within, sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=600)


def told(done: "subprocess.CompletedProcess[str]") -> str:
    """The one message of a command that could not do its work."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_a_retraining_without_space_changes_nothing_and_the_next_one_completes(project: Project) -> None:
    live = Path(project.settings.home) / "live"
    before = visible(live)
    arguments = ("retrain", UNIVERSE, "--as-of", "2022-08-28T00:00:00")
    assert "no space is left on the disk" in told(run(project, *arguments, program=LIMITED.format(limit=NO_PANEL)))
    assert before.items() <= visible(live).items()
    assert project.registry.aliases(f"toto-{UNIVERSE}")["champion"] == PROMOTED

    (report,) = json.loads(run(project, *arguments, "--json").stdout)
    assert report["status"] == "retrained"


def test_a_registry_without_space_serves_what_it_served(project: Project) -> None:
    before = project.registry.aliases(f"toto-{UNIVERSE}"), events(project.registry, UNIVERSE)
    rollback = ("registry", "rollback", UNIVERSE, "--why", "to see what a full disk does")
    assert "no space is left on the disk" in told(run(project, *rollback, program=LIMITED.format(limit=NOTHING_NEW)))
    assert before == (project.registry.aliases(f"toto-{UNIVERSE}"), events(project.registry, UNIVERSE))

    assert run(project, *rollback).returncode == 0
    assert "champion" not in project.registry.aliases(f"toto-{UNIVERSE}")


def test_a_read_only_store_is_served_from_and_refuses_everything_else(project: Project) -> None:
    home = project.settings.home
    read_only = ("unshare", "--map-root-user", "--mount", "sh", "-c")
    mounted = f'mount --bind "{home}" "{home}" && mount -o remount,ro,bind "{home}" && exec "$@"'
    if (
        shutil.which("unshare") is None
        or subprocess.run([*read_only, mounted, "sh", "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("this kernel lets no test mount a read-only disk")
    within = (*read_only, mounted, "sh")
    answer = run(project, "predict", "--symbol", "ALPHA", "--at", "2022-05-20T12:00:00", "--json", within=within)
    assert json.loads(answer.stdout)["version"] == PROMOTED, answer.stderr
    for command in (("retrain", UNIVERSE), ("registry", "rollback", UNIVERSE, "--why", "it is a test"), ("admin", "migrate")):
        assert "the file system is read-only" in told(run(project, *command, within=within))
