"""MLflow tracking: one database, one experiment per universe, one run per line and retraining.

A plain `MlflowClient` is used throughout. MLflow's fluent interface keeps a global active run, and Dagster steps of
two universes in one process would write into each other's.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from toto_ops.storage.store import LIVE

if TYPE_CHECKING:
    from mlflow import MlflowClient

RETRAIN_ID_TAG = "toto.retrain_id"
LINE_TAG = "toto.line"
INPUTS_HASH_TAG = "toto.inputs_hash"

_SQLITE = "sqlite:///"
_PLAIN_IDENTIFIER = re.compile(r"[A-Za-z0-9_.:+-]{1,128}")


@dataclass(frozen=True)
class RunKey:
    """What identifies an MLflow run: asked for twice, the same run is found.

    `inputs_hash` is part of it because a retraining that is resumed after its configuration was corrected trains
    something else, and MLflow refuses to change a parameter once logged.
    """

    universe: str
    retrain_id: str
    line: str
    inputs_hash: str


@dataclass(frozen=True)
class RunRecord:
    """What is written to a run.

    Attributes
    ----------
    params
        Configuration, nested or flat; nested keys are joined with dots.
    metrics
        Final figures.
    tags
        Provenance: git revision, Dagster run, data hash.
    files
        Folder whose content is attached, if any.
    """

    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str] = field(default_factory=dict)
    files: Path | None = None


@dataclass(frozen=True)
class Tracking:
    """An MLflow server or database, seen from one namespace.

    Parameters
    ----------
    uri
        `sqlite:///<absolute path>`, another database, or an MLflow server.
    namespace
        Experiments of namespaces other than `live` carry its name and are never found from `live`.
    """

    uri: str
    namespace: str = LIVE

    @cached_property
    def client(self) -> MlflowClient:
        """A client on a database that is known to be of the present schema."""
        quieten_mlflow()
        prepare_database(self.uri)
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def name(self, plain: str) -> str:
        """`plain` in `live`, `<namespace>.<plain>` elsewhere."""
        return plain if self.namespace == LIVE else f"{self.namespace}.{plain}"

    def lock(self, purpose: str) -> FileLock:
        """A lock between processes of this machine, for one purpose on this database."""
        return FileLock(_lock_folder(self.uri) / f".{self.name(purpose)}.lock", timeout=120)

    def experiment_id(self, universe: str) -> str:
        """The experiment of a universe, created on first use."""
        name = self.name(f"toto-{universe}")
        with self.lock(f"experiment-{universe}"):
            found = self.client.get_experiment_by_name(name)
            if found is not None:
                return str(found.experiment_id)
            return str(self.client.create_experiment(name, artifact_location=_artifact_location(self.uri, name)))

    def run_id(self, key: RunKey) -> str:
        """The run of a line in a retraining, created on first use."""
        experiment = self.experiment_id(key.universe)
        tags = {RETRAIN_ID_TAG: key.retrain_id, LINE_TAG: key.line, INPUTS_HASH_TAG: key.inputs_hash}
        wanted = " and ".join(f"tags.`{name}` = '{_plain(value)}'" for name, value in tags.items())
        with self.lock(f"run-{key.universe}"):
            found = self.client.search_runs([experiment], filter_string=wanted, max_results=1)
            if found:
                return str(found[0].info.run_id)
            run = self.client.create_run(experiment, tags=tags, run_name=f"{key.line} {key.retrain_id[:8]}")
            return str(run.info.run_id)

    def record(self, key: RunKey, record: RunRecord) -> str:
        """Write parameters, metrics, tags and files of one finished training; returns the run id.

        Safe to repeat: a step that is retried finds its run and writes the same values again.
        """
        run_id = self.run_id(key)
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        self.client.log_batch(
            run_id,
            metrics=[Metric(name, float(value), now, 0) for name, value in record.metrics.items()],
            params=[Param(name, str(value)) for name, value in flatten(record.params).items()],
            tags=[RunTag(name, value) for name, value in record.tags.items()],
        )
        if record.files is not None:
            self.client.log_artifacts(run_id, str(record.files))
        self.client.set_terminated(run_id, "FINISHED")
        return run_id


def quieten_mlflow() -> None:
    """No usage statistics leave the machine, no pickle is ever loaded, and only warnings reach the terminal."""
    os.environ["MLFLOW_LOGGING_LEVEL"] = "WARNING"  # read when mlflow is imported; the loggers, when it was already
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # prints the stack trace of what it then raises
    logging.getLogger("alembic").setLevel(logging.WARNING)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"


def prepare_database(uri: str) -> None:
    """Create or migrate the tables once, one process at a time.

    MLflow does this lazily in every process that opens the database, and processes that open a fresh one together
    crash. A server does it for itself.
    """
    if uri.startswith(("http://", "https://")):
        return
    from mlflow.db import upgrade
    from mlflow.version import VERSION

    folder = _lock_folder(uri)
    prepared = folder / f".{_fingerprint(uri)}.prepared"
    if _is_prepared(uri, prepared, VERSION):  # asked without the lock first: a read-only disk can be served from
        return
    with FileLock(folder / f".{_fingerprint(uri)}.upgrade.lock", timeout=120):
        if _is_prepared(uri, prepared, VERSION):
            return
        path = _sqlite_path(uri)
        if path is None or path.exists():
            upgrade.main([uri], standalone_mode=False)
        else:
            _make_sqlite(path)
        prepared.write_text(VERSION)


def _make_sqlite(path: Path) -> None:
    """Make a database that appears when it is whole.

    MLflow makes one in some fifty steps; killed between two of them, it can neither be used nor be gone on with.
    """
    from mlflow.db import upgrade

    unfinished = path.with_name(f".{path.name}.unfinished")
    for left_over in path.parent.glob(f"{unfinished.name}*"):  # its journal too
        left_over.unlink()
    upgrade.main([f"{_SQLITE}{unfinished}"], standalone_mode=False)
    unfinished.replace(path)


def is_unmade(uri: str) -> bool:
    """Whether this is a SQLite database nobody has made yet: whoever only looks must not make it by looking."""
    path = _sqlite_path(uri)
    return path is not None and not path.exists()


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined with dots: MLflow parameters are flat.

    Examples
    --------
    >>> flatten({"seed": 1, "optimiser": {"rate": 0.1}})
    {'seed': 1, 'optimiser.rate': 0.1}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _plain(value: str) -> str:
    if not _PLAIN_IDENTIFIER.fullmatch(value):
        raise ValueError(f"{value!r} cannot be searched for in MLflow; use 1 to 128 of A-Z a-z 0-9 _ . : + -")
    return value


def _sqlite_path(uri: str) -> Path | None:
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def _lock_folder(uri: str) -> Path:
    """Beside a SQLite database; for any other, a temporary folder of this machine."""
    path = _sqlite_path(uri)
    folder = path.parent if path else Path(tempfile.gettempdir()) / f"toto-ops-mlflow-{_fingerprint(uri)}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _is_prepared(uri: str, prepared: Path, version: str) -> bool:
    return _database_exists(uri) and prepared.exists() and prepared.read_text() == version


def _database_exists(uri: str) -> bool:
    path = _sqlite_path(uri)
    # Whether a database server still holds its tables is only known by asking: `upgrade` is asked each time.
    return path is not None and path.exists()


def _artifact_location(uri: str, experiment: str) -> str | None:
    """Beside a SQLite database; a server knows its own."""
    path = _sqlite_path(uri)
    return str(path.parent / "mlartifacts" / experiment) if path else None


def _fingerprint(uri: str) -> str:
    return hashlib.sha256(uri.encode()).hexdigest()[:12]
