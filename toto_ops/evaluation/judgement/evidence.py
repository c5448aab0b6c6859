"""The evidence: everything one judgement found, as one document that can be read again years later.

Promotion reads it back and checks that it speaks of the very policy it is about to serve; the report is drawn from it
alone. Nothing in it depends on the time of day or the machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, Field, model_validator

from toto_ops.configuration import StrictModel, VersionedModel
from toto_ops.errors import StorageError
from toto_ops.evaluation.findings.documents import (
    CandidateResult,
    ChampionComparison,
    DirectionalResult,
    ImitationResult,
    Plausibility,
    StressName,
    StressResult,
    StressSpanResult,
    SymbolTrades,
    Target,
    Unit,
    VolatilityMatching,
)
from toto_ops.evaluation.forecasts.documents import ForecastEvaluation
from toto_ops.evaluation.statistics.overfitting_probability import OverfittingProbability
from toto_ops.evaluation.statistics.paired import PairedDifference
from toto_ops.evaluation.statistics.performance import Performance
from toto_ops.evaluation.statistics.significance import Significance
from toto_ops.learning.splits import Splits

EVIDENCE_FILE = "evidence.json"

Relation = Literal[">=", "<=", ">"]
Compared = Literal["estimate", "lower bound"]
Answer = Literal["pass", "fail", "insufficient", "shown"]
Verdict = Literal["passed", "refused", "quarantined"]


class Criterion(StrictModel):
    """One row of the gate table: what was required, what was measured.

    Attributes
    ----------
    kind
        `gate`: failing it refuses the challenger. `alarm`: failing it means that the result is too good to be true, and
        quarantines the challenger, whatever its gates say.
    relation
        How `measured` must stand to `required`.
    measured
        None where the figure is not defined; that fails unless the verdict is `insufficient` or `shown`.
    low, high
        Bootstrap interval of the figure, where there is one.
    compared
        What of them must stand so to `required`.
    verdict
        `insufficient`: too little data to ask this question; it neither passes nor blocks. `shown`: it informs, and no
        verdict depends on it.
    """

    name: str
    kind: Literal["gate", "alarm"] = "gate"
    unit: Unit = "ratio"
    required: float | None
    relation: Relation
    measured: float | None
    low: float | None = None
    high: float | None = None
    compared: Compared = "estimate"
    verdict: Answer
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether it lets the challenger through."""
        return self.verdict != "fail"


def verdict_of(criteria: Sequence[Criterion]) -> Verdict:
    """What follows from the criteria: an alarm outweighs every gate, and no gate passed proves nothing."""
    if any(criterion.kind == "alarm" and not criterion.passed for criterion in criteria):
        return "quarantined"
    gates = [criterion for criterion in criteria if criterion.kind == "gate"]
    return "passed" if any(gate.verdict == "pass" for gate in gates) and all(gate.passed for gate in gates) else "refused"


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
    first_close
        Close of the first test bar: nobody judged may know it. None in evidence of earlier releases.
    openings
        Looks at overlapping test bars so far, this one included, in every universe that holds some of the same bars.
    trials
        Entries of the universe's trial ledger.
    minimum_detectable_sharpe
        What a true Sharpe ratio would have to be for a span this short to show it (5 % significance, 80 % power).
    significance, overfitting, plausibility
        None in evidence of the first two schema versions, as the tables of pairs, stress spans, targets and trades are empty.
    forecasts
        What the forecasts of the retraining are worth, span by span, whether the challenger observes them or not. Empty where
        it made none, and in evidence of earlier schema versions.
    """

    schema_version: int = 4
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
    first_close: AwareDatetime | None = None
    test_bars: int
    periods_per_year: float
    challenger: CandidateResult
    others: tuple[CandidateResult, ...]
    volatility_matching: VolatilityMatching
    imitation: ImitationResult | None
    directional: DirectionalResult
    stresses: tuple[StressResult, ...]
    stress_spans: tuple[StressSpanResult, ...]
    comparison: ChampionComparison | None
    paired: tuple[PairedDifference, ...]
    significance: Significance | None
    overfitting: OverfittingProbability | None
    plausibility: Plausibility | None
    targets: tuple[Target, ...]
    trades: tuple[SymbolTrades, ...]
    forecasts: tuple[ForecastEvaluation, ...] = ()
    openings: int = Field(ge=1)
    trials: int = Field(ge=0)
    minimum_detectable_sharpe: float
    criteria: tuple[Criterion, ...]
    verdict: Verdict
    caveats: tuple[str, ...]

    @classmethod
    def readable_versions(cls) -> tuple[int, ...]:
        """All there were: evidence lies in registered models, which are never rewritten, and is read years later."""
        return (1, 2, *super().readable_versions())

    @classmethod
    def upgraded(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """The first two lack whole parts, and say only by its name how a criterion is written; the third has no forecasts."""
        if content["schema_version"] >= 3:
            return dict(content)
        return {
            **content,
            "criteria": [{**row, "unit": _earlier_unit(row["name"])} for row in content["criteria"]],
            **dict.fromkeys(("stress_spans", "paired", "targets", "trades"), ()),
            **dict.fromkeys(("significance", "overfitting", "plausibility")),
        }

    @model_validator(mode="after")
    def _verdict_follows(self) -> Evidence:
        follows = verdict_of(self.criteria)
        if self.verdict != follows:
            raise ValueError(f"verdict {self.verdict!r} does not follow from the criteria, which say {follows!r}")
        return self

    @property
    def passed(self) -> bool:
        """Whether the challenger passed every gate it was asked, and raised no alarm."""
        return self.verdict == "passed"

    @property
    def complete(self) -> bool:
        """Whether the challenger was asked all that a judge of today asks: earlier releases knew no alarm and fewer gates."""
        return None not in (self.first_close, self.significance, self.overfitting, self.plausibility)

    @property
    def failures(self) -> tuple[Criterion, ...]:
        """The criteria that stand in the way, alarms first."""
        failed = [criterion for criterion in self.criteria if not criterion.passed]
        return tuple(sorted(failed, key=lambda criterion: criterion.kind != "alarm"))

    def criterion(self, name: str) -> Criterion:
        """The criterion of a name (`toto_ops.evaluation.judgement.criteria`)."""
        return next(criterion for criterion in self.criteria if criterion.name == name)

    @property
    def candidates(self) -> tuple[CandidateResult, ...]:
        """The challenger, then everything it is shown beside."""
        return (self.challenger, *self.others)

    @property
    def pairs(self) -> tuple[PairedDifference, ...]:
        """The challenger minus everybody else: the champion, on bars that neither has seen, then the others on the test span."""
        champion = self.comparison.paired if self.comparison else None
        return (*((champion,) if champion else ()), *self.paired)

    def stress(self, name: StressName) -> Performance:
        """The challenger's figures with one condition changed."""
        return next(stress.performance for stress in self.stresses if stress.name == name)


def _earlier_unit(criterion: str) -> Unit:
    if criterion.startswith("Sharpe ratio"):
        return "ratio"
    units: Mapping[str, Unit] = {"test bars": "count", "imitation macro-F1": "ratio"}
    return units.get(criterion, "percent")


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
