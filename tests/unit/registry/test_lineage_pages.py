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
from toto_ops.evaluation.evidence import write_evidence
from toto_ops.market.snapshot import SnapshotEntry, record_entry
from toto_ops.monitoring.staleness import Fingerprint
from toto_ops.pipeline.lineage import page_of_incumbent, publish_lineage, publish_page, write_page
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.recorded_configuration import note_configuration
from toto_ops.pipeline.registry_operations import freeze_promotions, promote_version, roll_back
from toto_ops.registry.history import incumbent
from toto_ops.registry.promotion import promote

AS_OF = datetime(2024, 4, 10, tzinfo=UTC)


@pytest.fixture
def project(tracking_uri, universe, tmp_path):
    """A project whose only universe is the test's own, with a fallback and a champion, whose retraining is stored."""
    config = tmp_path / "config"
    shutil.copytree(PROJECT_ROOT / "deploy" / "config", config)
    content = yaml.safe_load((config / "universes.yaml").read_text())
    content["universes"] = {universe: content["universes"]["crypto"]}
    (config / "universes.yaml").write_text(yaml.safe_dump(content))
    settings = Settings(
        home=str(tmp_path / "home"), config_dir=config, mlflow_tracking_uri=tracking_uri, mlflow_ui_url="http://desk:5000"
    )
    project = Project(settings)
    project.registry.register_fallback(fallback_submission(universe))
    store_retraining(project, universe, 1)
    promote(project.registry, universe, offer(project.registry, universe, 1), **SIGNED)
    return project


@pytest.fixture
def chosen(project, universe):
    return project.universe(universe)


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


def stored_version(project, name, number):
    return project.registry.tracking.client.get_model_version(project.registry.serving_name(name), str(number))


def test_the_page_of_what_serves_is_with_its_run_and_linked_from_its_version(project, chosen):
    page = publish_lineage(project, chosen)
    assert page == page_of_incumbent(project, chosen)
    html = page.path.read_text()
    for said in ("values-aaa", "cadence: ", SIGNED["why"], "toto-ops registry rollback"):
        assert said in html
    assert page.path.with_name("report.html").read_text().startswith("<!DOCTYPE html>")

    version = stored_version(project, chosen.name, page.version)
    route = f"/runs/{version.run_id}/artifacts/version-{page.version}/lineage.html"
    assert page.url.startswith("http://desk:5000/#/experiments/")
    assert page.url.endswith(route)
    assert version.tags["toto.lineage"] == page.url
    assert version.description.startswith("[Lineage](#/experiments/")
    assert route in version.description


def test_a_change_of_what_serves_rewrites_the_pages_it_concerns_and_no_other(project, chosen):
    registry = project.registry
    first = publish_lineage(project, chosen)
    fallback = publish_page(project, chosen, 1)
    written = {page.version: page.path.stat().st_mtime_ns for page in (first, fallback)}
    assert publish_lineage(project, chosen) == first
    assert first.path.stat().st_mtime_ns == written[first.version], "nothing changed, nothing is written"

    promote_version(project, chosen, offer(registry, chosen.name, 2), by="bob", why="better by far")
    assert "better by far" in page_of_incumbent(project, chosen).path.read_text()
    assert "better by far" in first.path.read_text(), "the page of what was replaced says by what and why"
    assert '<span class="badge served">' in first.path.read_text()
    assert fallback.path.stat().st_mtime_ns == written[fallback.version], "the fallback had no part in it"

    freeze_promotions(project, chosen, by="bob", why="holidays")
    assert "holidays" in page_of_incumbent(project, chosen).path.read_text()

    roll_back(project, chosen, by="eve", why="it loses money")
    back = page_of_incumbent(project, chosen)
    assert back == first
    assert '<span class="badge serves">' in back.path.read_text()


def test_a_retraining_nobody_stored_is_no_obstacle(project, chosen):
    promote_version(project, chosen, offer(project.registry, chosen.name, 2), **SIGNED)
    assert "no longer holds retraining retrain-2" in page_of_incumbent(project, chosen).path.read_text()


def test_a_description_somebody_wrote_stays(project, chosen):
    number = incumbent(project.registry, chosen.name).version
    project.registry.tracking.client.update_model_version(
        project.registry.serving_name(chosen.name), str(number), description="Ann's favourite"
    )
    publish_lineage(project, chosen)
    assert stored_version(project, chosen.name, number).description == "Ann's favourite"
    assert "toto.lineage" in stored_version(project, chosen.name, number).tags


@pytest.mark.parametrize("call", ["log_artifacts", "update_model_version", "set_model_version_tag"])
def test_a_page_that_cannot_be_stored_is_told_as_such_and_made_the_next_time(project, chosen, monkeypatch, call):
    client = project.registry.tracking.client
    serving = incumbent(project.registry, chosen.name)

    def fail(*_arguments, **_named):
        raise MlflowException("server down")

    with monkeypatch.context() as broken:
        broken.setattr(client, call, fail)
        with pytest.raises(StorageError, match="what serves is as was decided, but its lineage page .* server down"):
            publish_lineage(project, chosen)
    assert incumbent(project.registry, chosen.name) == serving
    page = publish_lineage(project, chosen)
    assert "</html>" in page.path.read_text()
    assert stored_version(project, chosen.name, page.version).tags["toto.lineage"] == page.url


def test_half_a_page_is_made_again(project, chosen, monkeypatch):
    client, real = project.registry.tracking.client, project.registry.tracking.client.log_artifacts

    def die_in_the_middle(run_id, folder, artifact_path):
        real(run_id, folder, artifact_path)
        page_of_incumbent(project, chosen).path.write_text("<!DOCTYPE html><html>")
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(client, "log_artifacts", die_in_the_middle)
        with pytest.raises(KeyboardInterrupt):
            publish_lineage(project, chosen)
    assert publish_lineage(project, chosen).path.read_text().endswith("</html>")


def test_a_page_may_be_written_to_a_file_without_touching_mlflow(project, chosen, tmp_path):
    write_page(project, chosen, 1, tmp_path / "fallback.html")
    assert "It was not judged" in (tmp_path / "fallback.html").read_text()
    assert "toto.lineage" not in stored_version(project, chosen.name, 1).tags
    with pytest.raises(StorageError, match="its folder does not exist"):
        write_page(project, chosen, 1, tmp_path / "nowhere" / "fallback.html")
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
    assert json.loads(lineage("--version", "1", "--json"))["report_url"] is None
    out = tmp_path / "page.html"
    assert json.loads(lineage("--out", str(out), "--json"))["path"] == str(out)
    assert out.read_text().endswith("</html>")


def test_before_anything_is_registered_there_is_no_page(tracking_uri, tmp_path):
    empty = Project(Settings(home=str(tmp_path), mlflow_tracking_uri=tracking_uri), namespace="empty")
    with pytest.raises(StorageError, match="no model is registered"):
        publish_lineage(empty, empty.universe("crypto"))
