"""Where a version stands follows from the aliases and the diary alone."""

import pytest

from tests.unit.registry.lineage_samples import entry, registered
from toto_ops.errors import StorageError
from toto_ops.registry.standing import Succession

FALLBACK, FIRST, SECOND = registered(1, "fallback", line="fallback"), registered(2), registered(3, "champion")
PROMOTED_TWICE = (entry(1, "promotion", 2), entry(2, "promotion", 3, 2))


def succession(*versions, diary=()):
    return Succession("toto-crypto", versions, tuple(diary))


def test_a_champion_knows_what_it_replaced_and_what_a_rollback_puts_back():
    first = registered(2, "previous")
    standing = succession(FALLBACK, first, SECOND, diary=PROMOTED_TWICE).standing(3)
    assert (standing.serves, standing.predecessor, standing.rolls_back_to, standing.successor) == (True, first, first, None)
    assert standing.promotion == PROMOTED_TWICE[1]
    assert [(one.began, one.ended) for one in standing.services] == [(PROMOTED_TWICE[1], None)]


def test_a_first_champion_rolls_back_to_the_fallback():
    standing = succession(FALLBACK, registered(2, "champion"), diary=PROMOTED_TWICE[:1]).standing(2)
    assert (standing.predecessor, standing.rolls_back_to) == (None, FALLBACK)


def test_what_was_replaced_knows_its_successor():
    standing = succession(FALLBACK, FIRST, SECOND, diary=PROMOTED_TWICE).standing(2)
    assert (standing.serves, standing.successor, standing.rolls_back_to, standing.withdrawal) == (False, SECOND, None, None)
    assert [(one.began, one.ended) for one in standing.services] == [PROMOTED_TWICE]


def test_a_rollback_withdraws_one_and_lets_the_other_serve_again():
    diary = (*PROMOTED_TWICE, entry(3, "rollback", 2, 3))
    back = succession(FALLBACK, registered(2, "champion"), registered(3), diary=diary)
    assert back.standing(3).withdrawal == diary[2]
    again = back.standing(2)
    assert [(one.began, one.ended) for one in again.services] == [(diary[0], diary[1]), (diary[2], None)]
    assert (again.serves, again.predecessor, again.successor) == (True, None, None), "it was promoted over nothing"


def test_a_fallback_serves_from_its_registration_while_there_is_no_champion():
    standing = succession(FALLBACK).standing(1)
    assert [(one.since, one.began) for one in standing.services] == [(FALLBACK.created_at, None)]
    assert (standing.serves, standing.rolls_back_to) == (True, None)


def test_only_what_took_effect_counts_but_every_attempt_is_told():
    refused = entry(3, "promotion", 4, 3, outcome="refused", detail="frozen")
    everything = succession(FALLBACK, FIRST, SECOND, registered(4, "challenger"), diary=(*PROMOTED_TWICE, refused))
    never = everything.standing(4)
    assert (never.serves, never.services, never.promotion, never.events) == (False, (), None, (refused,))
    assert everything.standing(3).events == (PROMOTED_TWICE[1], refused)
    assert [version.version for version in everything.ever_served] == [2, 3]


def test_a_freeze_is_told_of_what_serves():
    frozen = entry(3, "freeze", 3)
    versions = succession(FALLBACK, FIRST, SECOND, diary=(*PROMOTED_TWICE, frozen))
    assert (versions.standing(3).frozen, versions.standing(2).frozen) == (frozen, None)


def test_an_unknown_version_is_an_error():
    with pytest.raises(StorageError, match="toto-crypto: version 9 does not exist"):
        succession(FALLBACK).standing(9)
