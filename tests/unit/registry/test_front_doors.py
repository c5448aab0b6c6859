"""The command line and the Dagster jobs do what the library does, and say what became of it."""

import json
import os

import dagster as dg
import pytest
from typer.testing import CliRunner

from assets.promotion_jobs import promotion_jobs
from assets.resources import TotoOps
from tests.unit.registry.registry_samples import fallback_submission, offer
from toto_ops.cli.app import app
from toto_ops.cli.console import OUT
from toto_ops.configuration import Settings
from toto_ops.registry.events import events
from toto_ops.registry.history import incumbent
from toto_ops.universes import load_universes


@pytest.fixture
def shipped(tracking_uri, tmp_path, monkeypatch):
    """The shipped configuration, with the registry of these tests."""
    monkeypatch.setenv("TOTO_HOME", str(tmp_path))
    monkeypatch.setenv("TOTO_MLFLOW_TRACKING_URI", tracking_uri)
    monkeypatch.setattr(OUT, "width", 200)  # else the table of a narrow terminal folds what is looked for


def registry_command(*arguments, code=0):
    answer = CliRunner().invoke(app, ["registry", *arguments], env=dict(os.environ))
    assert answer.exit_code == code, answer.output
    return answer.output


def test_the_command_line_promotes_freezes_and_rolls_back_with_who_and_why(registry, shipped):
    registry.register_fallback(fallback_submission("crypto"))
    offer(registry, "crypto", 1)

    assert json.loads(registry_command("promote", "crypto", "--why", "approved", "--json"))["outcome"] == "promoted"
    assert "serves already" in registry_command("promote", "crypto", "--version", "2", "--why", "once more")
    assert "are frozen" in registry_command("freeze", "crypto", "--why", "holidays", "--by", "bob")
    assert "by bob: holidays" in registry_command("list", "crypto")

    offer(registry, "crypto", 2)
    refusal = json.loads(registry_command("promote", "crypto", "--why", "impatient", "--json", code=1))
    assert refusal["error"] == "PromotionRefusedError"
    assert "by bob: holidays" in refusal["problem"]

    assert "toto-crypto version 1 (fallback) serves" in registry_command("rollback", "crypto", "--why", "it loses money")
    assert json.loads(registry_command("unfreeze", "crypto", "--why", "back", "--json"))["outcome"] == "done"

    told = json.loads(registry_command("events", "crypto", "--json"))
    assert [(entry["kind"], entry["outcome"]) for entry in told] == [
        ("promotion", "done"),
        ("freeze", "done"),
        ("promotion", "refused"),
        ("rollback", "done"),
        ("unfreeze", "done"),
    ]
    assert "@" in told[0]["by"], "a user on a machine"
    assert "it loses money" in registry_command("events", "crypto")


def test_a_change_by_hand_needs_a_reason(registry, shipped):
    for command in ("promote", "rollback", "freeze", "unfreeze"):
        assert "--why" in CliRunner().invoke(app, ["registry", command, "crypto"], env=dict(os.environ)).output


def test_the_jobs_promote_freeze_and_roll_back_with_who_and_why(registry, shipped, tmp_path):
    universe = load_universes(Settings()).universe("stocks")
    jobs = {job.name: job for job in promotion_jobs(universe)}
    instance = dg.DagsterInstance.ephemeral()
    registry.register_fallback(fallback_submission("stocks"))
    version = offer(registry, "stocks", 1)

    def run(name, **config):
        (op,) = jobs[name].graph.node_dict
        return jobs[name].execute_in_process(
            run_config={"ops": {op: {"config": config}}},
            resources={"toto": TotoOps(home=str(tmp_path))},
            instance=instance,
            raise_on_error=False,
        )

    assert run("stocks_freeze", why="holidays", by="bob").success
    assert not run("stocks_promote", why="impatient").success, "what was asked for was not done"
    assert run("stocks_unfreeze", why="back").success

    promoted = run("stocks_promote", why="approved", version=version, by="ann")
    assert promoted.success
    assert incumbent(registry, "stocks").version == version
    shown = instance.get_latest_materialization_event(dg.AssetKey(["stocks", "champion"])).asset_materialization.metadata
    assert shown["serving"].value == f"toto-stocks version {version}"

    undone = run("stocks_rollback", why="it loses money")
    assert undone.success
    diary = events(registry, "stocks")
    assert [(entry.kind, entry.outcome) for entry in diary] == [
        ("freeze", "done"),
        ("promotion", "refused"),
        ("unfreeze", "done"),
        ("promotion", "done"),
        ("rollback", "done"),
    ]
    assert [entry.by for entry in diary][3:] == ["ann", f"Dagster run {undone.run_id}"]


def test_a_job_without_a_reason_is_not_launched(registry, shipped):
    universe = load_universes(Settings()).universe("stocks")
    job = promotion_jobs(universe)[0]
    with pytest.raises(dg.DagsterInvalidConfigError, match="why"):
        dg.validate_run_config(job, {"ops": {"stocks_promote": {"config": {}}}})
