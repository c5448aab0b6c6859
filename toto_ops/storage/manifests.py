"""Manifests: the versioned JSON document beside the files of an artefact, read back or refused in one way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from toto_ops.configuration import VersionedModel, in_words
from toto_ops.errors import StorageError

ManifestT = TypeVar("ManifestT", bound=VersionedModel)


def stored_manifest(path: Path, model: type[ManifestT], what: str, remedy: str) -> ManifestT:
    """A stored manifest, of this schema version or an earlier one that is still read.

    Parameters
    ----------
    what
        What the folder should hold, for the error: `forecaster`.

    Raises
    ------
    StorageError
        If it is missing, no JSON, or not what it should be.
    """
    try:
        return model.stored(json.loads(path.read_text()))
    except ValidationError as error:
        raise StorageError(f"holds no readable {what} ({in_words(error)})", where=str(path), remedy=remedy) from error
    except (OSError, ValueError) as error:
        raise StorageError(f"holds no readable {what} ({error})", where=str(path), remedy=remedy) from error
