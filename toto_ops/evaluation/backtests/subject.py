"""One policy to backtest, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from toto_ops.policies.contract import Policy, PolicyManifest


@dataclass(frozen=True)
class Subject:
    """One policy to backtest.

    Attributes
    ----------
    name
        What the report calls it.
    origin
        Which version or file it is, in words.
    selected_until
        End of the test span its promotion was decided on: up to there its figures flatter it, though it learned nothing
        from these bars. None where nothing was decided.
    """

    name: str
    origin: str
    policy: Policy
    manifest: PolicyManifest
    selected_until: datetime | None = None
