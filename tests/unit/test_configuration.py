"""Configuration: strict, layered, and errors that name file, key and remedy."""

from pathlib import Path

import pytest
from pydantic import Field

from toto_ops.configuration import Settings, StrictModel, VersionedModel, overlay, read_config, read_yaml
from toto_ops.errors import ConfigError


class Inner(StrictModel):
    rate: float = Field(ge=0)


class Outer(VersionedModel):
    inner: Inner


def written(folder: Path, text: str) -> Path:
    path = folder / "some.yaml"
    path.write_text(text)
    return path


def test_a_valid_file_is_read(tmp_path: Path) -> None:
    assert read_config(written(tmp_path, "inner: {rate: 0.5}"), Outer).inner.rate == 0.5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("inner: {rate: 0.5, speed: 3}", "`inner.speed` is unknown"),
        ("inner: {}", "`inner.rate` is missing"),
        ("inner: {rate: -1}", "`inner.rate`"),
        ("inner: {rate: 1}\nschema_version: 99", "schema_version 99 cannot be read"),
        ("inner: [", "is not valid YAML"),
        ("- a list", "must hold a mapping"),
        ("inner: {rate: 1}\ninner: {rate: 2}", "key `inner` is given twice"),
        ("inner: {rate: 1, rate: 1}", "key `rate` is given twice"),
        ("inner: {rate: .inf}", "`.inf` is not a finite number"),
    ],
)
def test_a_bad_file_names_file_key_and_remedy(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match="Remedy") as caught:
        read_config(path, Outer)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_absent_or_binary_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path / "absent.yaml")
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(path)


def test_every_fault_of_a_file_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(written(tmp_path, "inner: {rate: -1, speed: 3}\nother: 1"), Outer)
    assert all(key in str(caught.value) for key in ("inner.rate", "inner.speed", "other"))


def test_an_overlay_merges_mappings_and_replaces_the_rest() -> None:
    base = {"a": {"x": 1, "y": [1, 2]}, "b": 2}
    assert overlay(base, {"a": {"y": [3]}, "c": 4}) == {"a": {"x": 1, "y": [3]}, "b": 2, "c": 4}
    assert base == {"a": {"x": 1, "y": [1, 2]}, "b": 2}


def test_home_is_absolute_so_that_every_process_means_the_same_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOTO_HOME", "somewhere")
    settings = Settings()
    assert settings.home == str(tmp_path / "somewhere")
    assert settings.dagster_home == tmp_path / "somewhere" / "dagster"
    assert settings.tracking_uri == f"sqlite:///{tmp_path / 'somewhere' / 'mlflow.db'}"


def test_a_remote_home_keeps_its_scheme() -> None:
    assert Settings(home="s3://bucket/toto").home == "s3://bucket/toto"


@pytest.mark.parametrize(("variable", "value"), [("TOTO_ENV", "staging"), ("TOTO_TORCH_THREADS", "0")])
def test_a_variable_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=f"environment: {variable}: .*Remedy"):
        Settings()


def test_an_empty_variable_is_an_absent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOTO_HOME", raising=False)
    default = Settings().home
    monkeypatch.setenv("TOTO_HOME", "")
    assert Settings().home == default
