"""The strategy file: what it accepts, and how it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.analysts.analyst_samples import CONFIG_DIR
from toto_ops.analysts.strategy import STRATEGY_FILE, StrategyConfig, load_strategy
from toto_ops.errors import ConfigError


def bundled() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((CONFIG_DIR / STRATEGY_FILE).read_text())
    return content


def write(folder: Path, content: dict[str, Any]) -> Path:
    (folder / STRATEGY_FILE).write_text(yaml.safe_dump(content))
    return folder


def test_the_bundled_file_says_every_number_that_is_in_force() -> None:
    assert load_strategy(CONFIG_DIR).model_dump() == bundled()


def test_the_teacher_never_imitates_its_pupil(tmp_path: Path) -> None:
    content = bundled()
    content["weights"]["rl"] = 0.5
    with pytest.raises(ConfigError, match=r"strategy\.yaml.*weights\.rl.*never imitates its pupil"):
        load_strategy(write(tmp_path, content))


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("weights", {"technical": 0.0, "risk": 0.0, "news": 0.0}, "at least one"),
        ("weights", {"news": -1.0}, r"weights\.news"),
        ("decision", {"full_size_at": 0.1}, "full_size_at must lie above"),
        ("decision", {"entry_step": 0.05, "resize_band": 0.05}, "entry_step must exceed resize_band"),
        ("decision", {"buy_above": 1.0}, r"decision\.buy_above"),
        ("decision", {"sell_below": 0.1}, r"decision\.sell_below"),
        ("decision", {"temperature": 0.0}, r"decision\.temperature"),
        ("decision", {"bui_above": 0.2}, r"`decision\.bui_above` is unknown"),
        ("technical", {"rsi_gain": "high"}, r"technical\.rsi_gain"),
        ("news", {"news_share": 1.5}, r"news\.news_share"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused_by_name(
    tmp_path: Path, section: str, change: dict[str, Any], message: str
) -> None:
    content = bundled()
    content[section] |= change
    with pytest.raises(ConfigError, match=message):
        load_strategy(write(tmp_path, content))


def test_a_missing_number_is_refused_rather_than_defaulted(tmp_path: Path) -> None:
    content = bundled()
    del content["risk"]["exposure"]["high"]
    with pytest.raises(ConfigError, match=r"`risk\.exposure\.high` is missing"):
        load_strategy(write(tmp_path, content))


def test_an_unreadable_schema_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="schema_version 99"):
        load_strategy(write(tmp_path, bundled() | {"schema_version": 99}))


def test_survives_a_round_trip_through_json() -> None:
    strategy = load_strategy(CONFIG_DIR)
    assert StrategyConfig.model_validate_json(strategy.model_dump_json()) == strategy
