"""One retraining, three ways: the command line, "materialize all" in the real UI with its daemon, and the schedule.

All three must leave the same artefacts, one index, one piece of evidence and one look at the test bars.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import requests
import yaml

from tests.pipeline.brief_forecasting import write_brief_forecasting
from tests.pipeline.conftest import Workbench
from toto_ops.configuration import PROJECT_ROOT, Settings
from toto_ops.evaluation.judgement.evidence import Evidence
from toto_ops.pipeline.evaluation_steps import evidence_of
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import last_retraining
from toto_ops.registry.history import registry_table
from toto_ops.training.ledger import TrialLedger

pytestmark = pytest.mark.subprocess

SAYS_WHO_ASKED = frozenset({"data_docs", "evaluation_report"})
"""Artefacts that carry the retraining's id; the evidence in them is compared without it."""

SYMBOLS = ("BTCUSD", "ETHUSD", "LTCUSD", "XRPUSD")
PATIENCE_SECONDS = 600.0

EAGER_DAEMON = '''
"""Imported by every Python process at its start: lets Dagster's daemon look every 3 seconds, instead of every 30."""
import sys

if "dagster._daemon" in sys.orig_argv:
    import dagster._daemon.controller

    dagster._daemon.controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 3
'''

LAUNCH = """
mutation Launch($assets: [AssetKeyInput!]!, $names: [String!]!) {
  launchPartitionBackfill(backfillParams: {assetSelection: $assets, partitionNames: $names}) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}"""

STATUS = """
query Status($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    __typename
    ... on PartitionBackfill { status error { message } }
  }
}"""

ASSETS = "query Assets { assetNodes { assetKey { path } } }"


@dataclass(frozen=True)
class Left:
    """What a route left behind."""

    artefacts: Mapping[str, str]
    evidence: Evidence
    retrainings: int
    openings: int
    trials: tuple[str, ...]
    versions: tuple[tuple[str, str, str, bool], ...]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four symbols of the bundled bars, one short training."""
    folder, shipped = tmp_path_factory.mktemp("config"), PROJECT_ROOT / "deploy" / "config"
    for name in ("strategy.yaml", "gates.yaml"):
        (folder / name).write_text((shipped / name).read_text())
    write_brief_forecasting(folder, preference=("market", "statistical"))
    training = yaml.safe_load((shipped / "training.yaml").read_text())
    training["lines"]["bc"] |= {"seeds": [0], "epochs": 4}
    (folder / "training.yaml").write_text(yaml.safe_dump(training))
    crypto = yaml.safe_load((shipped / "universes.yaml").read_text())["universes"]["crypto"]
    crypto["symbols"] = {symbol: {"from": "2018-01-01"} for symbol in SYMBOLS}
    (folder / "universes.yaml").write_text(yaml.safe_dump({"schema_version": 1, "universes": {"crypto": crypto}}))
    return folder


def test_the_command_line_the_ui_and_the_schedule_leave_the_same(
    workbench: Callable[..., Workbench], config: Path, tmp_path: Path
) -> None:
    retrain = program(tmp_path / "cli.log", environment(tmp_path / "cli", config), "retrain", "crypto")
    with retrain as command, user_interface(tmp_path, environment(tmp_path / "ui", config)) as interface:
        backfill = interface.materialize_all()
        run_as_scheduled(workbench(config, tmp_path / "schedule"), tmp_path / "instance")
        assert command.wait(PATIENCE_SECONDS) == 0, (tmp_path / "cli.log").read_text()
        interface.wait_for(backfill)

    command_line, ui, schedule = (left_in(tmp_path / route, config) for route in ("cli", "ui", "schedule"))
    assert command_line.artefacts.keys() >= {"crypto/bars/BTCUSD", "crypto/panel", "crypto/bc_policy"}
    assert ui == command_line
    assert schedule == command_line
    assert (ui.retrainings, ui.openings) == (1, 1)


@dataclass(frozen=True)
class Interface:
    """The GraphQL interface of a running `toto-ops dev`, which is what its pages use."""

    server: subprocess.Popen[bytes]
    port: int
    log: Path

    def materialize_all(self) -> str:
        """Launch a backfill of every asset, partitions by name as the lineage page does, and return its id."""
        nodes = self._until(lambda: self._ask(ASSETS))["assetNodes"]
        assets = [{"path": node["assetKey"]["path"]} for node in nodes]
        launched = self._ask(LAUNCH, assets=assets, names=SYMBOLS)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return str(launched["backfillId"])

    def wait_for(self, backfill: str) -> None:
        """Wait until a backfill has succeeded."""

        def ended() -> str | None:
            status = self._ask(STATUS, id=backfill)["partitionBackfillOrError"]["status"]
            return None if status in {"REQUESTED", "FAILING"} else str(status)

        assert self._until(ended) == "COMPLETED_SUCCESS", self._end_of_log

    def _ask(self, query: str, **variables: Any) -> Any:
        """The answer; None while nobody listens yet."""
        url = f"http://127.0.0.1:{self.port}/graphql"
        try:
            answer = requests.post(url, json={"query": query, "variables": variables}, timeout=60)
        except requests.ConnectionError:
            return None
        content = answer.json()
        assert "errors" not in content, content["errors"]
        return content["data"]

    def _until(self, look: Callable[[], Any]) -> Any:
        """The first answer that is not None."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            assert self.server.poll() is None, self._end_of_log
            answer = look()
            if answer is not None:
                return answer
            time.sleep(0.5)
        raise AssertionError(f"no answer in time:\n{self._end_of_log}")

    @property
    def _end_of_log(self) -> str:
        return self.log.read_text()[-5000:]


@contextmanager
def user_interface(folder: Path, variables: Mapping[str, str]) -> Iterator[Interface]:
    """Run `toto-ops dev`, daemon and all, until the block is left."""
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(EAGER_DAEMON)
    variables = {**variables, "PYTHONPATH": f"{folder / 'site'}{os.pathsep}{variables['PYTHONPATH']}"}
    port, log = free_port(), folder / "dev.log"
    with program(log, variables, "dev", "--port", str(port)) as server:
        yield Interface(server, port, log)


def run_as_scheduled(bench: Workbench, folder: Path) -> None:
    """Evaluate the schedule at one of its times and run what it asks for, in an instance that lies in `folder`."""
    folder.mkdir()
    instance = dg.DagsterInstance.local_temp(str(folder))
    schedule = bench.definitions.resolve_schedule_def("crypto_retrain")
    due, resources = datetime(2024, 1, 1, 6, tzinfo=UTC), {"toto": bench.definitions.resources["toto"]}
    with dg.build_schedule_context(instance, due, resources=resources) as context:
        request = schedule(context)
    assert isinstance(request, dg.RunRequest), request
    job = bench.definitions.resolve_job_def("crypto_retrain")
    assert job.execute_in_process(instance=instance, tags=dict(request.tags), run_config=request.run_config).success


def left_in(home: Path, config: Path) -> Left:
    project = Project(Settings(home=str(home), config_dir=config, env="local"))
    retraining = last_retraining(project, project.universe("crypto"))
    assert retraining is not None
    ledger = TrialLedger(project.store, "crypto")
    evidence, _ = evidence_of(retraining)
    return Left(
        artefacts={str(ref.key): ref.content_hash for ref in retraining.refs() if ref.key.asset not in SAYS_WHO_ASKED},
        evidence=evidence.model_copy(update={"retrain_id": ""}),
        retrainings=len(list((home / "live" / "crypto" / "retrainings").iterdir())),
        openings=len(list(ledger.openings())),
        trials=tuple(trial.trial_id for trial in ledger.trials()),
        versions=tuple(
            (row.line, row.inputs_hash, row.gates, row.serves) for row in registry_table(project.registry, ["crypto"])
        ),
    )


def environment(home: Path, config: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TOTO_", "DAGSTER_"))}
    return inherited | {"TOTO_HOME": str(home), "TOTO_CONFIG_DIR": str(config), "PYTHONPATH": str(PROJECT_ROOT)}


@contextmanager
def program(log: Path, variables: Mapping[str, str], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `toto-ops` in a process group of its own, which is ended when the block is left."""
    executable = Path(sys.executable).with_name("toto-ops")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(executable), *arguments], stdout=output, stderr=subprocess.STDOUT, env=dict(variables), start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
