"""The evidence: everything one judgement found, as one document that can be read again years later.

Promotion reads it back and checks that it speaks of the very policy it is about to serve; the report is drawn from it
alone. Nothing in it depends on the time of day or the machine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field, model_validator

from toto_ops.configuration import StrictModel, VersionedModel
from toto_ops.errors import StorageError
from toto_ops.evaluation.bootstrap import Estimate
from toto_ops.evaluation.metrics import Performance
from toto_ops.training.splits import Splits

EVIDENCE_FILE = "evidence.json"

Relation = Literal[">=", "<=", ">"]
Role = Literal["challenger", "fallback", "benchmark", "ineligible"]
StressName = Literal["breaker off", "costs x2", "decision lag 2"]


class Criterion(StrictModel):
    """One gate: what was required, what was measured.

    Attributes
    ----------
    relation
        How `measured` must stand to `required`.
    measured
        None where the figure is not defined; that fails unless the verdict is `insufficient`.
    verdict
        `insufficient`: too little data to ask this question; it neither passes nor blocks.
    """

    name: str
    required: float | None
    relation: Relation
    measured: float | None
    verdict: Literal["pass", "fail", "insufficient"]
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether it lets the challenger through."""
        return self.verdict != "fail"


class Curve(StrictModel):
    """Course of one backtest over the opens of the test span, for the report."""

    open_time: tuple[AwareDatetime, ...]
    equity: tuple[float, ...]
    exposure: tuple[float, ...]


class ActionShares(StrictModel):
    """How the decisions were distributed over the actions."""

    hold: float
    buy: float
    sell: float


class CandidateResult(StrictModel):
    """One contestant on the test span, under the universe's own rules."""

    name: str
    role: Role
    performance: Performance
    curve: Curve
    actions: ActionShares | None = Field(description="None for benchmarks, which do not choose")


class ImitationResult(StrictModel):
    """How well the challenger repeats its teacher on the states the teacher was in.

    Attributes
    ----------
    accuracy, macro_f1
        On the test span.
    majority_share
        Accuracy of always answering with the teacher's most frequent action.
    gap
        Accuracy on train minus accuracy on validation.
    decisions
        Teacher decisions on the test span.
    """

    accuracy: Estimate
    macro_f1: Estimate
    majority_share: float
    train_accuracy: float
    validation_accuracy: float
    gap: Estimate
    decisions: int


class DirectionalResult(StrictModel):
    """How often a position pointed the way the price went, from open to open.

    Attributes
    ----------
    base_rate
        Accuracy expected of the same longs and shorts placed without looking, given how often prices rose.
    positions
        Symbol bars with a position and a move.
    """

    accuracy: Estimate
    base_rate: float | None
    positions: int


class StressResult(StrictModel):
    """The challenger on the test span with one condition changed."""

    name: StressName
    performance: Performance


class VolatilityMatching(StrictModel):
    """How the equal-weight benchmark was brought to the challenger's volatility."""

    scale: float
    target: float
    realised: float
    matched: bool


class ChampionComparison(StrictModel):
    """Challenger against champion on the bars that neither has seen.

    Attributes
    ----------
    inputs_hash
        Of the champion; None in evidence of the first schema version.
    bars
        Returns compared.
    difference
        Sharpe ratio of the challenger minus the champion's, paired block bootstrap; None with too few bars.
    """

    champion: str
    inputs_hash: str | None = None
    bars: int
    challenger_sharpe: Estimate | None = None
    champion_sharpe: Estimate | None = None
    difference: Estimate | None = None


class Evidence(VersionedModel):
    """One judgement of one challenger.

    Attributes
    ----------
    inputs_hash
        Of the challenger: what promotion checks the registered version against.
    data_hash
        Of the bars judged on.
    gates_hash
        Of the gates applied.
    openings
        Looks at overlapping test bars so far, this one included.
    trials
        Entries of the universe's trial ledger.
    minimum_detectable_sharpe
        What a true Sharpe ratio would have to be for a span this short to show it (5 % significance, 80 % power).
    """

    schema_version: int = 2
    universe: str
    line: str
    retrain_id: str
    as_of: AwareDatetime
    inputs_hash: str
    data_hash: str
    gates_hash: str
    code_version: str
    knows_until: AwareDatetime | None
    symbols: tuple[str, ...]
    splits: Splits
    test_bars: int
    periods_per_year: float
    challenger: CandidateResult
    others: tuple[CandidateResult, ...]
    volatility_matching: VolatilityMatching
    imitation: ImitationResult | None
    directional: DirectionalResult
    stresses: tuple[StressResult, ...]
    comparison: ChampionComparison | None
    openings: int = Field(ge=1)
    trials: int = Field(ge=0)
    minimum_detectable_sharpe: float
    criteria: tuple[Criterion, ...]
    verdict: Literal["passed", "refused"]
    caveats: tuple[str, ...]

    @model_validator(mode="after")
    def _verdict_follows(self) -> Evidence:
        follows = "passed" if self.criteria and all(criterion.passed for criterion in self.criteria) else "refused"
        if self.verdict != follows:
            raise ValueError(f"verdict {self.verdict!r} does not follow from the criteria, which say {follows!r}")
        return self

    @property
    def passed(self) -> bool:
        """Whether the challenger may be promoted."""
        return self.verdict == "passed"

    @property
    def failures(self) -> tuple[Criterion, ...]:
        """The criteria that stand in the way."""
        return tuple(criterion for criterion in self.criteria if not criterion.passed)

    @property
    def candidates(self) -> tuple[CandidateResult, ...]:
        """The challenger, then everything it is shown beside."""
        return (self.challenger, *self.others)

    def stress(self, name: StressName) -> Performance:
        """The challenger's figures with one condition changed."""
        return next(stress.performance for stress in self.stresses if stress.name == name)


def write_evidence(evidence: Evidence, folder: Path) -> Path:
    """Write `evidence.json` into an existing folder and return its path."""
    path = folder / EVIDENCE_FILE
    path.write_text(evidence.model_dump_json(indent=1), encoding="utf-8")
    return path


def read_evidence(folder: Path) -> Evidence:
    """Read `evidence.json` of a folder.

    Raises
    ------
    StorageError
        If it is absent, was altered so that the verdict no longer follows, or is of another schema version.
    """
    path = folder / EVIDENCE_FILE
    try:
        return Evidence.stored(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise StorageError(f"holds no readable evidence ({error})", where=str(path), remedy="run the evaluation again") from error
