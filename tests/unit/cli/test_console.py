"""What a person or a program is told when a command cannot do its work."""

import json
import sqlite3
from pathlib import Path

import pytest
import typer

from toto_ops.cli.console import errors_shown
from toto_ops.errors import ConfigError


def test_an_error_is_one_message_or_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as exit_code, errors_shown():
        raise ConfigError("is odd", where="some.yaml", remedy="mend it")
    assert exit_code.value.exit_code == 1
    assert "ConfigError: some.yaml: is odd. Remedy: mend it" in capsys.readouterr().err

    with pytest.raises(typer.Exit), errors_shown(as_json=True):
        raise ConfigError("is odd", where="some.yaml", remedy="mend it")
    told = json.loads(capsys.readouterr().out)
    assert told == {"error": "ConfigError", "problem": "is odd", "where": "some.yaml", "remedy": "mend it"}


def test_a_home_that_cannot_be_written_to_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(typer.Exit), errors_shown(as_json=True):
        (tmp_path / "file" / "home").mkdir()
    told = json.loads(capsys.readouterr().out)
    assert told["where"] == str(tmp_path / "file" / "home")
    assert "TOTO_HOME" in told["remedy"]


def test_a_full_database_is_told_as_a_full_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = sqlite3.connect(tmp_path / "registry.db")
    database.execute("pragma max_page_count = 1")
    with pytest.raises(typer.Exit), errors_shown(as_json=True):
        database.execute("create table model (name text)")
    told = json.loads(capsys.readouterr().out)
    assert told["problem"] == "no space is left on the disk"
    assert "free some space" in told["remedy"]


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    with pytest.raises(KeyError), errors_shown():
        raise KeyError("a bug")
    with pytest.raises(BrokenPipeError), errors_shown():
        raise BrokenPipeError
