"""`forecasting.yaml`: what is shipped, and what is refused with which words."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from toto_ops.configuration import Settings
from toto_ops.errors import ConfigError
from toto_ops.forecasting.config import ChronosConfig, ForecastingConfig, TotoConfig, load_forecasting
from toto_ops.forecasting.scaling import WINDOW


def loaded(folder: Path, document: dict[str, Any]) -> ForecastingConfig:
    (folder / "forecasting.yaml").write_text(yaml.safe_dump(document))
    return load_forecasting(folder)


def test_what_is_shipped_is_offline_and_needs_no_weights_from_elsewhere() -> None:
    shipped = load_forecasting(Settings().config_dir)
    assert shipped.preference == ("market", "statistical")
    assert not shipped.toto.download
    assert not shipped.chronos.download
    assert not shipped.reuse.enabled


def test_what_is_shipped_are_the_defaults() -> None:
    """A file that says less means the same."""
    assert load_forecasting(Settings().config_dir) == ForecastingConfig()


def test_statistics_look_back_at_least_as_far_as_scales() -> None:
    assert ForecastingConfig.model_validate({"statistical": {"look_back": WINDOW + 1}}).statistical.look_back == WINDOW + 1


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"preference": []}, "preference"),
        ({"preference": ["market", "oracle"]}, "preference"),
        ({"preference": ["market", "market"]}, "a backbone is named twice"),
        ({"horizons": [5, 1]}, "must increase"),
        ({"horizons": [1, 1, 5]}, "must increase"),
        ({"horizon": 10, "horizons": [1, 20]}, "end by horizon"),
        ({"horizons": [0, 5]}, "horizons"),
        ({"validation": 1.0}, "validation"),
        ({"market": {"width": 60, "heads": 8}}, "must be a multiple of twice the heads"),
        ({"embeddings": {"width": 130, "heads": 4}}, "must be a multiple of heads"),
        ({"pretraining": {"patience": 0}}, "greater than or equal to 1"),
        ({"embeddings": {"patience": 0}}, "greater than or equal to 1"),
        ({"market": {"window": 1}}, "window"),
        ({"statistical": {"look_back": WINDOW}}, "look_back"),
        ({"toto": {"context": 100}}, "context"),
        ({"toto": {"weights": "/somewhere/else"}}, "released"),
        ({"pretraining": {"window": 32}}, "window"),
        ({"pretraining": {"augmentation": {"jitter": 0.7, "mixup": 0.6}}}, "exceed 1 together"),
        ({"embeddings": {"unknown_share": 0.0}}, "unknown_share"),
        ({"reuse": {"learning_rate_share": 2.0}}, "learning_rate_share"),
        ({"epochs": 3}, "key `epochs` is unknown"),
    ],
)
def test_refuses_what_makes_no_sense_and_names_the_key(tmp_path: Path, document: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refusal:
        loaded(tmp_path, document)
    assert "forecasting.yaml" in str(refusal.value)


def test_weights_in_a_folder_say_when_they_were_published(tmp_path: Path) -> None:
    document = {"toto": {"weights": "weights/mine", "released": date(2025, 3, 1)}}
    assert loaded(tmp_path, document).toto.latest_release == date(2025, 3, 1)


def test_a_known_release_cannot_be_set_back() -> None:
    known = TotoConfig().latest_release
    assert TotoConfig(released=date(2001, 1, 1)).latest_release == known
    assert ChronosConfig(released=date(2031, 1, 1)).latest_release == date(2031, 1, 1)


def test_a_file_of_a_later_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="schema_version"):
        loaded(tmp_path, {"schema_version": 9})


def test_a_missing_file_is_an_error_and_no_default(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"forecasting\.yaml"):
        load_forecasting(tmp_path)
