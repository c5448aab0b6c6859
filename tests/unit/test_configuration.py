"""Configuration: strict, layered, and errors that name file, key and remedy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, ValidationError, model_validator

from toto_ops.configuration import Settings, StrictModel, VersionedModel, in_words, overlay, parse_config, read_config, read_yaml
from toto_ops.errors import ConfigError


class Inner(StrictModel):
    rate: float = Field(ge=0)


class Outer(VersionedModel):
    inner: Inner


class Renamed(VersionedModel):
    """Version 1 called the moment `at`."""

    schema_version: int = 2
    moment: str

    @classmethod
    def upgraded(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        return {"moment": content["at"]}


class Holder(VersionedModel):
    held: tuple[Renamed, ...]


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


@pytest.mark.parametrize(
    "content", [{"at": "noon"}, {"schema_version": 1, "at": "noon"}, {"schema_version": 2, "moment": "noon"}]
)
def test_the_present_and_the_previous_version_are_read(content: dict[str, Any]) -> None:
    assert Renamed.stored(content) == Renamed(moment="noon")


def test_a_document_inside_another_is_brought_up_to_date_with_it() -> None:
    assert Holder.stored({"held": [{"schema_version": 1, "at": "noon"}]}) == Holder(held=(Renamed(moment="noon"),))
    assert Holder.model_validate_json('{"held": [{"schema_version": 1, "at": "noon"}]}').held[0].moment == "noon"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"schema_version": 3, "moment": "noon"}, "schema_version 3 cannot be read; this release reads 1 and 2"),
        ({"schema_version": 0, "at": "noon"}, "schema_version 0 cannot be read; this release reads 1 and 2"),
        ({"schema_version": 1}, "is of version 1, but not as that version was (KeyError('at'))"),
        ({"schema_version": 2}, "moment: Field required"),
    ],
)
def test_any_other_document_is_refused_in_words(content: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Renamed.stored(content)
    assert says in in_words(raised.value)


def test_an_absent_or_binary_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path / "absent.yaml")
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(path)


class Interval(StrictModel):
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> "Interval":
        if self.low > self.high:
            raise ValueError(f"low {self.low} lies above high {self.high}")
        return self


def test_keys_that_do_not_go_together_are_told_of_without_all_the_others() -> None:
    with pytest.raises(ConfigError, match=r"^command line: low 2.0 lies above high 1.0\. Remedy"):
        parse_config({"low": 2, "high": 1}, Interval, Path("command line"))


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


def test_links_lead_to_where_mlflow_is_reached() -> None:
    server = "https://mlflow.desk.example"
    assert Settings(home="/somewhere").mlflow_interface == "http://127.0.0.1:5000", "`make mlflow`"
    assert Settings(home="/somewhere", mlflow_tracking_uri=server).mlflow_interface == server
    inside = Settings(home="/somewhere", mlflow_tracking_uri="http://mlflow:5000", mlflow_ui_url=server)
    assert inside.mlflow_interface == server, "within a cluster it has another name than without"


@pytest.mark.parametrize(
    ("variable", "value"), [("TOTO_ENV", "staging"), ("TOTO_TORCH_THREADS", "0"), ("TOTO_MLFLOW_UI_URL", "desk:5000")]
)
def test_a_variable_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=f"environment: {variable}: .*Remedy"):
        Settings()


def test_an_empty_variable_is_an_absent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOTO_HOME", raising=False)
    default = Settings().home
    monkeypatch.setenv("TOTO_HOME", "")
    assert Settings().home == default
