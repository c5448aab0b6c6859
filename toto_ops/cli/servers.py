"""`toto-ops dev | mlflow | tensorboard`: the user interfaces, on loopback, over what retraining left behind."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from toto_ops.cli.console import OUT, errors_shown
from toto_ops.configuration import PROJECT_ROOT, Settings

LOOPBACK = "127.0.0.1"

Port = Annotated[int, typer.Option(min=1, max=65535)]


def dev(port: Port = 3000) -> None:
    """Start the Dagster UI and daemon over the history of `toto-ops retrain`."""
    with errors_shown():
        from deploy.instance import prepare_for_ui

        prepare_for_ui(Settings())
        _become("dagster", "dev", "--host", LOOPBACK, "--port", str(port), "--workspace", str(PROJECT_ROOT / "workspace.yaml"))


def mlflow(port: Port = 5000) -> None:
    """Start the MLflow UI over the tracking database of this project."""
    with errors_shown():
        from toto_ops.registry.tracking import prepare_database

        settings = Settings()
        prepare_database(settings.tracking_uri)
        os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # seven worker processes that outlive the server
        _become("mlflow", "server", "--host", LOOPBACK, "--port", str(port), "--backend-store-uri", settings.tracking_uri)


def tensorboard(port: Port = 6006) -> None:
    """Start TensorBoard over the training curves."""
    with errors_shown():
        folder = Settings().local_root / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        _become("tensorboard", "--host", LOOPBACK, "--port", str(port), "--logdir", str(folder))


def _become(program: str, *arguments: str) -> NoReturn:
    """Replace this process by a program of the same environment, so that Ctrl-C reaches it alone."""
    executable = Path(sys.executable).with_name(program)
    OUT.print(f"[dim]{program} {' '.join(arguments)}[/]", highlight=False, soft_wrap=True)
    os.chdir(PROJECT_ROOT)
    os.execv(executable, [str(executable), *arguments])  # noqa: S606 - a fixed program of this environment, no shell
