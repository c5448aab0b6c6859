"""Lineage pages are kept with the MLflow run, linked from the model version, and made anew only when something changed.

Here and not with the pipeline's tests, because they share the MLflow database of the registry's.
"""

import json
import os
import shutil
from datetime import UTC, datetime

import pytest
import yaml
from mlflow.exceptions import MlflowException
from typer.testing import CliRunner

from tests.unit.registry.registry_samples import SIGNED, evidence, fallback_submission, manifest, offer
from toto_ops.cli.app import app
from toto_ops.configuration import PROJECT_ROOT, Settings
from toto_ops.errors import StorageError
from toto_ops.evaluation.judgement.evidence import write_evidence
from toto_ops.market.snapshot import SnapshotEntry, record_entry
from toto_ops.monitoring.staleness import Fingerprint
from toto_ops.pipeline.lineage import page_of_incumbent, publish_lineage, publish_page, write_page
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.recorded_configuration import note_configuration
from toto_ops.pipeline.registry_operations import freeze_promotions, promote_version, roll_back
from toto_ops.registry.history import incumbent
from toto_ops.registry.promotion import promote

AS_OF = datetime(2024, 4, 10, tzinfo=UTC)
FALLBACK = 1
"""Its version."""


@pytest.fixture(scope="module")
def project(tracking_uri, registry, tmp_path_factory):
    """A project whose only universe has a fallback, a champion whose retraining is stored, and a challenger whose is not.

    One for all tests, since registering takes seconds. Whatever a test does, the champion serves again at its end.
    """
    folder, name = tmp_path_factory.mktemp("lineage"), "lineage"
    shutil.copytree(PROJECT_ROOT / "deploy" / "config", folder / "config")
    path = folder / "config" / "universes.yaml"
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**content, "universes": {name: content["universes"]["crypto"]}}))
    project = Project(
        Settings(
            home=str(folder / "home"),
            config_dir=folder / "config",
            mlflow_tracking_uri=tracking_uri,
            mlflow_ui_url="http://desk:5000",
        )
    )
    registry.register_fallback(fallback_submission(name))
    store_retraining(project, name, 1)
    promote(registry, name, offer(registry, name, 1), **SIGNED)
    offer(registry, name, 2)
    return project


@pytest.fixture(scope="module")
def chosen(project):
    return project.universe("lineage")


@pytest.fixture
def moved(project, request):
    """The same project after its MLflow interface moved, so that every page is out of date."""
    return Project(project.settings.model_copy(update={"mlflow_ui_url": f"http://{request.node.name}"}))


def store_retraining(project, name, number):
    """What retraining `retrain-<number>` leaves in the store, as far as a page tells it."""
    universe = project.universe(name)
    retraining = project.retraining(universe, f"retrain-{number}")
    retraining.resolve_as_of(AS_OF)
    record_entry(retraining, SnapshotEntry(symbol="AAA", status="included", bars="b", inputs_hash="values-aaa", rows=99,
                                           first_close=AS_OF, last_close=AS_OF))  # fmt: skip
    fingerprint = Fingerprint(sources={"AAA": "mark"}, config_hash=project.config_hash(universe), code_versions={"bars": "1"})
    retraining.store.create_model(f"{retraining.folder}/fingerprint.json", fingerprint)
    note_configuration(project, retraining, universe)
    judged = evidence(manifest(name, inputs_hash=f"inputs-{number}", data_hash=f"data-{number}"), f"retrain-{number}")
    retraining.record(
        retraining.store.put(retraining.key("evaluation_report"), "i", lambda folder: write_evidence(judged, folder))
    )


def stored_version(project, universe, number):
    return project.registry.tracking.client.get_model_version(project.registry.serving_name(universe.name), str(number))


def test_the_page_of_what_serves_is_with_its_run_and_linked_from_its_version(project, chosen):
    page = publish_lineage(project, chosen)
    assert page == page_of_incumbent(project, chosen)
    html = page.path.read_text()
    for said in ("values-aaa", "cadence: ", SIGNED["why"], "toto-ops registry rollback"):
        assert said in html
    assert page.path.with_name("report.html").read_text().startswith("<!DOCTYPE html>")

    version = stored_version(project, chosen, page.version)
    route = f"/runs/{version.run_id}/artifacts/version-{page.version}/lineage.html"
    assert page.url.startswith("http://desk:5000/#/experiments/")
    assert page.url.endswith(route)
    assert version.tags["toto.lineage"] == page.url
    assert version.description.startswith("[Lineage](#/experiments/")
    assert route in version.description


def test_a_change_of_what_serves_rewrites_the_pages_it_concerns_and_no_other(project, chosen):
    first = publish_lineage(project, chosen)
    fallback = publish_page(project, chosen, FALLBACK)
    written = {page.version: page.path.stat().st_mtime_ns for page in (first, fallback)}
    assert publish_lineage(project, chosen) == first
    assert first.path.stat().st_mtime_ns == written[first.version], "nothing changed, nothing is written"

    promote_version(project, chosen, None, by="bob", why="better by far")
    second = page_of_incumbent(project, chosen)
    assert "better by far" in second.path.read_text()
    assert "no longer holds retraining retrain-2" in second.path.read_text(), "one that nobody stored is no obstacle"
    assert "better by far" in first.path.read_text(), "the page of what was replaced says by what and why"
    assert '<span class="badge served">' in first.path.read_text()
    assert fallback.path.stat().st_mtime_ns == written[fallback.version], "the fallback had no part in it"

    freeze_promotions(project, chosen, by="bob", why="holidays")
    assert "holidays" in second.path.read_text()

    roll_back(project, chosen, by="eve", why="it loses money")
    assert page_of_incumbent(project, chosen) == first
    assert '<span class="badge serves">' in first.path.read_text()
    assert "it loses money" in second.path.read_text()


def test_a_description_somebody_wrote_stays(project, moved, chosen):
    name = project.registry.serving_name(chosen.name)
    project.registry.tracking.client.update_model_version(name, str(FALLBACK), description="Ann's favourite")
    page = publish_page(moved, chosen, FALLBACK)
    assert stored_version(project, chosen, FALLBACK).description == "Ann's favourite"
    assert stored_version(project, chosen, FALLBACK).tags["toto.lineage"] == page.url


def test_a_page_that_cannot_be_stored_is_told_as_such_and_made_the_next_time(moved, chosen, monkeypatch):
    client = moved.registry.tracking.client
    serving = incumbent(moved.registry, chosen.name)

    def fail(*_arguments, **_named):
        raise MlflowException("server down")

    for call in ("set_model_version_tag", "update_model_version", "log_artifacts"):
        with monkeypatch.context() as broken:
            broken.setattr(client, call, fail)
            with pytest.raises(StorageError, match=r"what serves is as was decided, but its lineage page .* server down"):
                publish_lineage(moved, chosen)
        assert incumbent(moved.registry, chosen.name) == serving
    page = publish_lineage(moved, chosen)
    assert page.report_url in page.path.read_text()
    assert stored_version(moved, chosen, page.version).tags["toto.lineage"] == page.url


def test_half_a_page_is_made_again(moved, chosen, monkeypatch):
    client, real = moved.registry.tracking.client, moved.registry.tracking.client.log_artifacts

    def die_in_the_middle(run_id, folder, artifact_path):
        real(run_id, folder, artifact_path)
        page_of_incumbent(moved, chosen).path.write_text("<!DOCTYPE html><html>")
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(client, "log_artifacts", die_in_the_middle)
        with pytest.raises(KeyboardInterrupt):
            publish_lineage(moved, chosen)
    assert publish_lineage(moved, chosen).path.read_text().endswith("</html>")


def test_a_page_may_be_written_to_a_file_without_touching_mlflow(project, moved, chosen, tmp_path):
    before = stored_version(project, chosen, FALLBACK).tags
    write_page(moved, chosen, FALLBACK, tmp_path / "fallback.html")
    assert "It was not judged" in (tmp_path / "fallback.html").read_text()
    assert stored_version(project, chosen, FALLBACK).tags == before
    with pytest.raises(StorageError, match="its folder does not exist"):
        write_page(project, chosen, FALLBACK, tmp_path / "nowhere" / "fallback.html")
    with pytest.raises(StorageError, match="version 9 does not exist"):
        write_page(project, chosen, 9, tmp_path / "none.html")


def test_the_command_line_makes_the_page_and_says_where_it_is(project, chosen, tmp_path):
    environment = {
        **os.environ,
        "TOTO_HOME": project.settings.home,
        "TOTO_CONFIG_DIR": str(project.settings.config_dir),
        "TOTO_MLFLOW_TRACKING_URI": project.settings.tracking_uri,
        "TOTO_MLFLOW_UI_URL": "http://desk:5000",
    }

    def lineage(*arguments):
        answer = CliRunner().invoke(app, ["registry", "lineage", chosen.name, *arguments], env=environment)
        assert answer.exit_code == 0, answer.output
        return answer.output

    told = json.loads(lineage("--json"))
    assert told == page_of_incumbent(project, chosen).model_dump(mode="json")
    assert told["url"] in lineage(), "an address is not broken over lines"
    assert json.loads(lineage("--version", str(FALLBACK), "--json"))["report_url"] is None
    out = tmp_path / "page.html"
    assert json.loads(lineage("--out", str(out), "--json"))["path"] == str(out)
    assert out.read_text().endswith("</html>")


def test_before_anything_is_registered_there_is_no_page(tracking_uri, tmp_path):
    empty = Project(Settings(home=str(tmp_path), mlflow_tracking_uri=tracking_uri), namespace="empty")
    with pytest.raises(StorageError, match="no model is registered"):
        publish_lineage(empty, empty.universe("crypto"))
