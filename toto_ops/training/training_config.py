"""How models are trained: the splits all share, and one section per line in `training.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, SerializeAsAny, create_model, field_validator

from toto_ops.configuration import StrictModel, VersionedModel, read_config
from toto_ops.learning.splits import SplitConfig
from toto_ops.training.line import ConfigT, Line
from toto_ops.training.lines import LINES

_FIELDS: dict[str, Any] = {entry.name: (entry.config, Field(default_factory=entry.config)) for entry in LINES}
_Sections = create_model("_Sections", __base__=StrictModel, **_FIELDS)


class TrainingConfig(VersionedModel):
    """`training.yaml`.

    Attributes
    ----------
    splits
        One set of spans for every symbol, line and scaler of a universe.
    lines
        Configuration of each line; one that is absent from the file has its defaults.
    """

    splits: SplitConfig = SplitConfig()
    lines: dict[str, SerializeAsAny[StrictModel]] = Field(default_factory=dict, validate_default=True)

    @field_validator("lines", mode="before")
    @classmethod
    def _by_line(cls, content: Any) -> Any:
        sections = _Sections.model_validate(content)
        return {entry.name: getattr(sections, entry.name) for entry in LINES}

    def of(self, line: Line[ConfigT]) -> ConfigT:
        """The configuration of one line."""
        section = self.lines[line.name]
        assert isinstance(section, line.config)  # noqa: S101 - the validator made it so
        return section


def load_training(config_dir: Path) -> TrainingConfig:
    """Read `training.yaml`.

    Raises
    ------
    ConfigError
        Naming the file, the offending keys and the remedy.
    """
    return read_config(config_dir / "training.yaml", TrainingConfig)
