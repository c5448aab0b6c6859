"""What people are told of without asking: failed runs, too few healthy symbols, and every change of what serves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, field_validator

from toto_ops.configuration import StrictModel
from toto_ops.registry.events import RegistryEvent
from toto_ops.storage.store import LIVE

AlertKind = Literal["run_failure", "coverage_failure", "promotion", "demotion"]

LONGEST_QUOTE = 1500
"""Characters quoted of one error: chat systems refuse long messages, and the run's log has the rest."""


class Alert(StrictModel):
    """One message to people.

    Attributes
    ----------
    universe
        Empty where a run concerns none, or several.
    title
        One line: what happened.
    details
        Plain text, several lines: why, and where to look.
    """

    kind: AlertKind | Literal["test"]
    universe: str
    at: AwareDatetime
    title: str
    details: str

    @field_validator("title")
    @classmethod
    def _one_line(cls, title: str) -> str:
        # It becomes the subject of a mail, where a line break would begin another header.
        return " ".join(title.split())

    @property
    def text(self) -> str:
        """Title, moment and details, as plain text."""
        return f"{self.title}\n{self.at:%Y-%m-%d %H:%M} UTC\n{self.details}"


@dataclass(frozen=True)
class FailedRun:
    """A run that failed.

    Parameters
    ----------
    universe
        Empty where the run says none.
    namespace
        `live`, or that of a replay.
    failed_steps
        Step to what was raised first in it; empty where the process was killed.
    message
        What is noted of the run's end.
    coverage
        Summary of the coverage check, if that is what failed.
    """

    run_id: str
    job: str
    universe: str
    namespace: str
    at: datetime
    failed_steps: Mapping[str, str]
    message: str
    coverage: str | None

    @property
    def cause(self) -> str:
        """Why it failed, in one line: coverage, else the first step that failed, else what is noted of its end."""
        steps = [f"{step}: {cause}" for step, cause in self.failed_steps.items()]
        return " ".join((self.coverage or (steps[0] if steps else self.message)).split())


def run_alert(run: FailedRun) -> Alert:
    """What to say of a failed run: coverage is named where too few healthy symbols stopped it."""
    where = f"run {run.run_id} of {run.job}" + (f", namespace {run.namespace}" if run.namespace != LIVE else "")
    subject = f"{run.universe}: " if run.universe else ""
    if run.coverage is not None:
        return Alert(
            kind="coverage_failure",
            universe=run.universe,
            at=run.at,
            title=f"{subject}too few healthy symbols, nothing was retrained",
            details=f"{_quoted(run.coverage)}\nNo model changed. Mend the named feeds and launch again; see {where}.",
        )
    causes = "\n".join(f"{step}: {_quoted(cause)}" for step, cause in run.failed_steps.items()) or _quoted(run.message)
    # A run may fail after it has promoted or withdrawn something, as when only a page could not be written.
    serving = f"`toto-ops registry show {run.universe}` says what serves. " if run.universe else ""
    return Alert(
        kind="run_failure",
        universe=run.universe,
        at=run.at,
        title=f"{subject}{run.job} failed",
        details=f"{causes}\n{serving}Stack traces are in the Dagster UI: {where}.",
    )


def succession_alerts(diary: Iterable[RegistryEvent], after: int) -> tuple[tuple[int, Alert | None], ...]:
    """What to say of each finished diary entry after number `after`; None for one that is not worth an alert.

    Entries from the first unfinished one on are left for later: it may yet change what serves. A diary that ends before
    `after` is another one, of a registry that was made anew, and is told from its beginning.
    """
    entries = sorted(diary, key=lambda entry: entry.number)
    if entries and entries[-1].number < after:
        after = 0
    alerts: list[tuple[int, Alert | None]] = []
    for event in entries:
        if event.number <= after:
            continue
        if event.outcome == "begun":
            break
        alerts.append((event.number, _succession_alert(event)))
    return tuple(alerts)


def trial_alert(at: datetime) -> Alert:
    """What `toto-ops admin test-alert` sends."""
    return Alert(
        kind="test", universe="", at=at, title="A test: alerts arrive here", details="Nothing happened; no answer is needed."
    )


def _succession_alert(event: RegistryEvent) -> Alert | None:
    if event.outcome != "done":
        return None
    asked = f"Asked for by {event.by}: {_quoted(event.why)}"
    undo = f"`toto-ops registry show {event.universe}` says what serves and why."
    if event.kind == "promotion":
        instead = f"instead of version {event.instead_of}" if event.instead_of is not None else "as the first champion"
        title = f"{event.universe}: version {event.version} was promoted and serves {instead}"
        return Alert(kind="promotion", universe=event.universe, at=event.at, title=title, details=f"{asked}\n{undo}")
    if event.kind == "rollback":
        title = f"{event.universe}: version {event.instead_of} was withdrawn, version {event.version} serves"
        return Alert(kind="demotion", universe=event.universe, at=event.at, title=title, details=f"{asked}\n{undo}")
    return None


def _quoted(text: str) -> str:
    stripped = text.strip()
    return stripped if len(stripped) <= LONGEST_QUOTE else f"{stripped[:LONGEST_QUOTE]} … (cut here)"
