"""For any model that ever served: which data, which code, which tests it passed, what it replaced."""

import pytest

from tests.unit.registry.registry_samples import SIGNED, fallback_submission, submission
from toto_ops.errors import StorageError
from toto_ops.registry.history import incumbent, registry_table, require_incumbent, version_detail
from toto_ops.registry.promotion import promote


@pytest.fixture(scope="module")
def populated(registry):
    registry.register_fallback(fallback_submission("history"))
    registry.offer_challenger(submission("history", 1))
    promote(registry, "history", 2, **SIGNED)
    registry.offer_challenger(submission("history", 2, sharpe=0.3, champion="bc"))
    return registry


def test_the_table_lists_the_newest_version_first_and_marks_what_serves(populated):
    rows = registry_table(populated, ["history", "untouched"])
    assert [(row.version, row.line, row.gates, row.serves, row.aliases) for row in rows] == [
        (3, "bc", "failed", False, ("challenger",)),
        (2, "bc", "passed", True, ("champion",)),
        (1, "fallback", "not judged", False, ("fallback",)),
    ]
    assert [row.promoted_at is not None for row in rows] == [False, True, False]


def test_a_row_is_plain_json(populated):
    row = registry_table(populated, ["history"])[1].model_dump(mode="json")
    assert row["universe"] == "history"
    assert row["data_hash"] == "data-1"
    assert row["created_at"].endswith("Z")


def test_a_version_in_detail(populated):
    detail = version_detail(populated, "history", 2)
    assert detail.symbols == ("AAA", "BBB", "CCC")
    assert [(criterion.kind, criterion.name, criterion.measured) for criterion in detail.criteria] == [
        ("gate", "Sharpe ratio", 1.4),
        ("alarm", "Sharpe ratio above equal weight", 1.4),
    ]
    assert detail.config["learning_rate"] == 0.001
    assert detail.provenance["dagster.run"] == "run-1"
    assert [(event.kind, event.version) for event in detail.events] == [("promotion", 2)]
    assert populated.tracking.client.get_run(detail.run_id).data.tags["toto.retrain_id"] == "retrain-1"


def test_the_fallback_has_no_gate_table(populated):
    assert version_detail(populated, "history", 1).criteria == ()


def test_the_incumbent_is_the_champion(populated):
    serving = incumbent(populated, "history")
    assert (serving.version, serving.is_fallback) == (2, False)


def test_before_the_first_registration_there_is_none(populated):
    assert incumbent(populated, "untouched") is None
    with pytest.raises(StorageError, match="toto-untouched: no model is registered"):
        require_incumbent(populated, "untouched")
