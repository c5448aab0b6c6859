"""One registered model in memory, with the calls of MLflow's client that the registry makes: fast enough to fail often."""

import copy
from dataclasses import dataclass
from types import SimpleNamespace

from mlflow import MlflowClient
from mlflow.store.entities import PagedList


@dataclass
class MemoryClient:
    """A registered model with its versions, aliases and tags."""

    name: str
    tags: dict[str, str]
    aliases: dict[str, str]
    versions: dict[str, SimpleNamespace]

    @classmethod
    def of(cls, client: MlflowClient, name: str) -> "MemoryClient":
        """What a real client says of a registered model."""
        model = client.get_registered_model(name)
        versions = {
            stored.version: SimpleNamespace(
                name=name,
                version=stored.version,
                tags=dict(stored.tags),
                source=stored.source,
                run_id=stored.run_id,
                creation_timestamp=stored.creation_timestamp,
            )
            for stored in client.search_model_versions(f"name = '{name}'")
        }
        return cls(name, dict(model.tags), dict(model.aliases), {str(number): version for number, version in versions.items()})

    def copy(self) -> "MemoryClient":
        return copy.deepcopy(self)

    def get_registered_model(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(name=name, tags=dict(self.tags), aliases=dict(self.aliases))

    def get_model_version(self, name: str, version: str) -> SimpleNamespace:
        stored = copy.deepcopy(self.versions[version])
        return SimpleNamespace(**vars(stored), aliases=[alias for alias, number in self.aliases.items() if number == version])

    def search_model_versions(self, query: str, max_results: int, page_token: str | None) -> PagedList:
        return PagedList([copy.deepcopy(version) for version in self.versions.values()], None)

    def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        self.tags[key] = value

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        self.aliases[alias] = version

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        del self.aliases[alias]

    def set_model_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        self.versions[version].tags[key] = value

    def delete_model_version_tag(self, name: str, version: str, key: str) -> None:
        del self.versions[version].tags[key]
