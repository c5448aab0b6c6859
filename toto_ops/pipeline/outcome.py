"""What a retraining came to, in one document: what the terminal prints and `--json` returns."""

from __future__ import annotations

from pydantic import AwareDatetime

from toto_ops.configuration import StrictModel, VersionedModel
from toto_ops.evaluation.evidence import Answer, Criterion, Verdict
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import last_retraining
from toto_ops.storage.retraining import Retraining
from toto_ops.universes import Universe

OUTCOME_DOCUMENT = "outcome.json"


class SymbolOutcome(StrictModel):
    """Data health of one symbol."""

    symbol: str
    status: str
    bars: int
    last_close: str
    data_health: float | None
    remarks: tuple[str, ...]


class TrainedOutcome(StrictModel):
    """One line that was trained."""

    line: str
    seed: int | None
    train_accuracy: float | None
    validation_accuracy: float | None
    knows_until: str


class CriterionOutcome(StrictModel):
    """One row of the table of criteria.

    Attributes
    ----------
    low, high
        Bootstrap interval of what was measured, where there is one.
    verdict
        As in the evidence; None in outcomes of earlier releases.
    passed
        Whether it lets the challenger through.
    """

    criterion: str
    required: str
    measured: float | None
    low: float | None = None
    high: float | None = None
    verdict: Answer | None = None
    passed: bool
    note: str

    @classmethod
    def of(cls, criterion: Criterion) -> CriterionOutcome:
        required = "-" if criterion.required is None else f"{criterion.relation} {criterion.required:.4g}"
        note = criterion.note or ("" if criterion.verdict != "insufficient" else "insufficient data")
        return cls(
            criterion=criterion.name,
            required=required,
            measured=criterion.measured,
            low=criterion.low,
            high=criterion.high,
            verdict=criterion.verdict,
            passed=criterion.passed,
            note=note,
        )

    def in_brief(self) -> dict[str, str]:
        """The row without its note, narrow enough for a terminal."""
        measured = "n/a" if self.measured is None else f"{self.measured:.4g}"
        interval = "" if self.low is None or self.high is None else f" [{self.low:.3g} … {self.high:.3g}]"
        answer = self.verdict or ("pass" if self.passed else "fail")
        return {"criterion": self.criterion, "required": self.required, "measured": measured + interval, "verdict": answer}


class RetrainingOutcome(VersionedModel):
    """One retraining of one universe, from data health to what serves now.

    Attributes
    ----------
    verdict
        Of the evidence; None in outcomes of earlier releases.
    """

    universe: str
    retrain_id: str
    as_of: AwareDatetime
    completed_at: AwareDatetime
    symbols: tuple[SymbolOutcome, ...]
    trained: tuple[TrainedOutcome, ...]
    challenger: str
    criteria: tuple[CriterionOutcome, ...]
    verdict: Verdict | None = None
    promoted: bool
    decision: str
    incumbent: str
    report: str
    data_docs: str


def write_outcome(retraining: Retraining, outcome: RetrainingOutcome) -> None:
    """Store what a retraining came to, beside its index."""
    retraining.store.write_model(retraining.document(OUTCOME_DOCUMENT), outcome)


def read_outcome(project: Project, universe: Universe, retrain_id: str | None) -> RetrainingOutcome | None:
    """The outcome of a retraining, or of the last successful one when no id is given; None where there is none."""
    if retrain_id is None:
        last = last_retraining(project, universe)
        if last is None:
            return None
        retrain_id = last.retrain_id
    return project.store.read_model(project.retraining(universe, retrain_id).document(OUTCOME_DOCUMENT), RetrainingOutcome)
