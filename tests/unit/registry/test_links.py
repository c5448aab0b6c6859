"""Addresses in the MLflow interface: whatever is in a name, it stays one part of the address."""

from toto_ops.registry.links import MlflowInterface, artifact_route, run_route, version_route


def test_routes_are_those_the_interface_answers():
    assert run_route("1", "abc") == "#/experiments/1/runs/abc"
    assert artifact_route("1", "abc", "version-2/lineage.html") == "#/experiments/1/runs/abc/artifacts/version-2/lineage.html"
    assert version_route("toto-crypto", 2) == "#/models/toto-crypto/versions/2"


def test_names_cannot_break_out_of_their_place():
    assert version_route("replay.toto a/b", 2) == "#/models/replay.toto%20a%2Fb/versions/2"


def test_the_interface_may_lie_below_a_path():
    for base in ("https://desk.example/mlflow", "https://desk.example/mlflow/"):
        assert MlflowInterface(base).url("#/models/x/versions/1") == "https://desk.example/mlflow/#/models/x/versions/1"
