"""An embedder learns from its span and from nothing after it, and the same training gives the same weights."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
import torch

from tests.unit.forecasting.embeddings.embedding_samples import (
    COINS,
    CONFIG,
    bars_of_coins,
    fitted,
    forecaster,
    panel_of_bars,
    series_of_bars,
    spans_of,
)
from toto_ops.errors import ConfigError, InsufficientDataError, StorageError
from toto_ops.forecasting.embeddings.embedder import FittedEmbedder, load_embedder, save_embedder
from toto_ops.forecasting.embeddings.fitting import EmbedderScores, fit_embedder
from toto_ops.learning.splits import Span


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return bars_of_coins(280)


@pytest.fixture(scope="module")
def embedder(bars: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> FittedEmbedder:
    return fitted(forecaster(), bars, tmp_path_factory.mktemp("fit"))


def test_the_same_seed_gives_the_same_weights_bit_for_bit(embedder: FittedEmbedder, bars: pl.DataFrame, tmp_path: Path) -> None:
    assert fitted(forecaster(), bars, tmp_path).identity == embedder.identity
    reseeded = CONFIG.model_copy(update={"embeddings": CONFIG.embeddings.model_copy(update={"seed": 1})})
    assert fitted(forecaster(), bars, tmp_path / "other", reseeded).identity != embedder.identity


def test_bars_after_its_validation_change_nothing(embedder: FittedEmbedder, bars: pl.DataFrame, tmp_path: Path) -> None:
    panel = panel_of_bars(bars)
    spans = spans_of(panel)
    later = pl.col("close_time") > spans.validation.until
    prices = [pl.when(later).then(3.0 * pl.col(name)).otherwise(name).alias(name) for name in ("open", "high", "low", "close")]
    rewritten = bars.with_columns(prices)
    assert rewritten["close"].sum() != bars["close"].sum()
    again = fit_embedder(
        forecaster(),
        series_of_bars(rewritten),
        panel_of_bars(rewritten),
        spans=spans,
        config=CONFIG,
        work="work",
        folder=tmp_path,
    )
    assert again.identity == embedder.identity


def test_bars_of_its_span_do_change_it(embedder: FittedEmbedder, bars: pl.DataFrame, tmp_path: Path) -> None:
    at = spans_of(panel_of_bars(bars)).fit.until - timedelta(days=20)
    rewritten = bars.with_columns(close=pl.when(pl.col("close_time") == at).then("high").otherwise("close"))
    assert fitted(forecaster(), rewritten, tmp_path).identity != embedder.identity


def test_it_says_what_it_knows_and_what_it_is_of(embedder: FittedEmbedder, bars: pl.DataFrame) -> None:
    manifest = embedder.manifest
    assert manifest.knows_until == spans_of(panel_of_bars(bars)).validation.until
    assert manifest.symbols == COINS
    assert manifest.forecaster_identity == forecaster().identity
    assert manifest.metrics["validation_loss"] > 0
    assert 1 / 3 <= manifest.metrics["validation_regime_majority"] <= 1


def test_what_its_forecaster_knows_it_knows(bars: pl.DataFrame, tmp_path: Path) -> None:
    own = forecaster()
    late = max(bars["close_time"])
    own = replace(own, manifest=own.manifest.model_copy(update={"knows_until": late, "possibly_knows_until": late}))
    manifest = fitted(own, bars, tmp_path).manifest
    assert manifest.knows_until == manifest.possibly_knows_until == late


def test_the_vector_of_an_unknown_symbol_is_trained_too(embedder: FittedEmbedder, bars: pl.DataFrame, tmp_path: Path) -> None:
    hidden = CONFIG.embeddings.model_copy(update={"unknown_share": 1e-9})
    never = fitted(forecaster(), bars, tmp_path, CONFIG.model_copy(update={"embeddings": hidden}))
    # Weight decay alone turns no vector; only what is learnt does.
    begun, learnt = (one.network.symbol.weight[0].detach() for one in (never, embedder))
    assert torch.cosine_similarity(begun, learnt, dim=0) < 0.999


def test_a_killed_training_goes_on_and_ends_the_same(embedder: FittedEmbedder, bars: pl.DataFrame, tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill(epoch: int, scores: EmbedderScores) -> None:
        raise KilledError

    panel = panel_of_bars(bars)
    done: list[int] = []

    def fit(on_epoch: object) -> FittedEmbedder:
        return fit_embedder(
            forecaster(),
            series_of_bars(bars),
            panel,
            spans=spans_of(panel),
            config=CONFIG,
            work="work",
            folder=tmp_path,
            on_epoch=on_epoch,  # type: ignore[arg-type]
        )

    with pytest.raises(KilledError):
        fit(kill)
    resumed = fit(lambda epoch, _: done.append(epoch))
    assert done == [1]
    assert resumed.identity == embedder.identity


def test_a_span_without_outcomes_is_refused(bars: pl.DataFrame, tmp_path: Path) -> None:
    panel = panel_of_bars(bars)
    spans = spans_of(panel)
    short = replace(spans, validation=Span(after=spans.fit.until, until=spans.fit.until + timedelta(hours=1)))
    with pytest.raises(InsufficientDataError, match="for an embedder to learn from"):
        fit_embedder(forecaster(), series_of_bars(bars), panel, spans=short, config=CONFIG, work="work", folder=tmp_path)


def test_a_width_its_heads_cannot_share_is_refused(bars: pl.DataFrame, tmp_path: Path) -> None:
    odd = CONFIG.model_copy(update={"embeddings": CONFIG.embeddings.model_copy(update={"heads": 3})})
    with pytest.raises(ConfigError, match="multiple of heads"):
        fitted(forecaster(), bars, tmp_path, odd)


class TestFiles:
    def test_it_is_read_back_as_it_was(self, embedder: FittedEmbedder, tmp_path: Path) -> None:
        save_embedder(embedder, tmp_path)
        read = load_embedder(tmp_path)
        assert read.manifest == embedder.manifest
        assert read.identity == embedder.identity
        assert not read.network.training

    def test_damage_is_named(self, embedder: FittedEmbedder, tmp_path: Path) -> None:
        save_embedder(embedder, tmp_path)
        (tmp_path / "embedder.safetensors").write_bytes(b"not tensors")
        with pytest.raises(StorageError, match=r"embedder\.safetensors"):
            load_embedder(tmp_path)

    def test_weights_of_another_shape_are_refused(self, embedder: FittedEmbedder, tmp_path: Path) -> None:
        save_embedder(embedder, tmp_path)
        shape = embedder.manifest.shape.model_copy(update={"state": 3})
        (tmp_path / "embedder.json").write_text(embedder.manifest.model_copy(update={"shape": shape}).model_dump_json())
        with pytest.raises(StorageError, match=r"cannot be read as what embedder\.json says"):
            load_embedder(tmp_path)

    def test_an_empty_folder_holds_none(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="no readable embedder"):
            load_embedder(tmp_path)
