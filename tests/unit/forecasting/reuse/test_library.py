"""Which model a training begins from: the best recorded one that knows nothing it must not, and why not the others."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.unit.forecasting.reuse.reuse_samples import market
from toto_ops.errors import StorageError
from toto_ops.forecasting.reuse.library import Beginning, ModelLibrary, StoredModel, Unreadable
from toto_ops.forecasting.reuse.records import Record

EARLY, BEFORE, LATE = (datetime(2021, month, 1, tzinfo=UTC) for month in (1, 2, 3))
TO_BEGIN = Beginning("market", BEFORE)


@dataclass(frozen=True)
class Given:
    """Weights, or the error that reading them is."""

    content: Any = None

    @property
    def identity(self) -> str:
        return "given"

    def tensors(self) -> dict[str, Tensor]:
        if isinstance(self.content, Exception):
            raise self.content
        assert self.content is not None, "weights were read though the record decides"
        return self.content


@dataclass(frozen=True)
class Source:
    found: tuple[StoredModel | Unreadable, ...]

    def models(self) -> tuple[StoredModel | Unreadable, ...]:
        return self.found


def model(name: str, score: float | None = 0.5, weights: Given | None = None, **recorded: Any) -> StoredModel:
    record = Record(**{"kind": "market", "score": score, "knows_until": EARLY} | recorded)
    return StoredModel(name, f"/models/{name}", record, weights or Given())


def library(*found: StoredModel | Unreadable) -> ModelLibrary:
    return ModelLibrary([Source(found[::2]), Source(found[1::2])])


def refusals(beginning: Beginning, *found: StoredModel | Unreadable) -> dict[str, str]:
    return {candidate.name: candidate.refused for candidate in library(*found).listing(beginning)}


def test_the_lowest_validation_loss_of_all_sources_is_the_best() -> None:
    found = library(model("a", 0.5), model("b", 0.2), model("c", 0.3))
    assert found.best(TO_BEGIN).name == "b"
    assert [candidate.name for candidate in found.listing(TO_BEGIN)] == ["b", "c", "a"]


def test_of_equals_the_first_by_name_is_the_best_wherever_it_stands() -> None:
    assert library(model("b"), model("a")).best(TO_BEGIN) == library(model("a"), model("b")).best(TO_BEGIN)


def test_none_is_best_where_there_is_none() -> None:
    assert library().best(TO_BEGIN) is None
    assert library(Unreadable("a", "/models/a", "is damaged")).best(TO_BEGIN) is None


@pytest.mark.parametrize(
    ("recorded", "told"),
    [
        ({"knows_until": LATE}, "knows bars until 2021-03-01 00:00, later than 2021-02-01 00:00"),
        ({"knows_until": None}, "does not record what it knows: it may know bars that it would be judged on"),
        ({"score": None}, "records no validation loss"),
        ({"kind": None}, "does not record which kind of backbone it is; a JSON file of its name could"),
        ({"kind": "toto"}, "is a toto backbone, not a market one"),
        ({"beats_random_walk": False}, "does not beat a random walk: there is nothing in it to begin from"),
        ({"data_hash": "bars"}, "was fitted on these very bars"),
    ],
)
def test_a_better_model_is_refused_with_the_reason(recorded: dict[str, Any], told: str) -> None:
    beginning = Beginning("market", BEFORE, data_hash="bars")
    found = (model("better", **{"score": 0.1} | recorded), model("worse", 0.9))
    assert library(*found).best(beginning).name == "worse"
    assert refusals(beginning, *found) == {"worse": "", "better": told}


def test_what_a_model_knows_may_end_with_the_training_but_not_a_moment_later() -> None:
    assert refusals(TO_BEGIN, model("a", knows_until=BEFORE)) == {"a": ""}
    assert "later than" in refusals(TO_BEGIN, model("a", knows_until=BEFORE.replace(microsecond=1)))["a"]


def test_who_asks_for_no_kind_and_no_moment_gets_any() -> None:
    assert library(model("a", kind="toto", knows_until=LATE)).best(Beginning(None, None)).name == "a"


def test_what_cannot_be_read_is_listed_last_with_its_reason() -> None:
    found = (Unreadable("a", "/models/a", "is damaged"), model("b", None), model("c"))
    listing = library(*found).listing(TO_BEGIN)
    assert [candidate.name for candidate in listing] == ["c", "a", "b"]
    assert (listing[1].refused, listing[1].where) == ("is damaged", "/models/a")


def test_a_model_of_another_architecture_is_passed_over_before_anything_is_trained_from_it() -> None:
    network = market(0)
    beginning = Beginning("market", BEFORE, network)
    found = (
        model("wide", 0.1, Given(market(1, width=32).state_dict())),
        model("damaged", 0.2, Given(StorageError("is not what was registered"))),
        model("deeper", 0.3, Given(market(1, layers=3).state_dict())),
        model("late", 0.05, knows_until=LATE),
    )
    assert library(*found).best(beginning).name == "deeper"
    told = refusals(beginning, *found)
    assert told["wide"].startswith("is of another architecture: backbone.token.weight is [32, 12], in this network [16, 12]")
    assert told["damaged"] == "is not what was registered"
    assert told["deeper"] == ""


recorded_scores = st.none() | st.floats(0, 1)
recorded_moments = st.sampled_from([None, EARLY, BEFORE, LATE])


@given(st.lists(st.tuples(recorded_scores, recorded_moments, st.sampled_from([None, "market", "toto"])), max_size=8))
def test_the_best_is_the_first_of_the_listing_and_leaks_nothing(recorded: list[tuple[Any, Any, Any]]) -> None:
    found = library(
        *(model(f"m{place}", score, knows_until=moment, kind=kind) for place, (score, moment, kind) in enumerate(recorded))
    )
    best, listing = found.best(TO_BEGIN), found.listing(TO_BEGIN)
    usable = [score for score, moment, kind in recorded if None not in (score, moment) and moment <= BEFORE and kind == "market"]
    assert (best is None) == (not usable)
    if best is not None:
        assert best.name == listing[0].name
        assert best.record.score == min(usable)
        assert best.knows_until <= BEFORE
    assert sum(not candidate.refused for candidate in listing) == len(usable)
