"""The lineage page: for one version, the data, code and tests it came from, what it replaced, and how to put that back.

One self-contained HTML page per version that serves or served. Nothing in it changes unless the version's standing does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from toto_ops.evaluation.judgement.evidence import Evidence
from toto_ops.market.snapshot import Snapshot
from toto_ops.policies.contract import PolicyManifest
from toto_ops.registry.links import MlflowInterface, artifact_route, run_route, version_route
from toto_ops.registry.standing import Standing
from toto_ops.storage.hashing import folder_hash, value_hash
from toto_ops.storage.store import LIVE, ArtefactRef

LINEAGE_FILE = "lineage.html"

_FOLDER = Path(__file__).parent
_TEMPLATE = "lineage.html.jinja"
_COMMIT = re.compile(r"([0-9a-f]{40})(-dirty)?")


@dataclass(frozen=True)
class RetrainingRecord:
    """What the store holds of the retraining a version came from.

    Attributes
    ----------
    config_hash
        Of every setting that influenced it.
    sources
        Symbol to hash of what its source held.
    code_versions
        Step to declared version.
    artefacts
        Everything it made or reused.
    configuration
        The settings themselves; None where the release of that time did not keep them.
    evidence
        The judgement of its challenger.
    """

    snapshot: Snapshot
    config_hash: str
    sources: Mapping[str, str]
    code_versions: Mapping[str, str]
    artefacts: tuple[ArtefactRef, ...]
    configuration: Mapping[str, Any] | None
    evidence: Evidence | None


@dataclass(frozen=True)
class Lineage:
    """All that the page of one version says.

    Attributes
    ----------
    evidence
        What the version was judged by; None for the fallback, which needs none to serve.
    record
        None where the store no longer holds the retraining.
    """

    namespace: str
    standing: Standing
    manifest: PolicyManifest
    evidence: Evidence | None
    record: RetrainingRecord | None

    @property
    def live(self) -> bool:
        """Whether anything of this namespace can serve."""
        return self.namespace == LIVE

    @property
    def judgement(self) -> Evidence | None:
        """The judgement the version stood in: its own, or the one it was shown in beside its retraining's challenger."""
        return self.evidence or (self.record.evidence if self.record else None)

    @property
    def checkout(self) -> str | None:
        """Commit to check out; None where the code was not in a git checkout."""
        commit = _COMMIT.fullmatch(self.revision)
        return commit[1] if commit else None

    @property
    def uncommitted(self) -> bool:
        """Whether the checkout had changes its commit does not show."""
        return self.revision.endswith("-dirty")

    @property
    def revision(self) -> str:
        """Git revision as noted when the version was registered."""
        return self.standing.version.provenance.get("toto.git_revision", "not recorded")


@dataclass(frozen=True)
class LineageLinks:
    """Addresses in the MLflow interface the page points to."""

    run: str
    model_version: str
    report: str | None
    """Evaluation report; None for a version that was not judged."""


def lineage_links(interface: MlflowInterface, standing: Standing, experiment_id: str, report: str | None) -> LineageLinks:
    """Where the run, the model version and the report (a path within the run) of a version are."""
    version = standing.version
    run_id = version.run_id or ""
    return LineageLinks(
        run=interface.url(run_route(experiment_id, run_id)),
        model_version=interface.url(version_route(version.name, version.version)),
        report=interface.url(artifact_route(experiment_id, run_id, report)) if report else None,
    )


def standing_hash(standing: Standing, base_url: str) -> str:
    """Identity of what can change on a page: where it differs from the stored page's, the page is out of date."""
    others = (standing.predecessor, standing.successor, standing.rolls_back_to)
    return value_hash(
        {
            "page": _page_hash(),
            "base_url": base_url,
            "files": standing.version.files,
            "serves": standing.serves,
            "aliases": standing.version.aliases,
            "events": standing.events,
            "services": [[service.since.isoformat(), service.began, service.ended] for service in standing.services],
            "frozen": standing.frozen,
            "others": [other.version if other else None for other in others],
        }
    )


def render_lineage(lineage: Lineage, links: LineageLinks) -> str:
    """Render the page; its plots are inside."""
    from toto_ops.evaluation.reports.figures import FIGURES
    from toto_ops.evaluation.reports.judgement_plots import draw_plots
    from toto_ops.evaluation.reports.pages import page_environment

    environment = page_environment(_FOLDER)
    environment.filters |= {"day": "{:%Y-%m-%d}".format, "moment": "{:%Y-%m-%d %H:%M} UTC".format}
    environment.filters |= {"as_yaml": _as_yaml, "stamp": "{:%Y-%m-%dT%H:%M:%S}".format}
    judgement = lineage.judgement
    return environment.get_template(_TEMPLATE).render(
        lineage=lineage,
        version=lineage.standing.version,
        standing=lineage.standing,
        record=lineage.record,
        links=links,
        evidence=judgement,
        figures=FIGURES,
        plots=draw_plots(judgement) if judgement else None,
    )


def _as_yaml(content: Mapping[str, Any]) -> str:
    plain = json.loads(json.dumps(content, default=str))
    return yaml.safe_dump(plain, sort_keys=True, allow_unicode=True, width=120)


@lru_cache(maxsize=1)
def _page_hash() -> str:
    """Of the templates, so that pages of an earlier layout are made anew."""
    from toto_ops.evaluation.reports.pages import PARTS

    return value_hash([(_FOLDER / _TEMPLATE).read_text(), folder_hash(PARTS)])
