"""What a retraining came to, in one document: what the terminal prints and `--json` returns."""

from __future__ import annotations

from pydantic import AwareDatetime

from toto_ops.configuration import StrictModel, VersionedModel
from toto_ops.evaluation.findings.documents import Unit
from toto_ops.evaluation.judgement.evidence import Answer, Criterion, Verdict
from toto_ops.evaluation.reports.figures import UNDEFINED, WRITERS, required
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

    def in_brief(self) -> dict[str, object]:
        """The row as a person reads it: accuracies in per cent."""
        shares = {name: _written(getattr(self, name), "percent") for name in ("train_accuracy", "validation_accuracy")}
        return self.model_dump() | shares


class CriterionOutcome(StrictModel):
    """One row of the table of criteria.

    Attributes
    ----------
    unit
        How the figures are written; None in outcomes of earlier releases.
    low, high
        Bootstrap interval of what was measured, where there is one.
    verdict
        As in the evidence; None in outcomes of earlier releases.
    passed
        Whether it lets the challenger through.
    """

    criterion: str
    required: str
    unit: Unit | None = None
    measured: float | None
    low: float | None = None
    high: float | None = None
    verdict: Answer | None = None
    passed: bool
    note: str

    @classmethod
    def of(cls, criterion: Criterion) -> CriterionOutcome:
        note = criterion.note or ("" if criterion.verdict != "insufficient" else "insufficient data")
        return cls(
            criterion=criterion.name,
            required=required(criterion),
            unit=criterion.unit,
            measured=criterion.measured,
            low=criterion.low,
            high=criterion.high,
            verdict=criterion.verdict,
            passed=criterion.passed,
            note=note,
        )

    def in_brief(self) -> dict[str, str]:
        """The row without its note, narrow enough for a terminal, in the units of the report."""
        low, high = (_written(bound, self.unit) for bound in (self.low, self.high))
        bounds = "" if self.low is None or self.high is None else f" [{low} … {high}]"
        answer = self.verdict or ("pass" if self.passed else "fail")
        measured = _written(self.measured, self.unit) + bounds
        return {"criterion": self.criterion, "required": self.required, "measured": measured, "verdict": answer}


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


def _written(value: float | None, unit: Unit | None) -> str:
    """A figure as the report writes it; with four digits where an earlier release did not say what it is."""
    if value is None:
        return UNDEFINED
    return f"{value:.4g}" if unit is None else WRITERS[unit](value)
