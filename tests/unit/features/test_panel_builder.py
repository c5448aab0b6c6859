"""The panel aligns symbols by time, masks what is not there, and comes back from disk as it went."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from tests.unit.features.bar_histories import DAILY, STOCKS, bars_of, random_bars, real_bars
from toto_ops.errors import BarDataError, InsufficientDataError, StorageError
from toto_ops.features.compute import FeatureConfig, compute_features
from toto_ops.features.panel import Panel
from toto_ops.features.panel_builder import ARRAYS, build_panel, load_panel, save_panel, states
from toto_ops.features.state import ACCOUNT_FEATURES, MARKET_FEATURES, STATE_FEATURES

WARM_UP = 79
DAY = timedelta(days=1)


def wavy(length: int, phase: float = 0.0) -> np.ndarray:
    return 100 + 10 * np.sin(np.arange(length) / 7 + phase) + np.cos(np.arange(length) * 1.7)


def features_of(*bars: pl.DataFrame) -> pl.DataFrame:
    return compute_features(pl.concat(bars), DAILY, None, FeatureConfig())


@pytest.fixture(scope="module")
def features() -> pl.DataFrame:
    """AA has all 200 bars, BB starts at bar 50 and pauses over bars 150 to 154, CC ends with bar 179."""
    late = bars_of("BB", wavy(200, 1.0)).slice(50)
    return features_of(
        bars_of("AA", wavy(200)), pl.concat([late.head(100), late.slice(105)]), bars_of("CC", wavy(200, 2.0)).head(180)
    )


@pytest.fixture(scope="module")
def panel(features: pl.DataFrame) -> Panel:
    return build_panel(features, ("CC", "AA", "BB"))


def cell(features: pl.DataFrame, symbol: str, moment: np.datetime64) -> pl.DataFrame:
    utc = pl.lit(moment.item()).dt.replace_time_zone("UTC")
    return features.filter((pl.col("symbol") == symbol) & (pl.col("open_time") == utc))


def test_every_cell_is_the_symbol_s_own_bar_of_that_time(features: pl.DataFrame, panel: Panel) -> None:
    for t, a in [(0, 0), (0, 2), (40, 0), (60, 1), (70, 1), (90, 2), (120, 1)]:
        row = cell(features, panel.symbols[a], panel.open_time[t])
        assert row.height == panel.mask[t, a]
        if row.height:
            np.testing.assert_array_equal(panel.features[t, a], row.select(MARKET_FEATURES).to_numpy()[0])
            assert (panel.open[t, a], panel.close[t, a]) == row.select("open", "close").row(0)
            assert panel.close_time[t] == np.datetime64(row["close_time"].dt.replace_time_zone(None).item())


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 10))
def test_nothing_is_lost_and_nothing_invented(seed: int) -> None:
    table = features_of(*(random_bars(seed + i, 120 + 10 * i, f"S{i}") for i in range(3)))
    panel = build_panel(table.sample(fraction=1.0, shuffle=True, seed=seed % 100), ("S0", "S1", "S2"))
    complete = table.drop_nulls()
    t, a = np.nonzero(panel.mask)
    back = pl.DataFrame({"symbol": np.array(panel.symbols)[a], "open_time": panel.open_time[t]}).with_columns(
        pl.col("open_time").dt.replace_time_zone("UTC"),
        close=panel.close[t, a],
        macd_signal=panel.features[t, a, MARKET_FEATURES.index("macd_signal")],
    )
    assert back.sort("symbol", "open_time").equals(complete.select(back.columns).sort("symbol", "open_time"))


def test_shapes_and_order(panel: Panel) -> None:
    assert panel.symbols == ("AA", "BB", "CC")
    assert panel.feature_names == MARKET_FEATURES
    assert panel.features.shape == (200 - WARM_UP, 3, 30)
    assert panel.features.dtype == np.float32
    assert (np.diff(panel.open_time) > np.timedelta64(0)).all()
    assert (panel.close_time - panel.open_time == np.timedelta64(1, "D")).all()


def test_a_symbol_is_masked_before_its_look_back_is_complete_while_it_pauses_and_after_its_end(panel: Panel) -> None:
    traded = {symbol: (np.flatnonzero(panel.mask[:, a]) + WARM_UP).tolist() for a, symbol in enumerate(panel.symbols)}
    assert traded["AA"] == list(range(79, 200))
    assert traded["BB"] == [*range(129, 150), *range(155, 200)]
    assert traded["CC"] == list(range(79, 180))


def test_masked_cells_hold_no_price_and_no_feature(panel: Panel) -> None:
    np.testing.assert_array_equal(panel.tradable, panel.mask)
    assert np.isnan(panel.open[~panel.mask]).all()
    assert np.isnan(panel.close[~panel.mask]).all()
    assert not panel.features[~panel.mask].any()
    assert np.isfinite(panel.open[panel.mask]).all()
    assert np.isfinite(panel.features).all()


def test_only_the_symbol_whose_feed_stopped_has_ended(panel: Panel) -> None:
    assert panel.ended.tolist() == [False, False, True]


def test_a_new_symbol_without_complete_features_is_masked_and_not_ended() -> None:
    table = features_of(bars_of("AA", wavy(200)), bars_of("BB", wavy(200)).tail(30))
    panel = build_panel(table, ("AA", "BB"))
    assert not panel.mask[:, 1].any()
    assert not panel.ended.any()


def test_symbols_not_asked_for_do_not_matter(features: pl.DataFrame, panel: Panel) -> None:
    alone = build_panel(features, ("BB",))
    again = build_panel(features.filter(pl.col("symbol") == "BB"), ("BB",))
    np.testing.assert_array_equal(alone.features, again.features)
    assert alone.symbols == ("BB",)
    assert alone.open_time[0] == panel.open_time[50]


def test_real_symbols_of_an_exchange_share_its_sessions() -> None:
    bars = real_bars(STOCKS, "AAPL", "NVDA", last=200)
    panel = build_panel(compute_features(bars, STOCKS, None, FeatureConfig()), ("AAPL", "NVDA"))
    assert panel.mask.all()
    assert panel.rows == 200 - WARM_UP


def test_a_symbol_without_features_is_an_error(features: pl.DataFrame) -> None:
    with pytest.raises(InsufficientDataError, match="no features of DD, EE"):
        build_panel(features, ("AA", "EE", "DD"))


def test_too_little_history_for_all_is_an_error() -> None:
    with pytest.raises(InsufficientDataError, match="no bar of any symbol"):
        build_panel(features_of(bars_of("AA", wavy(WARM_UP))), ("AA",))


def test_two_bars_at_one_time_are_an_error(features: pl.DataFrame) -> None:
    with pytest.raises(BarDataError, match="2 bars repeat"):
        build_panel(pl.concat([features, features.tail(2)]), ("AA", "BB", "CC"))


def test_symbols_that_disagree_on_a_close_are_an_error(features: pl.DataFrame) -> None:
    mine = pl.col("symbol") == "CC"
    shifted = features.with_columns(close_time=pl.when(mine).then(pl.col("close_time") - DAY / 2).otherwise("close_time"))
    with pytest.raises(BarDataError, match="disagree"):
        build_panel(shifted, ("AA", "BB", "CC"))


def test_states_put_the_account_where_the_schema_says(panel: Panel) -> None:
    account = np.random.default_rng(0).random((*panel.mask.shape, 4), dtype=np.float32)
    joined = states(panel, account)
    assert joined.shape == (*panel.mask.shape, 34)
    assert joined.dtype == np.float32
    for name in MARKET_FEATURES:
        np.testing.assert_array_equal(joined[..., STATE_FEATURES.index(name)], panel.features[..., MARKET_FEATURES.index(name)])
    for i, name in enumerate(ACCOUNT_FEATURES):
        np.testing.assert_array_equal(joined[..., STATE_FEATURES.index(name)], account[..., i])


def test_states_of_another_shape_are_refused(panel: Panel) -> None:
    with pytest.raises(ValueError, match="account features must be"):
        states(panel, np.zeros((panel.rows, 3, 5), dtype=np.float32))


def test_a_saved_panel_comes_back_as_it_went(panel: Panel, tmp_path) -> None:
    save_panel(panel, tmp_path)
    loaded = load_panel(tmp_path)
    assert (loaded.symbols, loaded.feature_names) == (panel.symbols, panel.feature_names)
    assert loaded.context_names == panel.context_names
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(panel, name))
        assert getattr(loaded, name).dtype == getattr(panel, name).dtype


def test_saving_twice_writes_the_same_bytes(panel: Panel, tmp_path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        save_panel(panel, tmp_path / folder)
    assert all(path.read_bytes() == (tmp_path / "two" / path.name).read_bytes() for path in (tmp_path / "one").iterdir())


def cut_short(folder) -> None:
    whole = (folder / "panel.safetensors").read_bytes()
    (folder / "panel.safetensors").write_bytes(whole[: len(whole) // 2])


def of_another_schema(folder) -> None:
    manifest = json.loads((folder / "panel.json").read_text())
    (folder / "panel.json").write_text(json.dumps(manifest | {"state_schema": "state99/1"}))


def of_another_version(folder) -> None:
    manifest = json.loads((folder / "panel.json").read_text())
    (folder / "panel.json").write_text(json.dumps(manifest | {"schema_version": 99}))


def as_the_first_version(folder) -> None:
    """What the release before this one stored: neither context nor volatility nor volume, nor a name for them."""
    manifest = json.loads((folder / "panel.json").read_text())
    del manifest["context_names"]
    (folder / "panel.json").write_text(json.dumps(manifest | {"schema_version": 1}))
    arrays = load_file(folder / "panel.safetensors")
    kept = ("open_time", "close_time", "features", "mask", "open", "close", "ended")
    save_file({name: arrays[name] for name in kept}, folder / "panel.safetensors")


def test_a_panel_of_the_first_version_is_read_without_what_it_does_not_know(panel: Panel, tmp_path) -> None:
    save_panel(panel, tmp_path)
    as_the_first_version(tmp_path)
    loaded = load_panel(tmp_path)
    np.testing.assert_array_equal(loaded.features, panel.features)
    np.testing.assert_array_equal(loaded.tradable, loaded.mask)
    assert loaded.context_names == ()
    assert np.isnan(loaded.volatility).all()
    assert np.isnan(loaded.traded_value).all()


def without_a_tensor(folder) -> None:
    arrays = load_file(folder / "panel.safetensors")
    save_file({name: array for name, array in arrays.items() if name != "mask"}, folder / "panel.safetensors")


def without_context(folder) -> None:
    """A panel of this version that has only the tensors of the first."""
    manifest = (folder / "panel.json").read_text()
    as_the_first_version(folder)
    (folder / "panel.json").write_text(manifest)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (cut_short, "cannot be read"),
        (of_another_schema, "schema state99/1"),
        (of_another_version, "schema_version 99"),
        (without_a_tensor, "panel holds"),
        (without_context, "panel holds"),
        (lambda folder: (folder / "panel.json").unlink(), "cannot be read"),
    ],
)
def test_a_damaged_panel_is_refused(panel: Panel, tmp_path, damage, complaint: str) -> None:
    save_panel(panel, tmp_path)
    damage(tmp_path)
    with pytest.raises(StorageError, match=complaint):
        load_panel(tmp_path)
