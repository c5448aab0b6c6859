"""Which backbone serves, and what is said of those that do not. Nothing here needs the packages of Toto or Chronos."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import pytest
import torch

from tests.unit.forecasting.series_samples import share_bars
from toto_ops.configuration import StrictModel
from toto_ops.errors import BackboneUnavailableError, ConfigError
from toto_ops.forecasting.backbones.loading import choose_backbone, make_backbone
from toto_ops.forecasting.config import (
    BackboneKind,
    ChronosConfig,
    ForecastingConfig,
    MarketConfig,
    PretrainingConfig,
    StatisticalConfig,
    TotoConfig,
)

PLENTY = 1000
SMALL = MarketConfig(width=16, layers=1, heads=2, window=8, patch=4)


def config_of(*preference: BackboneKind) -> ForecastingConfig:
    return ForecastingConfig(preference=preference, market=SMALL, pretraining=PretrainingConfig(window=64, hidden=16))


@pytest.fixture
def _no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where neither extra is installed."""
    monkeypatch.setitem(sys.modules, "toto2", None)
    monkeypatch.setitem(sys.modules, "chronos", None)


def test_the_first_that_can_be_used_serves() -> None:
    loaded = choose_backbone(config_of("statistical", "market"), PLENTY, seed=0)
    assert loaded.backbone.kind == "statistical"
    assert loaded.section == StatisticalConfig()
    assert loaded.passed_over == ()


@pytest.mark.usefixtures("_no_packages")
def test_what_is_not_installed_is_passed_over_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    loaded = choose_backbone(config_of("toto", "chronos", "market"), PLENTY, seed=0)
    assert loaded.backbone.kind == "market"
    assert [one.backbone for one in loaded.passed_over] == ["toto", "chronos"]
    assert "toto-2 cannot be imported" in loaded.passed_over[0].reason
    assert "install it as docs/forecasting.md says" in loaded.passed_over[1].reason
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "toto is passed over" in caplog.text


def test_too_few_bars_to_train_on_pass_over_the_one_that_is_trained_here() -> None:
    enough = choose_backbone(config_of("market", "statistical"), 64, seed=0)
    assert enough.backbone.kind == "market"
    short = choose_backbone(config_of("market", "statistical"), 63, seed=0)
    assert short.backbone.kind == "statistical"
    assert "63 bars" in short.passed_over[0].reason


def test_none_that_can_be_used_is_an_error_with_every_reason() -> None:
    with pytest.raises(ConfigError, match=r"63 bars.*statistical"):
        choose_backbone(config_of("market"), 63, seed=0)


def test_untrained_weights_are_a_function_of_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = choose_backbone(config_of("market"), PLENTY, seed=7).backbone
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn), "random numbers of whoever calls are left alone"
    assert choose_backbone(config_of("market"), PLENTY, seed=7).backbone.identity == first.identity
    assert choose_backbone(config_of("market"), PLENTY, seed=8).backbone.identity != first.identity


def test_a_backbone_is_made_again_from_its_section() -> None:
    section = StatisticalConfig(season=7)
    made = make_backbone("statistical", section, horizon=5, head_hidden=16)
    again = make_backbone("statistical", section.model_validate(section.model_dump(mode="json")), horizon=5, head_hidden=16)
    assert made.identity == again.identity
    x = share_bars(120)
    assert torch.equal(made.states(x).nan_to_num(), again.states(x).nan_to_num())


def test_a_backbone_that_is_trained_here_gets_the_head_it_is_asked_for() -> None:
    head = make_backbone("market", SMALL, horizon=5, head_hidden=12).head
    assert head is not None
    assert head.horizon == 5
    assert head.hidden.out_features == 12


@pytest.mark.usefixtures("_no_packages")
@pytest.mark.parametrize(("kind", "section"), [("toto", TotoConfig()), ("chronos", ChronosConfig())])
def test_without_its_package_a_stored_forecaster_has_no_stand_in(kind: str, section: StrictModel) -> None:
    with pytest.raises(BackboneUnavailableError, match="cannot be imported"):
        make_backbone(kind, section, horizon=5, head_hidden=16)


def test_a_section_of_another_backbone_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="not the section"):
        make_backbone("toto", StatisticalConfig(), horizon=5, head_hidden=16)


@pytest.mark.parametrize("section", [TotoConfig, ChronosConfig])
def test_weights_of_unknown_age_need_a_date(section: type[TotoConfig | ChronosConfig], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="set `released`"):
        section(weights=str(tmp_path))
    assert section(weights=str(tmp_path), released=date(2025, 3, 1)).latest_release == date(2025, 3, 1)


def test_a_date_before_the_known_release_does_not_make_weights_older() -> None:
    assert ChronosConfig(weights="amazon/chronos-2", released=date(2020, 1, 1)).latest_release == date(2025, 10, 20)
    assert ChronosConfig(weights="amazon/chronos-2", released=date(2026, 2, 1)).latest_release == date(2026, 2, 1)
