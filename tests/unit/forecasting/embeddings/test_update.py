"""A new day costs that day; what is stored stays as it is; the result is that of computing everything anew."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.unit.forecasting.embeddings.embedding_samples import (
    COINS,
    CONFIG,
    bars_of_coins,
    forecaster,
    panel_of_bars,
    series_of_bars,
    spans_of,
    untrained,
    untrained_model,
)
from toto_ops.errors import StorageError
from toto_ops.features.moments import to_aware
from toto_ops.features.panel import Panel
from toto_ops.forecasting.embeddings import update
from toto_ops.forecasting.embeddings.embedding_model import EmbeddingModel
from toto_ops.forecasting.embeddings.index import segment_refs
from toto_ops.forecasting.embeddings.placing import placed
from toto_ops.forecasting.embeddings.table import EmbeddingTable
from toto_ops.forecasting.embeddings.update import Updated, read_embeddings, update_embeddings
from toto_ops.forecasting.forecast_features import forecast_features
from toto_ops.forecasting.scaling import CausalScale
from toto_ops.forecasting.series import stacked
from toto_ops.forecasting.specialists.fitting import fit_specialists
from toto_ops.storage.store import ArtefactStore

SYMBOLS = len(COINS)


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return bars_of_coins(160)


@pytest.fixture(scope="module")
def model(bars: pl.DataFrame) -> EmbeddingModel:
    return untrained_model(panel_of_bars(bars))


@pytest.fixture
def store(tmp_path: Path) -> ArtefactStore:
    return ArtefactStore(tmp_path)


def until(bars: pl.DataFrame, days_left: int) -> pl.DataFrame:
    """The bars but for those of the newest days."""
    return bars.filter(pl.col("close_time") <= max(bars["close_time"]) - timedelta(days=days_left))


def updated(store: ArtefactStore, model: EmbeddingModel, bars: pl.DataFrame) -> Updated:
    return update_embeddings(store, "coins", model, panel_of_bars(bars), series_of_bars(bars))


def anew(model: EmbeddingModel, bars: pl.DataFrame, folder: Path) -> EmbeddingTable:
    return updated(ArtefactStore(folder / "anew"), model, bars).table


def assert_same(one: EmbeddingTable, other: EmbeddingTable) -> None:
    """Equal to within float32 rounding, and unknown in the same places."""
    np.testing.assert_array_equal(one.close_time, other.close_time)
    np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-4)
    np.testing.assert_allclose(one.forecast, other.forecast, atol=1e-4)


def test_days_are_added_bar_by_bar_as_if_all_were_computed_anew(
    store: ArtefactStore, model: EmbeddingModel, bars: pl.DataFrame, tmp_path: Path
) -> None:
    first = updated(store, model, until(bars, 5))
    assert (first.rows_reused, first.rows_computed) == (0, len(first.table))
    last = first
    for days_left in (4, 1, 0):
        last = updated(store, model, until(bars, days_left))
    assert (last.rows_reused, last.rows_computed) == (len(first.table) + 4, 1)
    assert_same(last.table, anew(model, bars, tmp_path))
    assert np.array_equal(last.table.embedding[: len(first.table)], first.table.embedding, equal_nan=True)
    assert np.array_equal(last.table.forecast[: len(first.table)], first.table.forecast, equal_nan=True)
    assert len(last.refs) == 4
    assert last.refs == segment_refs(store, last.ref)


def test_nothing_new_computes_nothing_and_is_the_same_artefact(
    store: ArtefactStore, model: EmbeddingModel, bars: pl.DataFrame
) -> None:
    first, second = (updated(store, model, bars) for _ in range(2))
    assert second.rows_computed == 0
    assert second.ref == first.ref


def test_only_the_newest_bars_are_asked_of_the_backbone(
    store: ArtefactStore, model: EmbeddingModel, bars: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    updated(store, model, until(bars, 2))
    asked: list[int] = []
    backbone = model.forecaster.backbone
    latest_states = backbone.latest_states
    monkeypatch.setattr(backbone, "latest_states", lambda x, count: asked.append(count) or latest_states(x, count))
    updated(store, model, bars)
    assert asked == [2]


def test_a_mended_past_is_computed_again_from_there(
    store: ArtefactStore, model: EmbeddingModel, bars: pl.DataFrame, tmp_path: Path
) -> None:
    before = updated(store, model, bars)
    at = max(bars["close_time"]) - timedelta(days=6)
    one_bar = (pl.col("close_time") == at) & (pl.col("symbol") == COINS[1])
    mended = bars.with_columns(close=pl.when(one_bar).then(pl.mean_horizontal("high", "low")).otherwise("close"))
    after = updated(store, model, mended)
    assert after.rows_computed == 7
    assert_same(after.table, anew(model, mended, tmp_path))
    kept = after.rows_reused
    assert np.array_equal(after.table.embedding[:kept], before.table.embedding[:kept], equal_nan=True)
    assert not np.array_equal(after.table.embedding[kept], before.table.embedding[kept])


def test_a_mended_past_makes_every_later_stretch_anew(
    store: ArtefactStore, model: EmbeddingModel, bars: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of a later stretch are the same bars as before: what changed is the past their states look back on."""
    monkeypatch.setattr(update, "CELLS_IN_SEGMENT", 10 * SYMBOLS)
    updated(store, model, bars)
    at = max(bars["close_time"]) - timedelta(days=25)
    one_bar = (pl.col("close_time") == at) & (pl.col("symbol") == COINS[1])
    mended = bars.with_columns(volume=pl.when(one_bar).then(3.0 * pl.col("volume")).otherwise("volume"))
    after = updated(store, model, mended)
    assert len(after.refs) > 3
    assert_same(after.table, anew(model, mended, tmp_path))


def test_bars_before_the_panel_are_part_of_what_everything_is_made_from(
    store: ArtefactStore, model: EmbeddingModel, bars: pl.DataFrame
) -> None:
    updated(store, model, bars)
    first = min(bars["close_time"])
    # The features of the first row of the panel do not reach back so far, but the states might.
    rewritten = bars.with_columns(volume=pl.when(pl.col("close_time") == first).then(2.0 * pl.col("volume")).otherwise("volume"))
    assert updated(store, model, rewritten).rows_reused == 0


def test_other_symbols_are_another_table(store: ArtefactStore, model: EmbeddingModel, bars: pl.DataFrame) -> None:
    updated(store, model, bars)
    two = updated(store, model, bars.filter(pl.col("symbol") != COINS[2]))
    assert two.rows_reused == 0
    assert two.table.symbols == COINS[:2]


def test_another_model_shares_nothing(store: ArtefactStore, model: EmbeddingModel, bars: pl.DataFrame) -> None:
    first = updated(store, model, bars)
    own = forecaster("statistical")
    other = EmbeddingModel(own, None, untrained(own, panel_of_bars(bars), COINS))
    second = updated(store, other, bars)
    assert second.rows_reused == 0
    assert not set(first.refs) & set(second.refs)
    assert updated(store, model, bars).rows_computed == 0


def test_many_segments_become_few_with_the_same_values(
    store: ArtefactStore, model: EmbeddingModel, bars: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update, "MOST_SEGMENTS", 3)
    tables = [updated(store, model, until(bars, days_left)) for days_left in (3, 2, 1, 0)]
    assert [len(one.refs) for one in tables] == [1, 2, 3, 2]
    before, after = tables[-2].table, tables[-1].table
    assert np.array_equal(after.embedding[:-1], before.embedding, equal_nan=True)
    assert tables[-1].refs[0] == tables[0].refs[0]


def test_long_histories_are_made_in_stretches(
    store: ArtefactStore, model: EmbeddingModel, bars: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = anew(model, bars, tmp_path)
    monkeypatch.setattr(update, "CELLS_IN_SEGMENT", 30 * SYMBOLS)
    pieces = updated(store, model, bars)
    assert len(pieces.refs) == -(-len(whole) // 30)
    assert_same(pieces.table, whole)


def test_a_collected_segment_is_made_again(
    store: ArtefactStore, model: EmbeddingModel, bars: pl.DataFrame, tmp_path: Path
) -> None:
    first = updated(store, model, until(bars, 3))
    second = updated(store, model, bars)
    for path in Path(str(store.place(second.refs[1]))).iterdir():
        path.unlink()
    third = updated(ArtefactStore(tmp_path), model, bars)
    assert third.rows_reused == len(first.table)
    assert_same(third.table, anew(model, bars, tmp_path))


def test_what_is_not_known_is_nan_and_never_zero(store: ArtefactStore, model: EmbeddingModel, bars: pl.DataFrame) -> None:
    # Too new for a state of the backbone, and not at all too new for the panel.
    panel, series = panel_of_bars(bars), list(series_of_bars(bars))
    series[1] = series[1].take(slice(len(series[1]) - model.forecaster.backbone.minimum_bars - 4, None))
    table = update_embeddings(store, "coins", model, panel, series).table
    assert table.known[:, 1].sum() == 5
    assert table.known[:, [0, 2]].all()
    for values in (table.embedding, table.forecast):
        assert np.isnan(values[~table.known]).all()
        assert np.isfinite(values[table.known]).all()
    assert (np.abs(table.embedding[table.known]).max(axis=-1) > 0.1).all()


def test_a_symbol_the_embedder_does_not_know_has_embeddings(store: ArtefactStore, bars: pl.DataFrame) -> None:
    own = forecaster()
    model = EmbeddingModel(own, None, untrained(own, panel_of_bars(bars), COINS[:2]))
    table = updated(store, model, bars).table
    assert table.known.all()
    assert (table.embedding[1:, 2] != table.embedding[:-1, 2]).any(axis=-1).all()


def test_a_masked_symbol_has_none(store: ArtefactStore, model: EmbeddingModel, bars: pl.DataFrame) -> None:
    panel = panel_of_bars(bars)
    panel.mask[-3, 0] = False
    table = update_embeddings(store, "coins", model, panel, series_of_bars(bars)).table
    assert table.known.sum() == panel.mask.sum()
    assert not table.known[-3, 0]


def test_a_standing_price_has_an_embedding(store: ArtefactStore, model: EmbeddingModel, bars: pl.DataFrame) -> None:
    stands = pl.col("symbol") == COINS[0]
    prices = [pl.when(stands).then(7.0).otherwise(name).alias(name) for name in ("open", "high", "low", "close")]
    table = updated(store, model, bars.with_columns(prices)).table
    assert table.known[:, 0].any()
    assert np.isfinite(table.embedding[:, 0][table.known[:, 0]]).all()


def test_a_panel_with_other_context_is_refused(store: ArtefactStore, model: EmbeddingModel, bars: pl.DataFrame) -> None:
    panel = panel_of_bars(bars)
    names = ("close", "ended", "features", "mask", "open")
    bare = Panel.of_prices(
        symbols=panel.symbols,
        feature_names=panel.feature_names,
        open_time=panel.open_time,
        close_time=panel.close_time,
        **{name: getattr(panel, name) for name in names},
    )
    with pytest.raises(StorageError, match="reads the context"):
        update_embeddings(store, "coins", model, bare, series_of_bars(bars))


def test_an_embedder_of_another_forecaster_is_refused(model: EmbeddingModel) -> None:
    with pytest.raises(StorageError, match="reads the states of forecaster"):
        EmbeddingModel(forecaster("statistical"), None, model.embedder)


def test_damage_is_named(store: ArtefactStore, model: EmbeddingModel, bars: pl.DataFrame, tmp_path: Path) -> None:
    made = updated(store, model, bars)
    (Path(str(store.place(made.refs[0]))) / "embeddings.safetensors").write_bytes(b"not tensors")
    with pytest.raises(StorageError, match="not those that were stored"):
        read_embeddings(ArtefactStore(tmp_path), made.ref)


def test_forecasts_are_those_of_whoever_serves_the_symbol(model: EmbeddingModel, bars: pl.DataFrame) -> None:
    panel, series = panel_of_bars(bars), series_of_bars(bars)
    own, spans = model.forecaster, spans_of(panel)
    config = CONFIG.model_copy(update={"specialists": CONFIG.specialists.model_copy(update={"steps": 30})})
    specialists = fit_specialists(own, series, spans, config, seed=0)
    # The head of the generic one was drawn at random: whoever has learnt anything is better.
    assert specialists.manifest.kept
    served = EmbeddingModel(own, specialists, model.embedder)
    assert served.identity != model.identity
    rows = slice(panel.rows - 4, panel.rows)
    table = served.rows(panel, placed(panel, series), rows)
    x = stacked(series)
    quantiles = CausalScale.of(x).returns(specialists.quantiles(own.backbone.states(x), COINS), CONFIG.horizons)
    expected = forecast_features(quantiles.float())[:, -4:].movedim(0, 1)
    np.testing.assert_allclose(table.forecast, expected.detach().numpy(), atol=1e-5)
    assert np.abs(table.forecast - model.rows(panel, placed(panel, series), rows).forecast).max() > 1e-5


def test_a_day_is_the_row_of_its_close(store: ArtefactStore, model: EmbeddingModel, bars: pl.DataFrame) -> None:
    table = updated(store, model, bars).table
    assert to_aware(table.close_time[-1:])[0] == max(bars["close_time"])
