"""What serves changes only by promotion and rollback; whatever goes wrong leaves it as it was."""

import json
from pathlib import Path

import pytest
from filelock import FileLock

from tests.unit.registry.registry_samples import SIGNED, fallback_submission, offer, submission
from toto_ops.errors import BusyError, PromotionError, PromotionRefusedError, StorageError
from toto_ops.registry.events import events
from toto_ops.registry.history import incumbent
from toto_ops.registry.promotion import evidence_of, promote, rollback
from toto_ops.registry.tracking import Tracking
from toto_ops.storage.hashing import file_digest


def state(registry, universe):
    """Everything promotion may change, but for the diary."""
    name = registry.serving_name(universe)
    tags = {
        version.version: registry.tracking.client.get_model_version(name, str(version.version)).tags
        for version in registry.versions(name)
    }
    return registry.aliases(name), tags


def test_two_promotions_and_two_rollbacks(registry, universe):
    fallback = registry.register_fallback(fallback_submission(universe)).version
    name = registry.serving_name(universe)
    assert incumbent(registry, universe).is_fallback

    first = offer(registry, universe, 1)
    assert incumbent(registry, universe).version == fallback, "a challenger does not serve"
    done = promote(registry, universe, first, **SIGNED)
    assert (done.outcome, done.champion.version, done.replaced) == ("promoted", first, None)
    assert "previous" not in registry.aliases(name)

    second = offer(registry, universe, 2)
    assert promote(registry, universe, second, **SIGNED).replaced == first
    assert registry.aliases(name) == {"challenger": second, "champion": second, "previous": first, "fallback": fallback}

    undone = rollback(registry, universe, **SIGNED)
    assert (undone.withdrawn.version, undone.incumbent.version) == (second, first)
    assert undone.withdrawn.rolled_back_at is not None
    assert registry.aliases(name) == {"challenger": second, "champion": first, "fallback": fallback}

    undone = rollback(registry, universe, **SIGNED)
    assert undone.incumbent.line == "fallback"
    assert incumbent(registry, universe).is_fallback
    with pytest.raises(PromotionError, match="no champion to roll back"):
        rollback(registry, universe, **SIGNED)

    diary = [(event.kind, event.version, event.instead_of, event.outcome) for event in events(registry, universe)]
    assert diary == [
        ("promotion", first, None, "done"),
        ("promotion", second, first, "done"),
        ("rollback", first, second, "done"),
        ("rollback", fallback, first, "done"),
        ("rollback", fallback, None, "refused"),
    ]
    with pytest.raises(PromotionError, match="was rolled back on"):
        promote(registry, universe, second, **SIGNED)


def test_a_withdrawn_policy_does_not_come_back_with_new_evidence(registry, universe):
    registry.register_fallback(fallback_submission(universe))
    first = offer(registry, universe, 1)
    promote(registry, universe, first, **SIGNED)
    rollback(registry, universe, **SIGNED)
    judged_again = offer(registry, universe, 1, sharpe=1.5)
    assert judged_again != first
    with pytest.raises(PromotionError, match=f"was rolled back on .* as version {first}"):
        promote(registry, universe, judged_again, **SIGNED)
    assert incumbent(registry, universe).is_fallback


def test_promoting_the_champion_again_changes_nothing(registry, universe):
    version = offer(registry, universe, 1)
    promote(registry, universe, version, **SIGNED)
    before = state(registry, universe), events(registry, universe)
    assert promote(registry, universe, version, **SIGNED).outcome == "unchanged"
    assert (state(registry, universe), events(registry, universe)) == before


def test_the_champions_policy_judged_once_more_does_not_replace_itself(registry, universe):
    version = offer(registry, universe, 1)
    promote(registry, universe, version, **SIGNED)
    judged_again = offer(registry, universe, 1, sharpe=1.6)
    assert judged_again != version
    done = promote(registry, universe, judged_again, **SIGNED)
    assert (done.outcome, done.champion.version) == ("unchanged", version)
    assert "previous" not in registry.aliases(registry.serving_name(universe))


def test_the_champions_policy_is_refused_as_a_version_that_did_not_pass(registry, universe):
    """Asked for by its number, a version answers for its own verdict, whoever else carries the same policy."""
    failed, quarantined = offer(registry, universe, 1, sharpe=0.4), offer(registry, universe, 1, sharpe=25.0)
    serving = offer(registry, universe, 1)
    promote(registry, universe, serving, **SIGNED)
    before = state(registry, universe)
    for version, verdict in ((failed, "did not pass its gates"), (quarantined, "is quarantined")):
        with pytest.raises(PromotionRefusedError, match=verdict):
            promote(registry, universe, version, **SIGNED)
        refusal = events(registry, universe)[-1]
        assert (refusal.version, refusal.instead_of, refusal.outcome) == (version, serving, "refused")
        assert verdict in refusal.detail
    assert state(registry, universe) == before


def test_a_quarantined_version_of_a_withdrawn_policy_names_its_quarantine(registry, universe):
    registry.register_fallback(fallback_submission(universe))
    quarantined = offer(registry, universe, 1, sharpe=25.0)
    promote(registry, universe, offer(registry, universe, 1), **SIGNED)
    rollback(registry, universe, **SIGNED)
    with pytest.raises(PromotionRefusedError, match="is quarantined"):
        promote(registry, universe, quarantined, **SIGNED)


def test_a_failed_gate_is_refused_with_what_was_measured(registry, universe):
    version = offer(registry, universe, 1, sharpe=0.4)
    before = state(registry, universe)
    with pytest.raises(PromotionError, match=r"Sharpe ratio 0\.40 \(required ≥ 1\.00\)"):
        promote(registry, universe, version, **SIGNED)
    assert state(registry, universe) == before


def test_what_is_too_good_to_be_true_is_tagged_and_never_promoted(registry, universe):
    version = offer(registry, universe, 1, sharpe=25.0)
    assert registry.version(registry.serving_name(universe), version).gates == "quarantined"
    with pytest.raises(PromotionRefusedError, match=r"quarantined.*Sharpe ratio above equal weight 25\.0.*look for leakage"):
        promote(registry, universe, version, **SIGNED)
    assert "champion" not in registry.aliases(registry.serving_name(universe))


def test_evidence_altered_after_registration_is_refused(registry, universe):
    version = offer(registry, universe, 1, sharpe=0.4)
    path = Path(registry.version(registry.serving_name(universe), version).source) / "evidence.json"
    content = json.loads(path.read_text())
    content["criteria"][0] |= {"measured": 2.0, "verdict": "pass"}
    path.write_text(json.dumps(content | {"verdict": "passed"}))
    with pytest.raises(StorageError, match=r"evidence\.json .* is not what was registered"):
        promote(registry, universe, version, **SIGNED)
    assert incumbent(registry, universe) is None


def test_a_verdict_reached_on_another_policy_does_not_promote_this_one(registry, universe):
    lender = registry.version(registry.serving_name(universe), offer(registry, universe, 1))
    borrower = registry.version(registry.serving_name(universe), offer(registry, universe, 2, sharpe=0.1))
    path = Path(borrower.source) / "evidence.json"
    path.write_bytes((Path(lender.source) / "evidence.json").read_bytes())
    # Even one who can rewrite the hashes in the registry cannot lend a verdict.
    client = registry.tracking.client
    forged = json.dumps({**borrower.files, "evidence.json": file_digest(path)})
    client.set_model_version_tag(borrower.name, str(borrower.version), "toto.files", forged)
    with pytest.raises(PromotionError, match="evidence is about another model: inputs_hash is inputs-1"):
        promote(registry, universe, borrower.version, **SIGNED)


@pytest.mark.parametrize("version", [1, 2])
def test_what_an_earlier_release_judged_is_not_promoted_however_well_it_did(registry, universe, version):
    """Without alarms and without the gates on luck, a leak or a lucky draw passed as well as skill."""
    number = offer(registry, universe, version)
    challenger = registry.version(registry.serving_name(universe), number)
    path = Path(challenger.source) / "evidence.json"
    new = {"first_close", "stress_spans", "paired", "significance", "overfitting", "plausibility", "targets", "trades"}
    content = {name: value for name, value in json.loads(path.read_text()).items() if name not in new}
    gates = [row for row in content["criteria"] if row.pop("kind") == "gate"]
    path.write_text(json.dumps(content | {"schema_version": version, "criteria": gates}))
    hashes = json.dumps({**challenger.files, "evidence.json": file_digest(path)})
    registry.tracking.client.set_model_version_tag(challenger.name, str(number), "toto.files", hashes)
    assert evidence_of(registry, registry.version(challenger.name, number)).passed
    with pytest.raises(PromotionRefusedError, match=r"was judged by an earlier release.* Remedy: run `toto-ops retrain"):
        promote(registry, universe, number, **SIGNED)
    assert events(registry, universe)[-1].outcome == "refused"
    assert incumbent(registry, universe) is None


def test_a_challenger_judged_before_the_present_champion_came_is_refused(registry, universe):
    first = offer(registry, universe, 1)
    rival = offer(registry, universe, 2)
    promote(registry, universe, first, **SIGNED)
    with pytest.raises(PromotionError, match=f"was judged before version {first} came to serve by promotion"):
        promote(registry, universe, rival, **SIGNED)
    assert incumbent(registry, universe).version == first


def test_a_challenger_never_compared_with_the_champion_is_refused(registry, universe):
    first = offer(registry, universe, 1)
    promote(registry, universe, first, **SIGNED)
    alone = registry.offer_challenger(submission(universe, 2, champion=None)).version
    with pytest.raises(PromotionError, match=f"was not compared with the champion, toto-{universe} version {first}"):
        promote(registry, universe, alone, **SIGNED)
    assert incumbent(registry, universe).version == first


def test_a_challenger_compared_with_a_champion_that_serves_no_more_is_refused(registry, universe):
    first = offer(registry, universe, 1)
    promote(registry, universe, first, **SIGNED)
    compared = submission(universe, 2, champion="bc", champion_inputs="inputs-of-one-rolled-back-meanwhile")
    version = registry.offer_challenger(compared).version
    with pytest.raises(PromotionRefusedError, match=f"another champion than toto-{universe} version {first}"):
        promote(registry, universe, version, **SIGNED)
    assert incumbent(registry, universe).version == first


def test_a_version_without_evidence_cannot_become_champion(registry, universe):
    version = registry.register_fallback(fallback_submission(universe)).version
    with pytest.raises(PromotionError, match="registered without evidence"):
        promote(registry, universe, version, **SIGNED)
    assert incumbent(registry, universe).is_fallback


def test_a_rollback_with_nothing_to_fall_back_on_is_refused(registry, universe):
    version = offer(registry, universe, 1)
    promote(registry, universe, version, **SIGNED)
    with pytest.raises(PromotionError, match="nothing could serve instead"):
        rollback(registry, universe, **SIGNED)
    assert incumbent(registry, universe).version == version


def test_a_rollback_to_damaged_files_is_refused(registry, universe):
    first = offer(registry, universe, 1)
    promote(registry, universe, first, **SIGNED)
    second = offer(registry, universe, 2)
    promote(registry, universe, second, **SIGNED)
    damaged = Path(registry.version(registry.serving_name(universe), first).source) / "model.onnx"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    before = state(registry, universe)
    with pytest.raises(StorageError, match=r"model\.onnx .* is not what was registered"):
        rollback(registry, universe, **SIGNED)
    assert state(registry, universe) == before


def test_while_a_change_is_under_way_the_next_one_waits_and_then_says_so(registry, universe, monkeypatch):
    version = offer(registry, universe, 1)
    held = registry.tracking.lock(f"promotion-{universe}")
    monkeypatch.setattr(Tracking, "lock", lambda *_: FileLock(held.lock_file, timeout=0.1))
    with held, pytest.raises(BusyError, match="another promotion or rollback is in progress"):
        promote(registry, universe, version, **SIGNED)
    assert promote(registry, universe, version, **SIGNED).outcome == "promoted"


def test_the_evidence_read_back_is_the_evidence_submitted(registry, universe):
    version = registry.version(registry.serving_name(universe), offer(registry, universe, 1))
    assert evidence_of(registry, version) == submission(universe, 1).evidence
