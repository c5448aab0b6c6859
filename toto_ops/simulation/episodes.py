"""Episodes: where in a panel an account begins, and for how long it trades."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from toto_ops.errors import InsufficientDataError


@dataclass(frozen=True)
class Episodes:
    """How accounts are spread over the rows of a panel.

    Attributes
    ----------
    length
        Steps of an episode, which begins at a random row; None: every episode is the whole span.
    """

    length: int | None = None

    def __post_init__(self) -> None:
        if self.length is not None and self.length < 1:
            raise ValueError(f"an episode has at least one step, got {self.length}")

    def steps(self, rows: int) -> int:
        """Steps of an episode in a panel of `rows` bars: from the close of one row to that of a later one.

        Raises
        ------
        InsufficientDataError
            If the panel is too short for one.
        """
        needed = 1 if self.length is None else self.length
        if rows <= needed:
            raise InsufficientDataError(
                f"{rows} bars are too few for an episode of {needed} steps",
                remedy=f"give at least {needed + 1} bars, or shorter episodes",
            )
        return rows - 1 if self.length is None else self.length

    def starts(self, count: int, rows: int, generator: torch.Generator) -> Tensor:
        """`[count]` int64 rows at whose closes episodes begin, each equally likely."""
        return torch.randint(rows - self.steps(rows), (count,), generator=generator)


WHOLE_SPAN = Episodes()
"""Every episode from the first close of the panel to the last."""
