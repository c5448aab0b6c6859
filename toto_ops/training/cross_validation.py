"""Folds of cross-validation: what is trained on and what is tested on, purged and embargoed, never the test span.

All folds lie within train and validation of the universe. Walk-forward folds are cut like the universe's own splits, one
after the other, and every policy is older than the bars it is tested on. Combinatorial purged folds (Lopez de Prado, 2018,
"Advances in financial machine learning", chapters 7 and 12) leave out every choice of some blocks; their policies have seen
the future of what they are tested on, which makes many paths through the same history: a measure of how much luck is in one
path, never a track record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from math import comb
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from toto_ops.configuration import StrictModel
from toto_ops.errors import InsufficientDataError
from toto_ops.features.moments import to_aware, to_utc64
from toto_ops.features.panel import Panel
from toto_ops.learning.splits import Span, SplitConfig, Splits, make_splits
from toto_ops.storage.hashing import value_hash
from toto_ops.training.line import TrainingInputs
from toto_ops.training.offline_dataset import OfflineDataset

Times = NDArray[np.datetime64]

MOST_COMBINATIONS = 100
"""Folds a combinatorial scheme may come to, each of which is trained: they grow with the square of its blocks and faster."""

_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Ground:
    """What folds are cut from.

    Attributes
    ----------
    close_time
        `[T]` closes of the panel, increasing.
    splits, config
        Of the universe.
    known_until
        Latest close that influenced what the line learns from, such as its teacher; None where nothing was fitted.
    """

    close_time: Times
    splits: Splits
    config: SplitConfig
    known_until: datetime | None = None

    @property
    def closes(self) -> Times:
        """Closes of train and validation alone: cross-validation is blind to the test span."""
        return self.close_time[self.close_time <= to_utc64(self.splits.validation.until)]

    @property
    def validation_share(self) -> float:
        """Of the bars before the test span."""
        return self.config.validation / (self.config.train + self.config.validation)


class Block(StrictModel):
    """Bars a fold is tested on, and the path through history they are part of."""

    path: int
    span: Span


class Fold(StrictModel):
    """One training and what its policy is tested on.

    Attributes
    ----------
    splits
        What the trainer is told: `train` from the first to the last bar trained on, `validation` for early stopping and the
        choice of the seed, `test` the first bars it may know nothing of.
    blocks
        What the policy is tested on.
    left_out
        Spans between the first bar of train and the last of validation that the trainer is not given: blocks of the test
        with the bars purged and embargoed around them.
    """

    number: int
    splits: Splits
    blocks: tuple[Block, ...]
    left_out: tuple[Span, ...] = ()


class WalkForward(StrictModel):
    """Train on everything up to a moment, test on the block that follows, move on."""

    scheme: Literal["walk-forward"] = "walk-forward"
    folds: int = Field(default=5, ge=1, description="test blocks, one after the other")
    initial_share: float = Field(default=0.5, gt=0, lt=1, description="share of the bars that is only ever trained on")

    knows_the_future: ClassVar[bool] = False

    def split(self, ground: Ground) -> tuple[Fold, ...]:
        """Cut the folds of a universe.

        Blocks begin after everything that the line's teacher knows. The bars before each are divided between train and
        validation in the universe's proportion, with its purge at the end of the earlier span and its embargo at the
        beginning of the later one, at both boundaries (`make_splits`).

        Raises
        ------
        InsufficientDataError
            If the bars do not suffice for so many folds.
        """
        closes = ground.closes
        first = int(np.ceil(self.initial_share * len(closes)))
        if ground.known_until is not None:
            first = max(first, int(np.searchsorted(closes, to_utc64(ground.known_until), side="right")))
        blocks = np.array_split(np.arange(first, len(closes)), self.folds)
        if any(len(rows) < 2 for rows in blocks):
            raise InsufficientDataError(
                f"there are too few bars that nobody knows ({len(closes) - first}) for so many folds ({self.folds})",
                remedy="ask for fewer folds, or add history",
            )
        (start,) = to_aware(closes[:1])
        folds = []
        for number, rows in enumerate(blocks):
            (boundary,) = to_aware(closes[rows[0] - 1 : rows[0]])
            windows = {"train_until": boundary - (boundary - start) * ground.validation_share, "validation_until": boundary}
            cut = make_splits(closes[: rows[-1] + 1], ground.config.model_copy(update=windows))
            folds.append(Fold(number=number, splits=cut, blocks=(Block(path=0, span=cut.test),)))
        return tuple(folds)


class CombinatorialPurged(StrictModel):
    """Cut the bars into blocks and test on every choice of some of them, training on the others."""

    scheme: Literal["combinatorial"] = "combinatorial"
    folds: int = Field(default=6, ge=3, description="blocks of bars")
    test_folds: int = Field(default=2, ge=2, description="blocks left out at a time")

    knows_the_future: ClassVar[bool] = True

    @property
    def combinations(self) -> int:
        """Folds it comes to: choices of the blocks left out."""
        return comb(self.folds, self.test_folds)

    def split(self, ground: Ground) -> tuple[Fold, ...]:
        """Cut the folds of a universe, by the combinatorial purged cross-validation of skfolio.

        Around every tested block, `horizon_bars` are purged on either side and another `embargo_bars` left out after it.
        Validation is the end of the last stretch of bars that remain, again purged before and embargoed after its beginning.

        Raises
        ------
        InsufficientDataError
            If the bars do not suffice for so many folds.
        """
        from skfolio.model_selection import CombinatorialPurgedCV

        bars = len(ground.closes)
        try:
            cutter = CombinatorialPurgedCV(
                n_folds=self.folds,
                n_test_folds=self.test_folds,
                purged_size=ground.config.horizon_bars,
                embargo_size=ground.config.embargo_bars,
            )
            cuts = list(cutter.split(np.zeros((bars, 1))))
        except ValueError as error:
            raise InsufficientDataError(f"{bars} bars: {error}", remedy="ask for fewer folds, or add history") from error
        paths = cutter.get_path_ids()
        return tuple(
            _purged_fold(number, ground, train, [*zip(paths[number].tolist(), tested, strict=True)])
            for number, (train, tested) in enumerate(cuts)
        )


Scheme = WalkForward | CombinatorialPurged


class CrossValidationConfig(StrictModel):
    """How a line is cross-validated: a combinatorial scheme may come to `MOST_COMBINATIONS` folds, 14 blocks two at a time."""

    scheme: Scheme = Field(default=WalkForward(), discriminator="scheme")

    # Asked of what is to be run, never of a scheme that a stored document names.
    @field_validator("scheme")
    @classmethod
    def _affordable(cls, scheme: Scheme) -> Scheme:
        if isinstance(scheme, CombinatorialPurged) and scheme.combinations > MOST_COMBINATIONS:
            left_out = scheme.test_folds
            fits = next(blocks for blocks in count(left_out) if comb(blocks + 1, left_out) > MOST_COMBINATIONS)
            raise ValueError(
                f"{scheme.folds} blocks, {left_out} left out at a time, make {scheme.combinations:,} folds to train, and at "
                f"most {MOST_COMBINATIONS} are: give `folds` of up to {fits}"
            )
        return scheme


def fold_inputs(inputs: TrainingInputs, fold: Fold) -> TrainingInputs:
    """What the trainer of one fold is given: nothing after its validation, nothing of what was left out.

    Decisions taken in bars left out are removed. In the panel those bars stay in their place, so that time runs on, but
    nothing can be seen, decided or filled in them.
    """
    known = Span(after=fold.splits.train.after, until=fold.splits.validation.until)
    return replace(
        inputs,
        panel=fold_panel(inputs.panel, fold),
        datasets={symbol: _without(dataset.between(known), fold.left_out) for symbol, dataset in inputs.datasets.items()},
        splits=fold.splits,
        inputs_hash=value_hash([inputs.inputs_hash, fold]),
    )


def fold_panel(panel: Panel, fold: Fold) -> Panel:
    """The bars the trainer of a fold sees: nothing after its validation, and nothing to be seen or done where it was left out."""
    return _blanked(panel.between(fold.splits.train.after, fold.splits.validation.until), fold.left_out)


def fold_closes(close_time: Times, fold: Fold) -> Times:
    """Closes of the bars the trainer of a fold is given: of train and validation, without what was left out.

    Shares of a train span are shares of these: in a combinatorial fold the whole first half of the span may be left out.
    """
    known = Span(after=fold.splits.train.after, until=fold.splits.validation.until)
    return close_time[_inside(close_time, [known]) & ~_inside(close_time, fold.left_out)]


def _purged_fold(number: int, ground: Ground, train: NDArray[np.int64], tested: Sequence[tuple[int, NDArray[np.int64]]]) -> Fold:
    """One choice of tested blocks, from the rows that remain to train on and each block's path and rows."""
    closes, config = ground.closes, ground.config
    last_run = np.split(train, np.flatnonzero(np.diff(train) > 1) + 1)[-1]
    validation = last_run[-min(round(len(train) * ground.validation_share), len(last_run)) :]
    fitted = train[train < validation[0] - config.horizon_bars]
    judged = validation[config.embargo_bars :]
    if not fitted.size or judged.size < 2:
        raise InsufficientDataError(
            f"fold {number}: purge and embargo leave too few bars ({fitted.size} to train on, {judged.size} to validate on)",
            remedy="ask for fewer folds, or add history",
        )
    given = np.zeros(validation[-1] + 1, dtype=bool)
    given[fitted], given[judged] = True, True
    train_span, validation_span = _span(closes, 0, fitted[-1]), _span(closes, judged[0], judged[-1])
    return Fold(
        number=number,
        splits=Splits(train=train_span, validation=validation_span, test=ground.splits.test),
        blocks=tuple(Block(path=path, span=_span(closes, rows[0], rows[-1])) for path, rows in tested),
        left_out=tuple(_span(closes, rows[0], rows[-1]) for rows in _runs(np.flatnonzero(~given))),
    )


def _runs(rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Stretches of consecutive rows."""
    return np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if rows.size else []


def _span(closes: Times, first: int, last: int) -> Span:
    """The span of rows `first` to `last`, both included."""
    after, until = to_aware(closes[[max(first - 1, 0), last]])
    return Span(after=after if first > 0 else after - _MOMENT, until=until)


def _inside(moments: Times, spans: Sequence[Span]) -> NDArray[np.bool_]:
    """Which moments lie in any of the spans."""
    inside = np.zeros(len(moments), dtype=bool)
    for span in spans:
        inside |= (moments > to_utc64(span.after)) & (moments <= to_utc64(span.until))
    return inside


def _without(dataset: OfflineDataset, spans: Sequence[Span]) -> OfflineDataset:
    keep = ~_inside(dataset.close_time, spans)
    return OfflineDataset(dataset.states[keep], dataset.actions[keep], dataset.strengths[keep], dataset.close_time[keep])


def _blanked(panel: Panel, spans: Sequence[Span]) -> Panel:
    """The panel with nothing to be seen or done at rows that close in one of the spans."""
    gone = _inside(panel.close_time, spans)
    if not gone.any():
        return panel

    def blank(values: NDArray[Any], value: float) -> NDArray[Any]:
        return np.where(gone.reshape(-1, *(1,) * (values.ndim - 1)), np.asarray(value, dtype=values.dtype), values)

    return replace(
        panel,
        features=blank(panel.features, 0.0),
        mask=panel.mask & ~gone[:, None],
        tradable=panel.tradable & ~gone[:, None],
        open=blank(panel.open, np.nan),
        close=blank(panel.close, np.nan),
        context=blank(panel.context, 0.0),
        volatility=blank(panel.volatility, np.nan),
        traded_value=blank(panel.traded_value, np.nan),
        forecast=blank(panel.forecast, 0.0),
        embedding=blank(panel.embedding, 0.0),
    )
