"""What long work tells of itself while it runs: one line at each thing that begins."""

from __future__ import annotations

from collections.abc import Callable

Note = Callable[[str], None]
"""Is told of what begins."""


def unheard(_told: str) -> None:
    """For those whom nobody watches."""
