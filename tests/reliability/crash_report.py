"""What the kills came to: typed, as a table in the terminal, and as figures in a page of the docs."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.reliability.kills import Target
from tests.reliability.planted_home import Scenario
from tests.reliability.retrain_command import Scope
from toto_ops.configuration import StrictModel

BEGIN, END = "<!-- figures of `make crash`: begin -->", "<!-- figures of `make crash`: end -->"

COLUMNS = ("kill", "served", "aimed at", "killed", "after s", "steps under way", "training next time", "next took s", "faults")

WIDTH_OF_A_LOG = 160


class Trial(StrictModel):
    """One kill and the retraining after it.

    Attributes
    ----------
    killed_after_s
        Seconds from the start of the command to its kill.
    during
        Steps that had reported their start and not their end.
    resumable, resumed, training
        Whether the next retraining found a checkpoint of an unfinished training, whether it went on from there, and
        that in words.
    recovered_in_s
        Seconds the next retraining took.
    harmed
        What was not as it must be right after the kill.
    unrecovered
        What was not as it must be after the next retraining.
    """

    number: int
    scenario: Scenario
    target: Target
    scope: Scope
    killed_after_s: float
    during: str
    resumable: bool
    resumed: bool
    training: str
    recovered_in_s: float
    harmed: tuple[str, ...]
    unrecovered: tuple[str, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """Everything that went wrong, a training that began anew included."""
        restarted = (f"training went on {self.training}",) if self.resumable and not self.resumed else ()
        return (*self.harmed, *self.unrecovered, *restarted)

    @property
    def line(self) -> str:
        """One line for whoever waits."""
        what = f"{self.number:>3} {self.scenario} {self.target}: {self.scope} killed after {self.killed_after_s:.1f} s"
        went = "; ".join(self.faults) or f"recovered in {self.recovered_in_s:.0f} s"
        return f"{what} ({self.during}), training {self.training}: {went}"


class CrashReport(StrictModel):
    """Every kill of one run."""

    seed: int
    asked_for: int
    trials: tuple[Trial, ...]

    @property
    def passed(self) -> bool:
        """Whether as many kills as asked for happened, and none left a fault."""
        return len(self.trials) >= self.asked_for and not any(trial.faults for trial in self.trials)


def figures(report: CrashReport) -> list[tuple[str, str, str]]:
    """What was required and what was measured: rows of name, required, measured."""
    trials = report.trials
    resumable = [trial for trial in trials if trial.resumable]
    seconds = [trial.recovered_in_s for trial in trials]
    return [
        ("retrainings killed", f"{report.asked_for}", f"{len(trials)}"),
        *((f"of those during {target}", "", _count(trials, target=target)) for target in Target),
        ("of those with the launcher alone killed", "", _count(trials, scope=Scope.LAUNCHER)),
        ("of those with a champion to lose", "", _count(trials, scenario=Scenario.SUCCESSOR)),
        ("kills that harmed something visible", "0", f"{sum(bool(trial.harmed) for trial in trials)}"),
        ("next retrainings that needed help, or ended elsewhere", "0", f"{sum(bool(trial.unrecovered) for trial in trials)}"),
        ("trainings cut short that went on from their checkpoint", f"{len(resumable)}", f"{sum(t.resumed for t in resumable)}"),
        ("seconds the next retraining took, median", "", f"{statistics.median(seconds):.0f}" if seconds else "-"),
    ]


def print_report(report: CrashReport) -> None:
    """Print the table of kills and the figures."""
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH_OF_A_LOG
    shown = Table(title=f"kills, seed {report.seed}", title_justify="left")
    for column in (
        "kill",
        "serves before",
        "aimed at",
        "killed",
        "after s",
        "steps under way",
        "training",
        "next took s",
        "faults",
    ):
        shown.add_column(column, overflow="fold")
    for trial in report.trials:
        shown.add_row(*_cells(trial))
    console.print(shown)
    for name, required, measured in figures(report):
        console.print(f"{name}: {measured}" + (f" (required: {required})" if required else ""), highlight=False)


def write_into_page(report: CrashReport, page: Path) -> None:
    """Replace the figures between the page's two marks.

    Raises
    ------
    ValueError
        If the page has no such marks.
    """
    text = page.read_text()
    if BEGIN not in text or END not in text:
        raise ValueError(f"{page} has no place for the figures: put {BEGIN} and {END} into it")
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    page.write_text(f"{head}{BEGIN}\n{_markdown(report)}\n{END}{tail}")


def _markdown(report: CrashReport) -> str:
    rows = [f"| {name} | {required or '-'} | {measured} |" for name, required, measured in figures(report)]
    kills = [f"| {' | '.join(_cells(trial))} |" for trial in report.trials]
    return "\n".join(
        [
            "| figure | required | measured |",
            "|---|---|---|",
            *rows,
            "",
            f"Every kill (seed {report.seed}):",
            "",
            f"| {' | '.join(COLUMNS)} |",
            "|---" * len(COLUMNS) + "|",
            *kills,
        ]
    )


def _cells(trial: Trial) -> tuple[str, ...]:
    return (
        str(trial.number),
        "champion" if trial.scenario is Scenario.SUCCESSOR else "nothing",
        trial.target,
        trial.scope,
        f"{trial.killed_after_s:.1f}",
        trial.during,
        trial.training,
        f"{trial.recovered_in_s:.0f}",
        "; ".join(trial.faults) or "none",
    )


def _count(trials: Sequence[Trial], **wanted: str) -> str:
    return str(sum(all(getattr(trial, name) == value for name, value in wanted.items()) for trial in trials))
