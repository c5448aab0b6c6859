"""Arguments that are empty or name the wrong kind of thing, as scripts give them by mistake."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from toto_ops.cli.app import app
from toto_ops.configuration import Settings
from toto_ops.errors import StorageError
from toto_ops.pipeline.lineage import write_page
from toto_ops.pipeline.project import Project


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("TOTO_HOME", str(home))
    return home


@pytest.mark.parametrize("names", ["", " , "])
def test_a_backfill_of_no_symbol_does_not_pass_for_nothing_new(home: Path, names: str) -> None:
    answer = CliRunner().invoke(app, ["backfill", "crypto", "--symbols", names])
    assert answer.exit_code == 1
    assert "names no symbol" in answer.stderr
    assert not home.exists()


def test_a_lineage_page_of_nothing_says_that_nothing_is_registered() -> None:
    answer = CliRunner().invoke(app, ["registry", "lineage", "crypto"])
    assert answer.exit_code == 1
    assert "no model is registered" in answer.stderr
    assert "lineage page could not be written" not in answer.stderr


def test_a_lineage_page_needs_the_name_of_a_file(home: Path, tmp_path: Path) -> None:
    project = Project(Settings(home=str(home), env="local"))
    with pytest.raises(StorageError, match=r"is a folder\. Remedy: name a file in it"):
        write_page(project, project.universe("crypto"), 1, tmp_path)
