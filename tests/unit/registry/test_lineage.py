"""The lineage page answers: which data, which code, which tests passed, what it replaced, how to put the old one back."""

import html
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.registry.lineage_samples import BEGINNING, REVISION, entry, registered
from tests.unit.registry.registry_samples import evidence, manifest
from toto_ops.market.snapshot import Snapshot, SnapshotEntry
from toto_ops.registry.lineage import Lineage, LineageLinks, RetrainingRecord, render_lineage, standing_hash
from toto_ops.registry.standing import Succession
from toto_ops.storage.store import ArtefactKey, ArtefactRef

LINKS = LineageLinks(run="http://mlflow/#/run", model_version="http://mlflow/#/version", report="http://mlflow/#/report")
DIARY = (entry(1, "promotion", 2), entry(2, "promotion", 3, 2, why="beat <b>version 2</b> by 0.4"))
FALLBACK, FIRST, SECOND = registered(1, "fallback", line="fallback"), registered(2, "previous"), registered(3, "champion")


def standing(number=3, *versions, diary=DIARY):
    return Succession("toto-crypto", versions or (FALLBACK, FIRST, SECOND), diary).standing(number)


@pytest.fixture(scope="module")
def about():
    return manifest("crypto", inputs_hash="inputs-3", data_hash="data-3")


@pytest.fixture(scope="module")
def lineage(about):
    judged = evidence(about, "retrain-3", champion="bc")
    entries = (
        SnapshotEntry(
            symbol="AAA",
            status="included",
            bars="stored-aaa",
            inputs_hash="values-aaa",
            rows=1234,
            first_close=BEGINNING - timedelta(days=900),
            last_close=BEGINNING,
        ),
        SnapshotEntry(symbol="BBB", status="quarantined", reasons=("high below low",)),
    )
    record = RetrainingRecord(
        snapshot=Snapshot(universe="crypto", retrain_id="retrain-3", as_of=BEGINNING, config_hash="config-3", entries=entries),
        config_hash="config-3",
        sources={"AAA": "source-aaa"},
        code_versions={"bars": "1", "bc_policy": "7"},
        artefacts=(ArtefactRef(ArtefactKey("crypto", "panel"), "panel-content", "panel-inputs"),),
        configuration={"gates": {"sharpe": 1.0}, "universe": {"cadence": "0 6 1 * *"}},
        evidence=judged,
    )
    return Lineage("live", standing(), about, judged, record)


@pytest.fixture(scope="module")
def page(lineage):
    return render_lineage(lineage, LINKS)


@pytest.mark.parametrize(
    "said",
    [
        "2021-12-14 to 2024-06-01",  # span of the data
        "1 of 2 took part, 1234 bars",
        "values-aaa",
        "stored-aaa",
        "source-aaa",
        "high below low",
        "validation",
        "2024-03-21 00:00 UTC",  # a split boundary
        "config-3",
        "cadence: 0 6 1 * *",
        "learning_rate: 0.001",
        "panel-content",
        REVISION,
        "bc_policy 7",
        "Sharpe ratio",  # the gate table
        "chosen with hindsight",
        "data:image/png;base64,",
        "version 2 (bc, knows bars until 2024-06-01)",  # predecessor
        "ann@desk",
        f"{103:064x}",  # SHA-256 of the policy
        f"git checkout {REVISION} && make install",
        "toto-ops retrain crypto --as-of 2024-06-01T00:00:00",
        "toto-ops registry rollback crypto",
        "Version 2 (bc, knows bars until 2024-06-01) then serves",
        LINKS.report,
        LINKS.run,
        LINKS.model_version,
    ],
)
def test_the_page_says(page, said):
    assert said in html.unescape(page)


def test_the_page_needs_nothing_beside_itself(page):
    for outside in ('src="http', "src='http", "<link", "@import", "url("):
        assert outside not in page


def test_what_people_wrote_is_shown_and_never_obeyed(page):
    assert "beat &lt;b&gt;version 2&lt;/b&gt; by 0.4" in page
    assert "<b>version 2</b>" not in page


def test_uncommitted_changes_are_admitted(lineage):
    dirty = replace(lineage.standing, version=registered(3, "champion", provenance={"toto.git_revision": f"{REVISION}-dirty"}))
    page = render_lineage(replace(lineage, standing=dirty), LINKS)
    assert "The checkout had uncommitted changes" in page
    assert f"git checkout {REVISION} &amp;&amp;" in page


def test_without_a_checkout_no_commit_is_invented(lineage):
    installed = replace(
        lineage.standing, version=registered(3, "champion", provenance={"toto.git_revision": "not a git checkout"})
    )
    page = render_lineage(replace(lineage, standing=installed), LINKS)
    assert "git checkout 0" not in page
    assert "not a git checkout" in page


def test_a_retraining_the_store_no_longer_holds_is_admitted(lineage):
    page = render_lineage(replace(lineage, record=None), LINKS)
    assert "no longer holds retraining retrain-3" in page
    assert "AAA, BBB, CCC" in page, "the symbols, from the policy itself"
    assert "--as-of" not in page


def test_a_fallback_says_why_it_needs_no_gates_and_that_nothing_lies_behind_it(lineage):
    serving = replace(lineage, standing=standing(1, FALLBACK, diary=()), evidence=None)
    page = render_lineage(serving, replace(LINKS, report=None))
    assert "It was not judged" in page
    assert "nothing lies behind it" in page
    assert "registry rollback" not in page


def test_a_withdrawn_version_does_not_come_back(lineage):
    diary = (*DIARY, entry(3, "rollback", 2, 3))
    withdrawn = standing(3, FALLBACK, registered(2, "champion"), registered(3), diary=diary)
    page = render_lineage(replace(lineage, standing=withdrawn), LINKS)
    assert "It was withdrawn and does not come back by itself" in page
    assert "2024-09-12 00:00 UTC by ann@desk: reason 3" in page


def test_a_version_that_waits_for_approval_says_how_to_approve_it(lineage):
    waiting = standing(4, FALLBACK, FIRST, SECOND, registered(4, "challenger"))
    assert "toto-ops registry promote crypto --version 4" in render_lineage(replace(lineage, standing=waiting), LINKS)


def test_another_namespace_serves_nothing(lineage):
    page = render_lineage(replace(lineage, namespace="replay"), LINKS)
    assert "Made in the namespace replay: nothing of it serves." in page
    assert "registry rollback" not in page


def test_a_page_is_out_of_date_when_its_version_stands_otherwise():
    now = standing_hash(standing(2), "http://mlflow")
    assert standing_hash(standing(2), "http://mlflow") == now
    assert standing_hash(standing(2), "http://elsewhere") != now
    assert standing_hash(standing(3), "http://mlflow") != now
    withdrawn = standing(2, FALLBACK, registered(2, "champion"), registered(3), diary=(*DIARY, entry(3, "rollback", 2, 3)))
    assert standing_hash(withdrawn, "http://mlflow") != now
    unrelated = (*DIARY, entry(3, "promotion", 4, 3))
    versions = (FALLBACK, FIRST, SECOND, registered(4))
    assert standing_hash(standing(2, *versions, diary=unrelated), "http://mlflow") == now
