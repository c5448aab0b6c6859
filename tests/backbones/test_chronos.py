from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

import pytest
import torch

from tests.unit.forecasting.backbones.backbone_checks import BackboneChecks, assert_same
from tests.unit.forecasting.series_samples import share_bars, wandering_bars
from toto_ops.errors import BackboneUnavailableError, InsufficientDataError
from toto_ops.forecasting.backbones.chronos import BoltBackbone, Chronos2Backbone, ChronosBackbone, chronos_backbone
from toto_ops.forecasting.config import ChronosConfig
from toto_ops.forecasting.quantiles import LEVELS

CONTEXT = 64


def loaded(folder: Path, context: int = CONTEXT) -> ChronosBackbone:
    return chronos_backbone(ChronosConfig(weights=str(folder), context=context, released=date(2025, 10, 20)))


@pytest.fixture(scope="module")
def bolt(weights: Path) -> ChronosBackbone:
    return loaded(weights / "bolt")


@pytest.fixture(scope="module")
def chronos_2(weights: Path) -> ChronosBackbone:
    return loaded(weights / "chronos-2")


class TestBoltBackbone(BackboneChecks):
    @pytest.fixture
    def backbone(self, bolt: ChronosBackbone) -> ChronosBackbone:
        return bolt


class TestChronos2Backbone(BackboneChecks):
    @pytest.fixture
    def backbone(self, chronos_2: ChronosBackbone) -> ChronosBackbone:
        return chronos_2


def test_the_weights_say_which_of_the_two_it_is(bolt: ChronosBackbone, chronos_2: ChronosBackbone) -> None:
    assert isinstance(bolt, BoltBackbone)
    assert isinstance(chronos_2, Chronos2Backbone)


def test_bolt_states_are_the_embeddings_of_the_package(bolt: ChronosBackbone) -> None:
    x = wandering_bars(150)
    for bar in (CONTEXT - 1, 99, 149):
        embeddings, _ = bolt.pipeline.embed(x[1, :, bar + 1 - CONTEXT : bar + 1])
        last_patch = embeddings[:, -2]  # the [REG] token follows it
        assert_same(bolt.states(x)[1, bar], last_patch.flatten())


def test_chronos_2_states_are_the_embeddings_of_the_package(chronos_2: ChronosBackbone) -> None:
    x = wandering_bars(150)
    for bar in (CONTEXT - 1, 99, 149):
        embeddings, _ = chronos_2.pipeline.embed([x[1, :, bar + 1 - CONTEXT : bar + 1].float()])
        last_patch = embeddings[0][:, -3]  # the [REG] token and the patch to be foretold follow it
        assert_same(chronos_2.states(x)[1, bar], last_patch.detach().flatten())


@pytest.mark.parametrize("model", ["bolt", "chronos-2"])
def test_a_young_series_is_read_as_the_short_one_it_is(weights: Path, model: str) -> None:
    """Bars it lacks are masked: a window with room for more patches gives the same state."""
    x = wandering_bars(40)
    assert_same(loaded(weights / model, context=64).states(x), loaded(weights / model, context=128).states(x))


@pytest.mark.parametrize("model", ["bolt", "chronos-2"])
def test_foretells_what_the_package_does(weights: Path, model: str) -> None:
    backbone, x = loaded(weights / model), wandering_bars(CONTEXT)
    given = x.flatten(0, 1).float() if model == "bolt" else x.float()
    quantiles, _ = backbone.pipeline.predict_quantiles(given, 20, quantile_levels=list(LEVELS))
    expected = quantiles.reshape(*x.shape[:2], 20, -1) if model == "bolt" else torch.stack(quantiles)
    assert_same(backbone.forecast(x, 20), expected.double().sort(dim=-1).values.movedim(-1, 0))


def test_variates_of_a_window_inform_each_other_in_chronos_2_alone(bolt: ChronosBackbone, chronos_2: ChronosBackbone) -> None:
    x = wandering_bars(100, series=1)
    other_volume = x.clone()
    other_volume[:, 2] = other_volume[:, 2].flip(-1)
    for backbone in (bolt, chronos_2):
        own = backbone.width // 3
        same = torch.allclose(backbone.states(other_volume)[:, -1, :own], backbone.states(x)[:, -1, :own])
        assert same is not backbone.capabilities.multivariate


@pytest.mark.parametrize("model", ["bolt", "chronos-2"])
def test_does_not_depend_on_the_level_of_a_price(weights: Path, model: str) -> None:
    backbone, x = loaded(weights / model), share_bars(150)
    assert_same(backbone.states(x + 10.0), backbone.states(x))
    assert_same(backbone.forecast(x + 10.0, 5) - 10.0, backbone.forecast(x, 5))


def test_refuses_a_horizon_beyond_what_it_was_trained_for(bolt: ChronosBackbone) -> None:
    with pytest.raises(InsufficientDataError, match="32 bars at most"):
        bolt.forecast(wandering_bars(100), 33)


def test_refuses_a_context_beyond_what_it_was_trained_for(weights: Path) -> None:
    with pytest.raises(BackboneUnavailableError, match="256 bars at most"):
        loaded(weights / "bolt", context=300)


def test_refuses_a_model_of_the_family_that_it_does_not_know(weights: Path, tmp_path: Path) -> None:
    shutil.copytree(weights / "bolt", tmp_path / "t5")
    config = json.loads((tmp_path / "t5" / "config.json").read_text())
    (tmp_path / "t5" / "config.json").write_text(json.dumps({**config, "architectures": ["T5ForConditionalGeneration"]}))
    with pytest.raises(BackboneUnavailableError, match="T5ForConditionalGeneration is neither"):
        loaded(tmp_path / "t5")
