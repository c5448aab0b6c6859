"""Read any policy this release can make: importing their modules is what makes their kinds known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toto_ops.policies.contract import Policy, PolicyManifest


def read_policy(folder: Path) -> tuple[Policy, PolicyManifest]:
    """Load a stored policy of whatever kind.

    Raises
    ------
    StorageError
        If the folder holds no policy this release knows.
    """
    import toto_ops.analysts.ensemble
    import toto_ops.policies.cloned  # noqa: F401
    from toto_ops.policies.contract import load_policy

    return load_policy(folder)
