"""`training.yaml`: a section per line, strictly read; the bundled file is valid; reading it does not load torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from toto_ops.configuration import PROJECT_ROOT
from toto_ops.errors import ConfigError
from toto_ops.storage.hashing import value_hash
from toto_ops.training.bc_config import BehaviourCloningConfig
from toto_ops.training.lines import LINES, line
from toto_ops.training.training_config import TrainingConfig, load_training


def load(folder: Path, text: str) -> TrainingConfig:
    (folder / "training.yaml").write_text(text)
    return load_training(folder)


def test_the_bundled_file_is_valid_and_has_every_line() -> None:
    config = load_training(PROJECT_ROOT / "deploy" / "config")
    assert {entry.name: type(config.of(entry)) for entry in LINES} == {entry.name: entry.config for entry in LINES}


def test_a_section_configures_its_line(tmp_path: Path) -> None:
    config = load(tmp_path, "lines: {bc: {hidden: 64, seeds: [7]}}")
    assert config.of(line("bc")) == BehaviourCloningConfig(hidden=64, seeds=(7,))


def test_a_line_without_section_has_its_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "schema_version: 1").of(line("bc")) == BehaviourCloningConfig()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("lines: {bc: {hiden: 64}}", r"lines\.bc\.hiden"),
        ("lines: {bc: {hidden: many}}", r"lines\.bc\.hidden"),
        ("lines: {bx: {}}", r"lines\.bx"),
        ("lines: [bc]", "lines"),
        ("lines: {bc: }", r"lines\.bc"),
        ("splits: {trian: 0.5}", r"splits\.trian"),
        ("schema_version: 99", "schema_version"),
        ("line: {}", "`line`"),
    ],
)
def test_an_error_names_file_key_and_remedy(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"training\.yaml.*{key}.*Remedy"):
        load(tmp_path, text)


def test_the_hash_of_the_configuration_sees_into_the_sections(tmp_path: Path) -> None:
    one, two = load(tmp_path, "lines: {bc: {hidden: 64}}"), load(tmp_path, "lines: {bc: {hidden: 65}}")
    assert value_hash(one) != value_hash(two)
    assert value_hash(one) == value_hash(load(tmp_path, "lines: {bc: {hidden: 64}}"))


def test_lines_have_names_of_their_own_and_are_found_by_them() -> None:
    assert len({entry.name for entry in LINES}) == len(LINES)
    assert all(line(entry.name) is entry for entry in LINES)


def test_an_unknown_line_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="use one of: bc"):
        line("bcc")


@pytest.mark.subprocess
def test_the_list_of_lines_and_their_configuration_load_without_torch() -> None:
    code = "import sys, toto_ops.training.training_config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, check=False).returncode == 0
