"""What the registry calls incumbent is what answers, from files that are what was registered."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.registry.registry_samples import fallback_submission, submission
from toto_ops.errors import StorageError
from toto_ops.registry.models import ModelRegistry
from toto_ops.registry.onnx_export import random_observation
from toto_ops.registry.promotion import promote
from toto_ops.serving.session import open_incumbent


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    return ModelRegistry(f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}")


@pytest.fixture(scope="module")
def fallback(registry):
    return registry.register_fallback(fallback_submission("serve"))


def test_nothing_registered_is_said_plainly(registry):
    with pytest.raises(StorageError, match=r"no model is registered.*retrain empty"):
        open_incumbent(registry, "empty")


def test_the_fallback_answers_until_a_champion_does(registry, fallback):
    assert open_incumbent(registry, "serve").is_fallback
    challenger = registry.offer_challenger(submission("serve"))
    assert open_incumbent(registry, "serve").version.version == fallback.version
    promote(registry, "serve", challenger.version, by="ann@desk", why="a test")
    session = open_incumbent(registry, "serve")
    assert (session.version.version, session.is_fallback) == (challenger.version, False)
    observation = random_observation(accounts=3, symbols=3, seed=2)
    decision = session.decide(*(tensor.numpy() for tensor in observation.tensors().values()))
    expected = submission("serve").policy.act(observation)
    np.testing.assert_array_equal(decision.action, expected.action.numpy())
    np.testing.assert_allclose(decision.strength, expected.strength.numpy(), atol=1e-6)


def test_a_model_that_expects_other_observations_is_not_asked(registry, monkeypatch, fallback):
    old = fallback_submission("old")
    registry.register_fallback(replace(old, manifest=old.manifest.model_copy(update={"observation_schema": "state28/1"})))
    with pytest.raises(StorageError, match="expects observations 'state28/1', this release makes 'state34/1'"):
        open_incumbent(registry, "old")


def test_a_damaged_model_does_not_answer(registry):
    version = registry.register_fallback(fallback_submission("damaged"))
    path = Path(version.source) / "model.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(StorageError, match=r"model\.onnx .* is not what was registered"):
        open_incumbent(registry, "damaged")
