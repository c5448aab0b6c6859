"""The steps of a run as they happen: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from toto_ops.cli.console import OUT

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from deploy.execution import StepEvent
    from toto_ops.universes import Universe


class StepDisplay:
    """Shows the steps of one run."""

    def __init__(self, universe: Universe) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description:<32}"),
            BarColumn(),
            TextColumn("{task.completed} steps"),
            TimeElapsedColumn(),
        )
        self._progress: Progress = Progress(*columns, console=OUT, transient=True)
        self._prefix = f"{universe.name}__"
        self._interactive = sys.stdout.isatty()
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._interactive:
            self._progress.start()
            self._task = self._progress.add_task("starting Dagster", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._interactive:
            self._progress.stop()

    def show(self, event: StepEvent) -> None:
        step = event.step.removeprefix(self._prefix)
        if not self._interactive:
            OUT.print(f"  {event.status:<9} {step}", highlight=False)
        elif self._task is not None:
            advance = 1 if event.status == "succeeded" else 0
            self._progress.update(self._task, description=f"{step} {event.status}", advance=advance)


def unseen(_event: StepEvent) -> None:
    """For output as JSON."""
