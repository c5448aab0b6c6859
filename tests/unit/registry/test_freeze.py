"""A frozen universe promotes nothing, whoever asks, and says who froze it; it can still be rolled back."""

import pytest

from tests.unit.registry.registry_samples import SIGNED, fallback_submission, offer
from toto_ops.errors import PromotionError, PromotionRefusedError, StorageError
from toto_ops.registry.events import RegistryEvent, events
from toto_ops.registry.freeze import freeze, freeze_in_force, unfreeze
from toto_ops.registry.history import incumbent, registry_table, version_detail
from toto_ops.registry.promotion import promote, rollback

BOB = {"by": "bob@desk", "why": "the feed is under suspicion"}


def test_a_freeze_stops_promotions_until_it_is_lifted_and_leaves_rollback_possible(registry, universe):
    fallback = registry.register_fallback(fallback_submission(universe)).version
    first = offer(registry, universe, 1)
    promote(registry, universe, first, **SIGNED)
    second = offer(registry, universe, 2)

    entry = freeze(registry, universe, **BOB)
    assert (entry.kind, entry.outcome, entry.version) == ("freeze", "done", first)
    with pytest.raises(PromotionRefusedError, match=r"were frozen on .* by bob@desk: the feed is under suspicion"):
        promote(registry, universe, second, **SIGNED)
    assert incumbent(registry, universe).version == first
    assert rollback(registry, universe, **SIGNED).incumbent.version == fallback

    unfreeze(registry, universe, by="bob@desk", why="it was sound")
    third = offer(registry, universe, 3)
    assert promote(registry, universe, third, **SIGNED).outcome == "promoted"

    diary = [(event.kind, event.by, event.outcome) for event in events(registry, universe)]
    assert diary == [
        ("promotion", "ann@desk", "done"),
        ("freeze", "bob@desk", "done"),
        ("promotion", "ann@desk", "refused"),
        ("rollback", "ann@desk", "done"),
        ("unfreeze", "bob@desk", "done"),
        ("promotion", "ann@desk", "done"),
    ]
    refused = events(registry, universe)[2]
    assert refused.detail.endswith("the feed is under suspicion")
    assert (refused.version, refused.instead_of, refused.why) == (second, first, SIGNED["why"])


def test_freezing_and_lifting_do_not_make_a_challenger_too_old(registry, universe):
    """Nothing that serves has changed since it was judged."""
    version = offer(registry, universe, 1)
    freeze(registry, universe, **BOB)
    unfreeze(registry, universe, **BOB)
    assert promote(registry, universe, version, **SIGNED).outcome == "promoted"


def test_freezing_twice_and_lifting_what_is_not_frozen_are_refused_and_recorded(registry, universe):
    offer(registry, universe, 1)
    with pytest.raises(PromotionRefusedError, match="are not frozen"):
        unfreeze(registry, universe, **BOB)
    freeze(registry, universe, **BOB)
    with pytest.raises(PromotionRefusedError, match=r"were frozen already on .* by bob@desk"):
        freeze(registry, universe, **SIGNED)
    assert [event.outcome for event in events(registry, universe)] == ["refused", "done", "refused"]


def test_the_table_and_a_version_in_detail_say_who_froze_it(registry, universe):
    version = offer(registry, universe, 1)
    assert registry_table(registry, [universe])[0].frozen is None
    freeze(registry, universe, **BOB)
    rows = registry_table(registry, [universe])[0], version_detail(registry, universe, version).row
    for row in rows:
        assert row.frozen.endswith("by bob@desk: the feed is under suspicion")


def test_only_a_freeze_that_took_effect_counts():
    moment = "2024-01-01T00:00:00Z"

    def entry(number, kind, outcome):
        return RegistryEvent(
            number=number, universe="u", at=moment, kind=kind, version=1, instead_of=None, outcome=outcome, **SIGNED
        )

    assert freeze_in_force(()) is None
    assert freeze_in_force([entry(1, "freeze", "failed")]) is None
    frozen = entry(1, "freeze", "done")
    assert freeze_in_force([frozen, entry(2, "unfreeze", "refused"), entry(3, "rollback", "done")]) == frozen
    assert freeze_in_force([frozen, entry(2, "unfreeze", "done")]) is None


@pytest.mark.parametrize("unsigned", [{"why": "  "}, {"by": ""}, {"why": "x" * 1001}], ids=["no reason", "nobody", "too long"])
def test_whoever_gives_no_reason_changes_nothing(registry, unsigned):
    universe = "unsigned"
    version = offer(registry, universe, 1)
    for operation in (freeze, unfreeze, rollback):
        with pytest.raises(PromotionError, match="the diary needs"):
            operation(registry, universe, **(SIGNED | unsigned))
    with pytest.raises(PromotionError, match="the diary needs"):
        promote(registry, universe, version, **(SIGNED | unsigned))
    assert events(registry, universe) == ()


def test_before_anything_is_registered_there_is_nothing_to_freeze_or_roll_back(registry):
    for operation in (freeze, rollback):
        with pytest.raises(StorageError, match="no model is registered"):
            operation(registry, "untouched", **SIGNED)
