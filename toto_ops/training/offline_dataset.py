"""Offline datasets: what the teacher saw, did and how strongly, as arrays a pupil trains on.

One dataset holds the decisions of one symbol, in time order. It is stored as `.npz` without pickled objects, so that
reading a dataset can never run code.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from toto_ops.errors import InsufficientDataError, StorageError
from toto_ops.features.moments import to_utc64
from toto_ops.features.state import STATE_FEATURES, STATE_SCHEMA
from toto_ops.learning.splits import Span
from toto_ops.simulation.observation import Action

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class OfflineDataset:
    """`N` decisions as state, action and strength.

    Attributes
    ----------
    states
        `[N, 34]` float32, finite, in the order of `STATE_FEATURES`; raw, since the scaler belongs to the policy.
    actions
        `[N]` int64, each an `Action`.
    strengths
        `[N]` float32 in [0, 1].
    close_time
        `[N]` `datetime64[us]`, UTC: when each decision was taken. Increasing for one symbol.

    Raises
    ------
    ValueError
        If the arrays disagree in length, shape or range, or a state is not finite.
    """

    states: NDArray[np.float32]
    actions: NDArray[np.int64]
    strengths: NDArray[np.float32]
    close_time: NDArray[np.datetime64]

    def __post_init__(self) -> None:
        count = len(self.actions)
        expected = {"states": (count, len(STATE_FEATURES)), "actions": (count,), "strengths": (count,), "close_time": (count,)}
        found = {name: getattr(self, name).shape for name in expected}
        if found != expected:
            raise ValueError(f"an offline dataset of {count} decisions needs shapes {expected}, got {found}")
        if not np.isfinite(self.states).all():
            raise ValueError(f"{int((~np.isfinite(self.states)).any(axis=1).sum())} of {count} states are not finite")
        if not np.isin(self.actions, [int(action) for action in Action]).all():
            raise ValueError(f"actions must be one of {[f'{action.name}={int(action)}' for action in Action]}")
        if not ((self.strengths >= 0) & (self.strengths <= 1)).all():
            raise ValueError("strengths must lie in [0, 1]")

    def __len__(self) -> int:
        return len(self.actions)

    @classmethod
    def from_decisions(cls, decisions: pl.DataFrame) -> OfflineDataset:
        """Extract what a pupil needs from one symbol's decision history.

        Parameters
        ----------
        decisions
            As `analysts.decisions.record_decisions` writes it: `close_time`, the 34 state features, `action`,
            `strength`.
        """
        return cls(
            states=decisions.select(pl.col(name).cast(pl.Float32) for name in STATE_FEATURES)
            .to_numpy()
            .astype(np.float32, order="C"),
            actions=decisions["action"].cast(pl.Int64).to_numpy(),
            strengths=decisions["strength"].cast(pl.Float32).to_numpy(),
            close_time=_naive_utc(decisions["close_time"]),
        )

    def between(self, span: Span) -> OfflineDataset:
        """The decisions taken within `(span.after, span.until]`; possibly none."""
        keep = (self.close_time > to_utc64(span.after)) & (self.close_time <= to_utc64(span.until))
        return OfflineDataset(self.states[keep], self.actions[keep], self.strengths[keep], self.close_time[keep])

    def save(self, path: Path) -> None:
        """Write a compressed `.npz`; the file name must end so, since NumPy would append it otherwise."""
        if path.suffix != ".npz":
            raise StorageError("an offline dataset is stored as .npz", where=str(path), remedy="name the file <symbol>.npz")
        np.savez_compressed(
            path,
            schema_version=np.array(SCHEMA_VERSION),
            observation_schema=np.array(STATE_SCHEMA),
            states=self.states,
            actions=self.actions,
            strengths=self.strengths,
            close_time=self.close_time.astype("datetime64[us]").astype(np.int64),
        )

    @classmethod
    def load(cls, path: Path) -> OfflineDataset:
        """Read what `save` wrote, never unpickling anything.

        Raises
        ------
        StorageError
            If the file is unreadable, holds objects, or was written for another schema.
        """
        arrays = _read_arrays(path)
        missing = {"schema_version", "observation_schema", "states", "actions", "strengths", "close_time"} - arrays.keys()
        if missing:
            raise StorageError(f"lacks {sorted(missing)}", where=str(path), remedy="rematerialise `offline_dataset`")
        version, schema = int(arrays["schema_version"]), str(arrays["observation_schema"])
        if version != SCHEMA_VERSION or schema != STATE_SCHEMA:
            raise StorageError(
                f"was written with schema {version}, states {schema!r}; this release reads {SCHEMA_VERSION}, {STATE_SCHEMA!r}",
                where=str(path),
                remedy="rematerialise `offline_dataset`",
            )
        return cls(
            states=arrays["states"].astype(np.float32),
            actions=arrays["actions"].astype(np.int64),
            strengths=arrays["strengths"].astype(np.float32),
            close_time=arrays["close_time"].astype(np.int64).astype("datetime64[us]"),
        )


def action_distribution(datasets: Iterable[OfflineDataset]) -> dict[Action, float]:
    """Share of each action over all decisions of the given datasets; the shares sum to 1.

    Raises
    ------
    InsufficientDataError
        If there is no decision at all.
    """
    counts = np.zeros(len(Action), dtype=np.int64)
    for dataset in datasets:
        counts += np.bincount(dataset.actions, minlength=len(Action))
    if counts.sum() == 0:
        raise InsufficientDataError("there are no decisions to describe", remedy="run the ensemble over a longer span")
    return {action: float(counts[action] / counts.sum()) for action in Action}


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as stream, np.lib.npyio.NpzFile(stream, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise StorageError(
            f"is not an offline dataset ({error})", where=str(path), remedy="rematerialise `offline_dataset`"
        ) from error


def _naive_utc(moments: pl.Series) -> NDArray[np.datetime64]:
    return (
        moments.dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(pl.Datetime("us")).to_numpy().astype("datetime64[us]")
    )
