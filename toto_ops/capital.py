"""Money an account may begin with, wherever it is said: a configuration file, a command line, a launchpad, or code."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from toto_ops.errors import ConfigError

LEAST_CAPITAL = 1e-6
MOST_CAPITAL = 1e15
"""In between, float64 tells more than an eighth of a unit of money apart, and squares of money fit float32."""

Capital = Annotated[float, Field(ge=LEAST_CAPITAL, le=MOST_CAPITAL, allow_inf_nan=False)]
"""Money an account may begin with."""


def checked_capital(money: float) -> float:
    """Money an account may begin with, or a refusal: where no configuration model stands in between.

    Raises
    ------
    ConfigError
        If it is not a number, or outside `LEAST_CAPITAL` to `MOST_CAPITAL`.
    """
    if not LEAST_CAPITAL <= money <= MOST_CAPITAL:
        raise ConfigError(
            f"no account begins with a capital of {money:g}",
            where="initial capital",
            remedy=f"give money from {LEAST_CAPITAL:g} to {MOST_CAPITAL:g}",
        )
    return money
