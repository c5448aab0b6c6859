"""Fixtures of the registry tests: one MLflow database for all of them, one universe for each."""

import shutil
from pathlib import Path

import pytest

from toto_ops.registry import models
from toto_ops.registry.models import ModelRegistry


@pytest.fixture(scope="session")
def tracking_uri(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Where every sample policy is exported to once."""
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="module")
def registry(tracking_uri, exported):
    """A registry that exports each sample policy once: the export takes seconds and has tests of its own.

    Others' tests export policies of their own, so the shortcut ends with the module.
    """
    export = models.export_onnx

    def export_once(policy, manifest, path):
        kept = exported / f"{manifest.kind}-{policy.seed}.onnx"
        if not kept.exists():
            export(policy, manifest, kept)
        return Path(shutil.copy(kept, path))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "export_onnx", export_once)
        yield ModelRegistry(tracking_uri)


@pytest.fixture
def universe(request):
    """A universe name of the test's own, so that tests share a database but no model."""
    return request.node.name.split("[")[0].lower()[:32].rstrip("_")
