"""Make the lineage page of every version that serves or served, and keep it where people look: with its MLflow run.

Whoever changes or settles what serves calls `publish_lineage` afterwards. Only pages whose version stands otherwise than
when they were written are made anew, so calling it once too often costs nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from toto_ops.configuration import StrictModel
from toto_ops.errors import StorageError, TotoOpsError
from toto_ops.evaluation.judgement.evidence import EVIDENCE_FILE, read_evidence
from toto_ops.evaluation.reports.judgement_page import REPORT_FILE, write_report
from toto_ops.market.snapshot import read_snapshot
from toto_ops.pipeline.evaluation_steps import evidence_of
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.recorded_configuration import configuration_of
from toto_ops.pipeline.retraining_decision import has_fingerprint, noted_fingerprint
from toto_ops.registry.links import MlflowInterface, artifact_route
from toto_ops.storage.retraining import Retraining
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from filelock import FileLock

    from toto_ops.evaluation.judgement.evidence import Evidence
    from toto_ops.registry.lineage import Lineage, RetrainingRecord
    from toto_ops.registry.standing import Standing
    from toto_ops.registry.versions import RegisteredVersion

LINEAGE_TAG = "toto.lineage"
"""Address of a version's page."""

STANDING_TAG = "toto.lineage_standing"
"""Identity of what the page said of the version's standing; written after the page, so that half a page is made again."""

_DESCRIPTION = "[Lineage]("


class LineagePage(StrictModel):
    """Where the page of a version is.

    Attributes
    ----------
    url, report_url
        In the MLflow interface; no report for a version that was not judged.
    path
        The page as a file, where MLflow keeps its files on this machine.
    """

    universe: str
    version: int
    url: str
    report_url: str | None
    path: Path | None


def publish_lineage(project: Project, universe: Universe) -> LineagePage:
    """Bring the page of every version that serves or served up to date, and return what serves now.

    Raises
    ------
    StorageError
        If nothing is registered, or a page cannot be made or stored. What serves is not touched.
    """
    from toto_ops.registry.standing import succession_of

    with _failures_told(universe), _lock(project, universe):
        succession = succession_of(project.registry, universe.name)
        if succession.serving is None:
            raise StorageError("no model is registered", remedy=f"run `toto-ops retrain {universe.name}` first")
        with_page = {version.version for version in succession.versions if LINEAGE_TAG in version.provenance}
        for number in sorted({version.version for version in succession.ever_served} | with_page):
            _refresh(project, universe, succession.standing(number))
        return _page(project, universe, succession.serving)


def publish_page(project: Project, universe: Universe, number: int) -> LineagePage:
    """Bring the page of one version up to date, whether it ever served or not.

    Raises
    ------
    StorageError
        If the version does not exist, or its page cannot be made or stored.
    """
    from toto_ops.registry.standing import succession_of

    with _lock(project, universe):
        standing = succession_of(project.registry, universe.name).standing(number)
        _refresh(project, universe, standing)
        return _page(project, universe, standing.version)


def page_of_incumbent(project: Project, universe: Universe) -> LineagePage:
    """Where the page of what serves is, as `publish_lineage` left it."""
    from toto_ops.registry.history import require_incumbent

    return _page(project, universe, require_incumbent(project.registry, universe.name))


def write_page(project: Project, universe: Universe, number: int, path: Path) -> None:
    """Write the page of any registered version to a file; nothing else changes.

    Raises
    ------
    StorageError
        If the version or the folder of `path` does not exist, `path` is a folder itself, or the version's files are not
        those registered.
    """
    from toto_ops.registry.standing import succession_of

    if path.is_dir():
        raise StorageError("is a folder", where=str(path), remedy="name a file in it")
    if not path.absolute().parent.is_dir():
        raise StorageError("its folder does not exist", where=str(path), remedy="name a file in a folder that exists")
    standing = succession_of(project.registry, universe.name).standing(number)
    path.write_text(_rendered(project, universe, _lineage(project, universe, standing)), encoding="utf-8")


@contextmanager
def _failures_told(universe: Universe) -> Iterator[None]:
    """Say that only a page is missing: whoever has just promoted must not think that nothing was done."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError, TotoOpsError) as error:
        raise StorageError(
            f"what serves is as was decided, but its lineage page could not be written: {error}",
            where=universe.name,
            remedy=f"mend that, then run `toto-ops registry lineage {universe.name}`",
        ) from error


def _lock(project: Project, universe: Universe) -> FileLock:
    """Pages are written in turn, each after reading how things stand: the last writer has seen the last change."""
    return project.registry.tracking.lock(f"lineage-{universe.name}")


def _refresh(project: Project, universe: Universe, standing: Standing) -> None:
    from toto_ops.registry.lineage import LINEAGE_FILE, standing_hash

    version, client = standing.version, project.registry.tracking.client
    identity = standing_hash(standing, project.settings.mlflow_interface)
    if version.provenance.get(STANDING_TAG) == identity:
        return
    lineage = _lineage(project, universe, standing)
    with tempfile.TemporaryDirectory(prefix="toto-lineage-") as scratch:
        folder = Path(scratch)
        (folder / LINEAGE_FILE).write_text(_rendered(project, universe, lineage), encoding="utf-8")
        if lineage.evidence is not None:
            write_report(lineage.evidence, folder)
        client.log_artifacts(_run_id(version), str(folder), _folder_of(version))
    page = _page(project, universe, version)
    place = version.name, str(version.version)
    before = client.get_model_version(*place).description
    if not before or before.startswith(_DESCRIPTION):  # what somebody wrote there by hand stays
        client.update_model_version(*place, description=_description(project, universe, version))
    client.set_model_version_tag(*place, LINEAGE_TAG, page.url)
    client.set_model_version_tag(*place, STANDING_TAG, identity)


def _lineage(project: Project, universe: Universe, standing: Standing) -> Lineage:
    from toto_ops.pipeline.stored_policies import read_policy
    from toto_ops.registry.lineage import Lineage

    folder = project.registry.files(standing.version)
    return Lineage(
        namespace=project.namespace,
        standing=standing,
        manifest=read_policy(folder)[1],
        evidence=read_evidence(folder) if EVIDENCE_FILE in standing.version.files else None,
        record=_record(project, universe, standing.version),
    )


def _record(project: Project, universe: Universe, version: RegisteredVersion) -> RetrainingRecord | None:
    """What the store holds of a version's retraining; None where somebody removed it."""
    from toto_ops.registry.lineage import RetrainingRecord

    retraining = project.retraining(universe, version.retrain_id)
    if not has_fingerprint(retraining):
        return None
    fingerprint, configuration = noted_fingerprint(retraining), configuration_of(retraining)
    return RetrainingRecord(
        snapshot=read_snapshot(retraining, fingerprint.config_hash),
        config_hash=fingerprint.config_hash,
        sources=fingerprint.sources,
        code_versions=fingerprint.code_versions,
        artefacts=tuple(retraining.refs()),
        configuration=configuration.model_dump(exclude={"schema_version"}) if configuration else None,
        evidence=_judgement_of(retraining),
    )


def _judgement_of(retraining: Retraining) -> Evidence | None:
    """What a retraining's challenger was judged by; None where it was collected since: a page must not fail for it."""
    ref = retraining.ref("evaluation_report")
    return evidence_of(retraining)[0] if retraining.store.find(ref.key, ref.inputs_hash) else None


def _rendered(project: Project, universe: Universe, lineage: Lineage) -> str:
    from toto_ops.registry.lineage import lineage_links, render_lineage

    version = lineage.standing.version
    report = f"{_folder_of(version)}/{REPORT_FILE}" if lineage.evidence is not None else None
    interface = MlflowInterface(project.settings.mlflow_interface)
    experiment = project.registry.tracking.experiment_id(universe.name)
    return render_lineage(lineage, lineage_links(interface, lineage.standing, experiment, report))


def _page(project: Project, universe: Universe, version: RegisteredVersion) -> LineagePage:
    from toto_ops.registry.lineage import LINEAGE_FILE

    interface = MlflowInterface(project.settings.mlflow_interface)
    lineage, report = _routes(project, universe, version)
    files = project.registry.tracking.client.get_run(_run_id(version)).info.artifact_uri.removeprefix("file://")
    return LineagePage(
        universe=universe.name,
        version=version.version,
        url=interface.url(lineage),
        report_url=interface.url(report) if report else None,
        path=Path(files) / _folder_of(version) / LINEAGE_FILE if files.startswith("/") else None,
    )


def _routes(project: Project, universe: Universe, version: RegisteredVersion) -> tuple[str, str | None]:
    """Lineage page and report of a version, within the MLflow interface."""
    from toto_ops.registry.lineage import LINEAGE_FILE

    experiment, run = project.registry.tracking.experiment_id(universe.name), _run_id(version)
    lineage = artifact_route(experiment, run, f"{_folder_of(version)}/{LINEAGE_FILE}")
    judged = EVIDENCE_FILE in version.files
    return lineage, artifact_route(experiment, run, f"{_folder_of(version)}/{REPORT_FILE}") if judged else None


def _description(project: Project, universe: Universe, version: RegisteredVersion) -> str:
    """Markdown under the version in the MLflow interface: links without a host, so that they hold wherever it is reached."""
    lineage, report = _routes(project, universe, version)
    return f"{_DESCRIPTION}{lineage})" + (f" · [Evaluation report]({report})" if report else "")


def _folder_of(version: RegisteredVersion) -> str:
    """Folder within the run; versions of one policy that was judged twice in a retraining share their run."""
    return f"version-{version.version}"


def _run_id(version: RegisteredVersion) -> str:
    if version.run_id is None:
        raise StorageError("belongs to no MLflow run", where=version.label, remedy="register it through `toto-ops retrain`")
    return version.run_id
