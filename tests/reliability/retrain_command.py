"""`toto-ops retrain` as a user starts it: a process of its own, followed through what it prints, and killed."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Self

from tests.reliability.planted_home import UNIVERSE, PlantedHome, Scenario

POLL_SECONDS = 0.01
PATIENCE_SECONDS = 300.0


class Scope(StrEnum):
    """What a kill ends."""

    GROUP = "group"
    """The command and everything it started, as when a container ends."""
    LAUNCHER = "launcher"
    """The command alone; its steps go on as orphans, as after the out-of-memory killer chose it."""


class RetrainCommand:
    """One `toto-ops retrain` in its own process group.

    Parameters
    ----------
    log
        File its output goes to; a pipe would be held open by whatever outlives it.
    """

    def __init__(self, planted: PlantedHome, scenario: Scenario, log: Path) -> None:
        self._log = log
        program = Path(sys.executable).with_name("toto-ops")
        arguments = [str(program), "retrain", UNIVERSE, "--as-of", f"{planted.as_of(scenario):%Y-%m-%dT%H:%M:%S}"]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                arguments, stdout=output, stderr=subprocess.STDOUT, env=planted.environment(), start_new_session=True
            )
        self.started_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.running:  # whoever follows it was interrupted
            self.kill(Scope.GROUP)

    @property
    def elapsed(self) -> float:
        """Seconds since it started."""
        return time.monotonic() - self.started_at

    @property
    def output(self) -> str:
        return self._log.read_text()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def says(self, status: str, step: str) -> bool:
        """Whether it has reported this of a step."""
        return [status, step] in (line.split() for line in self.output.splitlines())

    def steps_under_way(self) -> tuple[str, ...]:
        """Steps it has reported started and not ended."""
        lines = [line.split() for line in self.output.splitlines()]
        started = [words[1] for words in lines if len(words) == 2 and words[0] == "started"]
        return tuple(step for step in started if not any([end, step] in lines for end in ("succeeded", "failed", "skipped")))

    def kill(self, scope: Scope) -> None:
        """Send SIGKILL, which nothing can catch."""
        if scope is Scope.LAUNCHER:
            self._process.kill()
        else:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def exit_code(self) -> int:
        """Of the ended process.

        Raises
        ------
        TimeoutError
            If it does not end; it is killed then.
        """
        left = PATIENCE_SECONDS - self.elapsed
        try:
            return self._process.wait(max(left, 0.0))
        except subprocess.TimeoutExpired as expired:
            self.kill(Scope.GROUP)
            raise TimeoutError(f"`toto-ops retrain` did not end within {PATIENCE_SECONDS:.0f} s:\n{self.output}") from expired


def diary_entries(planted: PlantedHome) -> int:
    """How many attempts to change what serves are noted in the registry, read without disturbing it."""
    try:
        with closing(sqlite3.connect(f"file:{planted.root / 'mlflow.db'}?mode=ro", uri=True, timeout=0)) as database:
            query = "SELECT count(*) FROM registered_model_tags WHERE key LIKE 'toto.event.%'"
            return int(database.execute(query).fetchone()[0])
    except sqlite3.OperationalError:  # not there yet, or being written this moment: the next look will tell
        return 0
