from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from typing import Any

import pytest

from tests.fixtures.first_release import ARCHIVE
from toto_ops.errors import StorageError
from toto_ops.evaluation.judgement.evidence import EVIDENCE_FILE, Criterion, Evidence, read_evidence, verdict_of, write_evidence
from toto_ops.evaluation.statistics.bootstrap import Estimate
from toto_ops.evaluation.statistics.performance import Performance

NEW_IN_VERSION_3 = ("stress_spans", "paired", "significance", "overfitting", "plausibility", "targets", "trades")
FIGURES_OF_VERSION_2 = (
    *("total_return", "sharpe", "sortino", "volatility", "max_drawdown", "win_rate", "profit_factor"),
    *("trades", "fees", "interest", "turnover", "exposure"),
)


@pytest.fixture(scope="module")
def evidence(judged) -> Evidence:
    return judged()


def row(verdict: str, kind: str = "gate") -> Criterion:
    return Criterion(name=f"{kind} {verdict}", kind=kind, required=1.0, relation=">=", measured=1.0, verdict=verdict)


def as_version_2(evidence: Evidence) -> dict[str, Any]:
    """What the release of the second version would have stored of the same judgement."""
    content = json.loads(evidence.model_dump_json(exclude={*NEW_IN_VERSION_3, "forecasts"})) | {"schema_version": 2}
    content["criteria"] = [
        {key: value for key, value in one.items() if key in {"name", "required", "relation", "measured", "verdict", "note"}}
        for one in content["criteria"]
        if one["verdict"] != "shown" and one["kind"] == "gate"
    ]
    for shown in (content["challenger"], *content["others"], *content["stresses"]):
        shown["performance"] = {name: shown["performance"][name] for name in FIGURES_OF_VERSION_2}
    return content


@pytest.mark.parametrize(
    ("criteria", "verdict"),
    [
        ([row("pass")], "passed"),
        ([row("pass"), row("insufficient"), row("shown")], "passed"),
        ([row("pass"), row("fail")], "refused"),
        ([row("pass"), row("pass", "alarm")], "passed"),
        ([row("pass"), row("insufficient", "alarm")], "passed"),
        ([row("pass"), row("fail", "alarm")], "quarantined"),
        ([row("fail"), row("fail", "alarm")], "quarantined"),
        ([row("insufficient"), row("shown")], "refused"),
        ([row("pass", "alarm")], "refused"),
        ([], "refused"),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(one.name.replace(" ", "-") for one in value) or "nothing",
)
def test_an_alarm_outweighs_every_gate_and_nothing_proves_nothing(criteria, verdict):
    assert verdict_of(criteria) == verdict


def test_evidence_reads_back_as_it_was_written(evidence, tmp_path):
    write_evidence(evidence, tmp_path)
    assert read_evidence(tmp_path) == evidence


@pytest.mark.parametrize("kind", ["gate", "alarm"])
def test_evidence_with_a_forged_verdict_is_refused(evidence, tmp_path, kind):
    content = json.loads(evidence.model_dump_json())
    forged = next(one for one in content["criteria"] if one["kind"] == kind)
    forged["verdict"] = "fail"
    (tmp_path / EVIDENCE_FILE).write_text(json.dumps(content | {"verdict": "passed"}))
    with pytest.raises(StorageError, match="does not follow from the criteria"):
        read_evidence(tmp_path)


def test_a_quarantine_cannot_be_passed_off_as_a_refusal(evidence):
    content = json.loads(evidence.model_dump_json())
    next(one for one in content["criteria"] if one["kind"] == "alarm")["verdict"] = "fail"
    with pytest.raises(ValueError, match="which say 'quarantined'"):
        Evidence.model_validate(content | {"verdict": "refused"})


def test_evidence_without_a_single_criterion_proves_nothing(evidence):
    content = json.loads(evidence.model_dump_json()) | {"criteria": [], "verdict": "passed"}
    with pytest.raises(ValueError, match="does not follow"):
        Evidence.model_validate(content)


def test_what_stands_in_the_way_is_listed_alarms_first(evidence):
    criteria = (row("fail"), row("pass"), row("fail", "alarm"))
    judged = evidence.model_copy(update={"criteria": criteria})
    assert [one.name for one in judged.failures] == ["alarm fail", "gate fail"]


def test_evidence_of_the_previous_version_loses_nothing(evidence):
    content = json.loads(evidence.model_dump_json(exclude={"forecasts"})) | {"schema_version": 3}
    assert Evidence.stored(content) == evidence
    assert Evidence.stored(content).paired


def test_evidence_of_the_second_version_is_read_and_says_what_it_lacks(evidence):
    earlier = Evidence.stored(as_version_2(evidence))
    assert (earlier.schema_version, earlier.verdict, earlier.forecasts) == (4, evidence.verdict, ())
    assert (earlier.significance, earlier.overfitting, earlier.plausibility) == (None, None, None)
    assert (earlier.paired, earlier.stress_spans, earlier.targets, earlier.trades) == ((), (), (), ())
    assert earlier.challenger.performance.sharpe == evidence.challenger.performance.sharpe
    assert earlier.challenger.performance.omega == Estimate(value=None)
    units = [earlier.criterion(name).unit for name in ("test bars", "Sharpe ratio", "total return")]
    assert units == ["count", "ratio", "percent"]


def test_evidence_inside_registered_models_of_the_first_release_is_still_read(tmp_path):
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    (*_, folder) = sorted(path.parent for path in tmp_path.glob(f"home/mlartifacts/*/models/*/artifacts/{EVIDENCE_FILE}"))
    assert json.loads((folder / EVIDENCE_FILE).read_text())["schema_version"] == 1
    assert read_evidence(folder).passed


def test_every_figure_that_version_2_had_is_still_there():
    assert set(FIGURES_OF_VERSION_2) <= set(Performance.model_fields)


def test_evidence_of_another_schema_version_is_refused(evidence, tmp_path):
    content = json.loads(evidence.model_dump_json()) | {"schema_version": 99}
    (tmp_path / EVIDENCE_FILE).write_text(json.dumps(content))
    with pytest.raises(StorageError, match="schema_version 99 cannot be read; this release reads 1, 2, 3 and 4"):
        read_evidence(tmp_path)


def test_missing_evidence_names_the_file_and_the_remedy(tmp_path):
    with pytest.raises(StorageError, match=r"evidence\.json.*run the evaluation again"):
        read_evidence(tmp_path)


def test_evidence_is_plain_json_without_not_a_numbers(judged, candidate):
    for evidence in (judged(), judged(challenger=candidate("bc", idle=True))):
        json.loads(evidence.model_dump_json(), parse_constant=lambda name: pytest.fail(f"{name} in the evidence"))


@pytest.mark.subprocess
def test_whoever_reads_evidence_or_its_report_does_not_wait_for_torch() -> None:
    rooms = "judgement.evidence", "reports.judgement_page", "reports.judgement_text", "reports.backtest_text", "controls.outcome"
    code = "import sys, importlib\n"
    code += f"for room in {rooms!r}: importlib.import_module(f'toto_ops.evaluation.{{room}}')\n"
    code += "print([name for name in ('torch', 'scipy', 'matplotlib', 'jinja2') if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
