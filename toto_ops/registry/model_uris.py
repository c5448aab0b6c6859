"""Model URIs as MLflow writes them, `models:/<name>@<alias>` and `models:/<name>/<version>`, for models of this project."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from toto_ops.errors import ConfigError, StorageError
from toto_ops.registry.models import ModelRegistry
from toto_ops.registry.versions import RegisteredVersion

_SCHEME = "models:/"
_PATTERN = re.compile(r"models:/(?P<name>[A-Za-z0-9._-]{1,128})(?:@(?P<alias>[a-z]{1,32})|/(?P<version>[1-9][0-9]{0,8}))")


@dataclass(frozen=True)
class ModelUri:
    """Which version of which registered model: by alias or by number, exactly one of which is given."""

    name: str
    alias: str | None = None
    version: int | None = None

    @classmethod
    def parse(cls, text: str) -> ModelUri:
        """Read a URI.

        Raises
        ------
        ConfigError
            If it is of another form: paths, runs and models of other stores are not read.

        Examples
        --------
        >>> ModelUri.parse("models:/toto-stocks@champion")
        ModelUri(name='toto-stocks', alias='champion', version=None)
        >>> ModelUri.parse("models:/toto-stocks-bc/3").version
        3
        """
        found = _PATTERN.fullmatch(text)
        if found is None:
            raise ConfigError(
                f"{text!r} does not name a registered model",
                remedy=f"write {_SCHEME}<name>@<alias>, such as {_SCHEME}toto-stocks@champion, or {_SCHEME}<name>/<version>",
            )
        number = found["version"]
        return cls(found["name"], found["alias"], None if number is None else int(number))

    def __str__(self) -> str:
        return f"{_SCHEME}{self.name}" + (f"@{self.alias}" if self.alias else f"/{self.version}")


def version_at(registry: ModelRegistry, universe: str, lines: Sequence[str], uri: ModelUri) -> RegisteredVersion:
    """The version a URI names, if it is one of a universe's own models.

    Parameters
    ----------
    lines
        Lines that may have a registered model.

    Raises
    ------
    ConfigError
        If the model is not one of this universe in this registry.
    StorageError
        If there is no such version, or nothing has the alias.
    """
    names = (registry.serving_name(universe), *(registry.line_name(universe, line) for line in lines))
    if uri.name not in names:
        raise ConfigError(
            f"{uri.name} is not a model of universe {universe}", where=str(uri), remedy=f"choose one of {', '.join(names)}"
        )
    number = uri.version
    if uri.alias is not None:
        aliases = registry.aliases(uri.name)
        number = aliases.get(uri.alias)
        if number is None:
            known = ", ".join(sorted(aliases)) or "none so far"
            raise StorageError(
                f"no version has the alias {uri.alias}; there are: {known}",
                where=uri.name,
                remedy="name one of these or a version (see `toto-ops registry list`), or retrain first",
            )
    if number is None:
        raise ValueError("a model URI names an alias or a version")
    return registry.version(uri.name, number)
