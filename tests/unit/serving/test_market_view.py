"""Serving reads one published snapshot and its panel, never half of two."""

import numpy as np
import pytest

from tests.unit.serving.market_samples import panel, snapshot
from toto_ops.errors import StorageError
from toto_ops.features.panel_builder import save_panel
from toto_ops.serving.market_view import publish_market, read_market
from toto_ops.storage.store import ArtefactKey, ArtefactStore


@pytest.fixture
def store(tmp_path):
    return ArtefactStore(tmp_path)


def stored_panel(store, seed=0):
    return store.put(ArtefactKey("serve", "panel"), f"inputs-{seed}", lambda folder: save_panel(panel(seed), folder))


def test_what_is_published_is_read_back(store):
    publish_market(store, snapshot(), stored_panel(store))
    view = read_market(store, "serve")
    assert view.snapshot == snapshot()
    np.testing.assert_array_equal(view.panel.features, panel().features)
    np.testing.assert_array_equal(view.panel.ended, panel().ended)


def test_a_panel_that_is_not_published_is_not_served(store):
    publish_market(store, snapshot(), stored_panel(store, 0))
    stored_panel(store, 1)
    np.testing.assert_array_equal(read_market(store, "serve").panel.features, panel(0).features)


def test_before_the_first_retraining_there_is_nothing_to_serve_from(store):
    with pytest.raises(StorageError, match=r"serve: has no market data to serve from.*retrain serve"):
        read_market(store, "serve")


def test_a_document_of_another_schema_is_an_error_that_names_it(store):
    publish_market(store, snapshot(), stored_panel(store))
    content = store.read_document("serve/serving.json")
    store.write_document("serve/serving.json", content | {"schema_version": 99})
    with pytest.raises(StorageError, match="schema_version 99 cannot be read"):
        read_market(store, "serve")
