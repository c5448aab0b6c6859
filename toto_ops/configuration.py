"""Typed configuration: environment settings, strict YAML models and their overlays.

Every YAML file is read into a pydantic model that refuses unknown keys. An error names the file, the key and
the remedy, because configuration is edited by people at bad moments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from upath import UPath

from toto_ops.errors import ConfigError

PROJECT_ROOT = Path(__file__).resolve().parents[1]


class StrictModel(BaseModel):
    """Immutable model that refuses unknown keys: a misspelt setting must not be ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class VersionedModel(StrictModel):
    """Top level of a configuration file or a stored document.

    A document of another layout is a new version: the subclass then says `schema_version: int = 2` and how one of
    version 1 becomes one of version 2, in `upgraded`. Documents of the present and of the previous version can be
    read; a document without a version is of the first.
    """

    schema_version: int = 1

    @classmethod
    def present_version(cls) -> int:
        """The version this release writes."""
        return int(cls.model_fields["schema_version"].default)

    @classmethod
    def readable_versions(cls) -> tuple[int, ...]:
        """The versions this release reads, in order: the previous one and the present."""
        present = cls.present_version()
        return (present - 1, present) if present > 1 else (present,)

    @classmethod
    def stored(cls, content: Mapping[str, Any]) -> Self:
        """Read a document as it is stored, of the present or of the previous version.

        Raises
        ------
        ValidationError
            If it is of any other version, which is named beside the readable ones, or does not fit the model.
        """
        return cls.model_validate({"schema_version": 1, **content})

    @classmethod
    def upgraded(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """A document of the previous version in the layout of the present one."""
        return dict(content)

    @model_validator(mode="before")
    @classmethod
    def _brought_up_to_date(cls, content: Any) -> Any:
        """Upgrade what is of an earlier version, wherever it stands: documents hold others."""
        present = cls.present_version()
        version = content.get("schema_version") if isinstance(content, Mapping) else None
        if version == present or version not in cls.readable_versions():
            return content
        try:
            return {**cls.upgraded(content), "schema_version": present}
        except (LookupError, TypeError) as error:
            raise ValueError(f"is of version {version}, but not as that version was ({error!r})") from error

    @field_validator("schema_version")
    @classmethod
    def _readable(cls, version: int) -> int:
        if version != cls.present_version():
            *earlier, present = map(str, cls.readable_versions())
            readable = f"{', '.join(earlier)} and {present}" if earlier else present
            raise ValueError(f"schema_version {version} cannot be read; this release reads {readable}")
        return version


def in_words(error: ValidationError) -> str:
    """What does not fit a stored document, key by key, in one line."""
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}".removeprefix(": ") for fault in error.errors())


class Settings(BaseSettings):
    """Where things are, from the environment alone. `TOTO_HOME` may be a local path or `s3://...`."""

    model_config = SettingsConfigDict(env_prefix="TOTO_", env_ignore_empty=True, frozen=True)

    home: str = Field(default=str(PROJECT_ROOT / ".toto"), description="root of everything stored")
    env: Literal["local", "prod", "test"] = Field(default="local", description="which overlay of deploy/config/env applies")
    config_dir: Path = Field(default=PROJECT_ROOT / "deploy" / "config")
    mlflow_tracking_uri: str | None = Field(default=None, description="MLflow server; default SQLite under home")
    mlflow_ui_url: str | None = Field(
        default=None,
        pattern="^https?://",
        description="MLflow as people's browsers reach it; default the tracking server, else where `make mlflow` is",
    )
    torch_threads: int = Field(default=1, ge=1, description="torch threads per step; times concurrency <= cores")

    def __init__(self, **given: Any) -> None:
        """Read the environment; what is given wins.

        Raises
        ------
        ConfigError
            Naming each variable that does not fit.
        """
        try:
            super().__init__(**given)
        except ValidationError as error:
            faults = "; ".join(f"TOTO_{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors())
            raise ConfigError(faults, where="environment", remedy="correct these variables; see docs/configuration.md") from error

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: str) -> str:
        return home if "://" in home else str(Path(home).expanduser().resolve())

    @cached_property
    def root(self) -> UPath:
        return UPath(self.home)

    @property
    def local_root(self) -> Path:
        """Local folder for what must be local: the Dagster instance, locks, the default MLflow database."""
        return Path(self.home) if "://" not in self.home else PROJECT_ROOT / ".toto"

    @property
    def dagster_home(self) -> Path:
        return self.local_root / "dagster"

    @property
    def lock_folder(self) -> Path:
        return self.local_root / "locks"

    @property
    def tracking_uri(self) -> str:
        return self.mlflow_tracking_uri or f"sqlite:///{self.local_root / 'mlflow.db'}"

    @property
    def mlflow_interface(self) -> str:
        """Address of the MLflow interface, for links."""
        server = self.tracking_uri if self.tracking_uri.startswith(("http://", "https://")) else "http://127.0.0.1:5000"
        return self.mlflow_ui_url or server


Model = TypeVar("Model", bound=BaseModel)


class _ConfigLoader(yaml.SafeLoader):
    """Refuses what YAML lets pass and no configuration means.

    A key given twice (YAML keeps the last one and drops the first without a word), and numbers that are not finite.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(problem=f"key `{key.value}` is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        number = float(super().construct_yaml_float(node))
        if not math.isfinite(number):
            raise yaml.constructor.ConstructorError(
                problem=f"`{node.value}` is not a finite number", problem_mark=node.start_mark
            )
        return number


_ConfigLoader.add_constructor("tag:yaml.org,2002:float", _ConfigLoader.construct_yaml_float)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping; an absent, unparsable or non-mapping file is a `ConfigError` that names it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot be read ({error})",
            where=str(path),
            remedy="give a file that is there; TOTO_CONFIG_DIR is the folder of the project's own",
        ) from error
    try:
        content = yaml.load(text, _ConfigLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"is not valid YAML ({error})", where=str(path), remedy="mend the marked line") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError("must hold a mapping of keys to values", where=str(path), remedy="start from the bundled file")
    return content


def overlay(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merge `over` into `base`, key by key and recursively; lists and scalars replace."""
    merged = dict(base)
    for key, value in over.items():
        both_mappings = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = overlay(merged[key], value) if both_mappings else value
    return merged


def parse_config(content: dict[str, Any], model: type[Model], path: Path) -> Model:
    """Validate a mapping against `model`; the `ConfigError` lists every offending key of the file."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(_describe(fault) for fault in error.errors())
        raise ConfigError(faults, where=str(path), remedy="correct the named keys; see docs/configuration.md") from error


def read_config(path: Path, model: type[Model]) -> Model:
    """Read and validate one YAML file."""
    return parse_config(read_yaml(path), model, path)


def _describe(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    key = place or "(top level)"
    if fault["type"] == "extra_forbidden":
        return f"key `{key}` is unknown"
    if fault["type"] == "missing":
        return f"key `{key}` is missing"
    if fault["type"] == "value_error" and isinstance(fault["input"], Mapping):
        # The fault is in how several keys go together, and the message names them: everything else would only hide it.
        return f"key `{place}`: {fault['ctx']['error']}" if place else str(fault["ctx"]["error"])
    return f"key `{key}`: {fault['msg'].removeprefix('Value error, ')} (got {fault['input']!r:.80})"
