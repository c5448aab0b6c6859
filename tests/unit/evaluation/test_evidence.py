from __future__ import annotations

import json

import pytest

from toto_ops.errors import StorageError
from toto_ops.evaluation.evidence import EVIDENCE_FILE, Evidence, read_evidence, write_evidence


@pytest.fixture(scope="module")
def evidence(judged) -> Evidence:
    return judged()


def test_evidence_reads_back_as_it_was_written(evidence, tmp_path):
    write_evidence(evidence, tmp_path)
    assert read_evidence(tmp_path) == evidence


def test_evidence_with_a_forged_verdict_is_refused(evidence, tmp_path):
    content = json.loads(evidence.model_dump_json())
    content["criteria"][1]["verdict"] = "fail"
    (tmp_path / EVIDENCE_FILE).write_text(json.dumps(content))
    with pytest.raises(StorageError, match="does not follow from the criteria"):
        read_evidence(tmp_path)


def test_evidence_without_a_single_criterion_proves_nothing(evidence):
    content = json.loads(evidence.model_dump_json()) | {"criteria": [], "verdict": "passed"}
    with pytest.raises(ValueError, match="does not follow"):
        Evidence.model_validate(content)


def test_evidence_of_another_schema_version_is_refused(evidence, tmp_path):
    content = json.loads(evidence.model_dump_json()) | {"schema_version": 99}
    (tmp_path / EVIDENCE_FILE).write_text(json.dumps(content))
    with pytest.raises(StorageError, match="schema_version 99"):
        read_evidence(tmp_path)


def test_missing_evidence_names_the_file_and_the_remedy(tmp_path):
    with pytest.raises(StorageError, match=r"evidence\.json.*run the evaluation again"):
        read_evidence(tmp_path)


def test_evidence_is_plain_json_without_not_a_numbers(evidence):
    json.loads(evidence.model_dump_json(), parse_constant=lambda name: pytest.fail(f"{name} in the evidence"))
