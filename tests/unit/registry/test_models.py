"""A registered version is the policy, its ONNX model, its evidence and the hash of each."""

import json
from dataclasses import replace
from pathlib import Path

import mlflow.onnx
import numpy as np
import pytest
import torch

from tests.unit.registry.registry_samples import LinearPolicy, evidence, fallback_submission, submission
from toto_ops.errors import PromotionError, StorageError
from toto_ops.registry.models import ModelRegistry
from toto_ops.registry.onnx_export import random_observation


@pytest.fixture(scope="module")
def offered(registry):
    return registry.offer_challenger(submission("offered"))


def test_a_challenger_is_a_version_of_its_line_and_of_what_serves(registry, offered):
    assert (offered.name, offered.version, offered.aliases) == ("toto-offered", 1, ("challenger",))
    (own,) = registry.versions("toto-offered-bc")
    assert own.aliases == ("challenger",)
    assert own.files == offered.files


def test_a_version_says_where_it_came_from(offered):
    assert (offered.line, offered.retrain_id, offered.inputs_hash, offered.data_hash) == ("bc", "retrain-1", "inputs-1", "data-1")
    assert offered.knows_until.isoformat() == "2024-03-21T00:00:00+00:00"
    assert offered.gates == "passed"
    assert offered.provenance["git.revision"] == "abc1234"
    assert float(offered.provenance["toto.onnx_max_abs_difference"]) < 1e-5
    assert set(offered.files) == {"model.onnx", "policy.safetensors", "policy.json", "evidence.json"}


def test_the_same_submission_is_registered_once(registry, offered):
    again = registry.offer_challenger(submission("offered"))
    assert again.version == offered.version
    assert len(registry.versions("toto-offered-bc")) == 1


def test_what_is_stored_decides_as_what_was_submitted(registry, offered):
    policy, manifest = registry.policy(offered)
    assert manifest.inputs_hash == "inputs-1"
    observation = random_observation(accounts=4, symbols=3, seed=11)
    torch.testing.assert_close(policy.act(observation).probabilities, LinearPolicy(1).act(observation).probabilities)


def test_mlflow_can_serve_it_by_its_signature(registry, offered):
    model = mlflow.onnx.load_model(str(registry.files(offered)))
    assert {value.name for value in model.graph.input} == {"market", "account", "mask"}
    signature = mlflow.models.Model.load(str(registry.files(offered))).signature
    assert [(spec.name, spec.type, spec.shape) for spec in signature.inputs.inputs] == [
        ("market", np.dtype("float32"), (-1, -1, 30)),
        ("account", np.dtype("float32"), (-1, -1, 4)),
        ("mask", np.dtype("bool"), (-1, -1)),
    ]


def test_evidence_about_another_policy_is_refused_before_anything_is_stored(registry, universe):
    honest = submission(universe)
    stolen = evidence(honest.manifest.model_copy(update={"inputs_hash": "inputs-9", "data_hash": "data-9"}), "retrain-1")
    with pytest.raises(PromotionError, match=r"inputs_hash is inputs-9 .* and inputs-1 .*data_hash is data-9"):
        registry.offer_challenger(replace(honest, evidence=stolen))
    assert registry.versions(f"toto-{universe}-bc") == ()


def test_a_challenger_needs_evidence(registry, universe):
    with pytest.raises(PromotionError, match="needs the evidence"):
        registry.offer_challenger(replace(submission(universe), evidence=None))


def test_the_fallback_needs_none_and_unchanged_analysts_make_no_new_version(registry, universe):
    first = registry.register_fallback(fallback_submission(universe))
    again = registry.register_fallback(replace(fallback_submission(universe), retrain_id="retrain-5"))
    assert first.gates == "not judged"
    assert first.knows_until is None
    assert (again.version, again.aliases) == (first.version, ("fallback",))


def test_the_fallback_on_other_data_is_another_version(registry, universe):
    first = fallback_submission(universe)
    registry.register_fallback(first)
    wider = first.manifest.model_copy(update={"data_hash": "data-2", "symbols": ("AAA", "BBB", "CCC", "DDD")})
    again = registry.register_fallback(replace(first, manifest=wider))
    assert (again.version, again.data_hash, again.aliases) == (2, "data-2", ("fallback",))
    assert registry.version(again.name, 1).aliases == ()


def test_namespaces_cannot_see_each_other(registry, offered):
    replay = ModelRegistry(registry.tracking_uri, "replay")
    assert replay.serving_name("offered") == "replay.toto-offered"
    assert replay.versions(replay.serving_name("offered")) == ()
    assert replay.aliases(replay.serving_name("offered")) == {}


def test_a_version_that_does_not_exist_is_named(registry, offered):
    with pytest.raises(StorageError, match="toto-offered: version 7 does not exist"):
        registry.version("toto-offered", 7)


def test_a_file_changed_after_registration_is_noticed(registry, offered):
    path = Path(offered.source) / "policy.json"
    original = path.read_text()
    try:
        path.write_text(json.dumps(json.loads(original) | {"seed": 99}))
        with pytest.raises(StorageError, match=r"policy\.json of toto-offered version 1 is not what was registered"):
            registry.files(offered)
        path.unlink()
        with pytest.raises(StorageError, match="is missing"):
            registry.files(offered)
    finally:
        path.write_text(original)


def test_a_version_whose_tag_somebody_removed_is_named(registry, universe):
    version = registry.offer_challenger(submission(universe))
    registry.tracking.client.delete_model_version_tag(version.name, str(version.version), "toto.data_hash")
    with pytest.raises(StorageError, match=rf"{version.name} version {version.version}: lacks a tag.*toto\.data_hash.*Remedy"):
        registry.version(version.name, version.version)
