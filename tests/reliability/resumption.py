"""Whether a training went on from its checkpoint, seen from the checkpoints it wrote.

A checkpoint says how many epochs it comes after. One that goes on writes only higher numbers than it found; one that
began anew writes a 1 first.
"""

from dataclasses import dataclass, field
from pathlib import Path

from safetensors import safe_open

from tests.reliability.planted_home import LONGER_TRAINING, UNIVERSE, PlantedHome
from toto_ops.learning.epochs import Progress
from toto_ops.storage.store import LIVE
from toto_ops.training.bc_fit import EpochScores


@dataclass
class CheckpointWatch:
    """Every checkpoint the training wrote, from the moment it is asked to look."""

    planted: PlantedHome
    known: frozenset[Path] = field(init=False)
    """Checkpoints of earlier retrainings, which are nobody's concern here."""
    epochs: list[int] = field(default_factory=list)
    """Epochs behind each checkpoint seen, in the order they were written."""
    _last: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self.known = frozenset(self._paths())

    def look(self) -> None:
        """Note the checkpoint if it is a new one."""
        for path in set(self._paths()) - self.known:
            stat = path.stat()
            if (stat.st_ino, stat.st_mtime_ns) != self._last:
                self._last = (stat.st_ino, stat.st_mtime_ns)
                self.epochs.append(_epochs(path))

    def _paths(self) -> list[Path]:
        return list((self.planted.root / "checkpoints" / LIVE / UNIVERSE / "bc").glob("*/seed-0/last.safetensors"))


def _epochs(path: Path) -> int:
    with safe_open(path, framework="numpy") as checkpoint:
        return len(Progress[EpochScores].model_validate_json(checkpoint.metadata()["progress"]).epochs)


@dataclass(frozen=True)
class Resumption:
    """What the next retraining made of what it found.

    Attributes
    ----------
    found
        Epochs behind the checkpoint it found; 0 where there was none.
    written
        Epochs behind each checkpoint it wrote.
    """

    found: int
    written: tuple[int, ...]

    @property
    def resumable(self) -> bool:
        """Whether there was a training to go on with."""
        return 0 < self.found < LONGER_TRAINING["epochs"] and bool(self.written)

    @property
    def resumed(self) -> bool:
        return self.resumable and min(self.written) > self.found

    @property
    def in_words(self) -> str:
        if self.resumable:
            return f"after epoch {self.found}" if self.resumed else f"anew, though {self.found} epochs were done"
        return "from the first epoch" if self.written else "was done already"
