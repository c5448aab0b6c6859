"""What a cross-validation found, as one document."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import AwareDatetime, Field

from toto_ops.configuration import StrictModel, VersionedModel
from toto_ops.errors import StorageError
from toto_ops.evaluation.statistics.bootstrap import Estimate
from toto_ops.evaluation.statistics.paired import PairedDifference
from toto_ops.evaluation.statistics.performance import Performance
from toto_ops.learning.splits import Span
from toto_ops.training.cross_validation import Fold, Scheme

CROSS_VALIDATION_FILE = "cross_validation.json"


class FoldResult(StrictModel):
    """One training: what it was given and what it knows."""

    fold: Fold
    seed: int | None
    knows_until: AwareDatetime | None
    metrics: dict[str, float]


class BlockResult(StrictModel):
    """One policy on one block, from a flat account, beside equal weight rebalanced at every bar."""

    fold: int
    path: int
    span: Span
    bars: int
    performance: Performance
    equal_weight: Performance


class PathFigures(StrictModel):
    """Figures of the returns of a whole path, with block-bootstrap intervals."""

    total_return: Estimate
    cagr: Estimate
    sharpe: Estimate
    volatility: Estimate
    max_drawdown: Estimate


class PathResult(StrictModel):
    """The blocks of one path, in order of time, stitched together.

    Attributes
    ----------
    open_time, equity
        `[n]` moments the returns were earned by, and growth of one unit of money.
    against_equal_weight
        Path minus equal weight on the same bars, paired.
    """

    path: int
    open_time: tuple[AwareDatetime, ...]
    equity: tuple[float, ...]
    figures: PathFigures
    equal_weight: PathFigures
    against_equal_weight: PairedDifference


class CrossValidation(VersionedModel):
    """One cross-validation of one line.

    Attributes
    ----------
    retrain_id
        The retraining whose bars and decisions it used.
    test_begins_after
        End of the last bar before the test span of the universe, which none of this has read.
    paths
        One for walk-forward; as many as every block was tested times for combinatorial folds.
    """

    universe: str
    line: str
    scheme: Scheme = Field(discriminator="scheme")
    retrain_id: str
    inputs_hash: str
    data_hash: str
    code_version: str
    symbols: tuple[str, ...]
    periods_per_year: float
    test_begins_after: AwareDatetime
    folds: tuple[FoldResult, ...]
    blocks: tuple[BlockResult, ...]
    paths: tuple[PathResult, ...]
    caveats: tuple[str, ...]

    @property
    def sharpes(self) -> tuple[float, ...]:
        """Sharpe ratios of the paths that have one, increasing: their distribution."""
        return tuple(sorted(path.figures.sharpe.value for path in self.paths if path.figures.sharpe.value is not None))


def write_cross_validation(document: CrossValidation, folder: Path) -> Path:
    """Write `cross_validation.json` into an existing folder and return its path."""
    path = folder / CROSS_VALIDATION_FILE
    path.write_text(document.model_dump_json(indent=1), encoding="utf-8")
    return path


def read_cross_validation(folder: Path) -> CrossValidation:
    """Read `cross_validation.json` of a folder.

    Raises
    ------
    StorageError
        If it is absent, damaged or of another schema version.
    """
    path = folder / CROSS_VALIDATION_FILE
    try:
        return CrossValidation.stored(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise StorageError(
            f"holds no readable cross-validation ({error})", where=str(path), remedy="run `toto-ops cross-validate` again"
        ) from error
