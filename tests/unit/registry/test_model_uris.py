"""Model URIs: what they may look like, and that they lead to models of this project alone."""

import pytest

from tests.unit.registry.registry_samples import fallback_submission, offer
from toto_ops.errors import ConfigError, StorageError
from toto_ops.registry.model_uris import ModelUri, version_at

LINES = ("bc", "fallback")


@pytest.mark.parametrize("text", ["models:/toto-stocks@champion", "models:/toto-stocks-bc/3"])
def test_a_uri_is_read_and_written_alike(text: str) -> None:
    assert str(ModelUri.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "toto-stocks@champion",
        "models:/toto-stocks",
        "models:/toto-stocks/latest",
        "models:/toto-stocks/0",
        "models:/toto-stocks/1/extra",
        "models:/toto-stocks@champion@x",
        "models:/../../etc/passwd",
        "models://server/toto-stocks@champion",
        "runs:/abc/model",
        "file:///elsewhere/model.pkl",
        "models:/toto-stocks@champion\n",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="does not name a registered model"):
        ModelUri.parse(text)


def test_an_alias_and_a_number_lead_to_the_same_version(registry, universe) -> None:
    registry.register_fallback(fallback_submission(universe))
    version = offer(registry, universe, 1)
    name = registry.serving_name(universe)
    by_alias = version_at(registry, universe, LINES, ModelUri.parse(f"models:/{name}@challenger"))
    by_number = version_at(registry, universe, LINES, ModelUri.parse(f"models:/{name}/{version}"))
    assert (by_alias.name, by_alias.version) == (by_number.name, by_number.version) == (name, version)
    own = version_at(registry, universe, LINES, ModelUri.parse(f"models:/{registry.line_name(universe, 'bc')}@challenger"))
    assert own.inputs_hash == by_alias.inputs_hash


def test_an_alias_nobody_has_names_those_there_are(registry, universe) -> None:
    registry.register_fallback(fallback_submission(universe))
    with pytest.raises(StorageError, match="no version has the alias champion; there are: fallback"):
        version_at(registry, universe, LINES, ModelUri(registry.serving_name(universe), alias="champion"))
    with pytest.raises(StorageError, match="version 99 does not exist"):
        version_at(registry, universe, LINES, ModelUri(registry.serving_name(universe), version=99))


def test_a_model_of_another_universe_is_refused_and_the_own_ones_are_named(registry, universe) -> None:
    with pytest.raises(ConfigError, match=f"somebody-elses is not a model.*choose one of {registry.serving_name(universe)}"):
        version_at(registry, universe, LINES, ModelUri("somebody-elses", alias="champion"))
