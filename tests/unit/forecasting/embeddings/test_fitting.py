"""An embedder learns from its span and from nothing after it, and the same training gives the same weights."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from tests.unit.features.bar_histories import bars_of
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
from toto_ops.errors import InsufficientDataError, StorageError
from toto_ops.forecasting.embeddings.embedder import FittedEmbedder, load_embedder, save_embedder
from toto_ops.forecasting.embeddings.fitting import EmbedderScores, fit_embedder
from toto_ops.forecasting.embeddings.outlook import Outcomes, outcomes
from toto_ops.forecasting.embeddings.placing import placed
from toto_ops.forecasting.quantiles import LEVELS
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


def test_the_scales_are_those_of_the_bars_it_is_fitted_on(embedder: FittedEmbedder, bars: pl.DataFrame, tmp_path: Path) -> None:
    """Whatever validation holds, and however many epochs it then takes."""
    spans = spans_of(panel_of_bars(bars))
    judged = pl.col("close_time").is_between(spans.fit.until, spans.validation.until, closed="right")
    prices = ("open", "high", "low", "close")
    moved = bars.with_columns(pl.when(judged).then(1.5 * pl.col(name)).otherwise(pl.col(name)).alias(name) for name in prices)
    again = fit_embedder(
        forecaster(), series_of_bars(moved), panel_of_bars(moved), spans=spans, config=CONFIG, work="work", folder=tmp_path
    )
    scales, others = (dict(one.network.named_buffers()) for one in (embedder, again))
    assert {"state_location", "state_scale", "context_location", "context_scale"} <= scales.keys()
    assert all(torch.equal(scales[name], others[name]) for name in scales)
    assert again.manifest.metrics["validation_loss"] != embedder.manifest.metrics["validation_loss"]


def persisting(symbol: str, seed: int, bars: int = 1400) -> pl.DataFrame:
    """Nine moves in ten go where the one before went, and calm and wild stretches last for about 65 bars."""
    rng = np.random.default_rng(seed)
    direction = np.where(np.cumsum(rng.random(bars) > 0.9) % 2 == 0, 1.0, -1.0)
    size = np.where(np.cumsum(rng.random(bars) > 0.985) % 2 == 0, 0.03, 0.01)
    return bars_of(symbol, 100.0 * np.exp(np.cumsum(direction * size * np.abs(rng.normal(1.0, 0.3, bars)))))


class TestLearning:
    """On a market whose moves and volatility persist: what is to be learnt there is learnt, on bars it was not fitted on."""

    CONFIG = CONFIG.model_copy(
        update={"embeddings": CONFIG.embeddings.model_copy(update={"epochs": 8, "patience": 8, "learning_rate": 5e-3})}
    )

    @pytest.fixture(scope="class")
    def planted(self) -> pl.DataFrame:
        return pl.concat(persisting(symbol, seed) for seed, symbol in enumerate(("AAA", "BBB", "CCC")))

    @pytest.fixture(scope="class")
    def metrics(self, planted: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
        folder = tmp_path_factory.mktemp("planted")
        return fitted(forecaster("statistical"), planted, folder, self.CONFIG).manifest.metrics

    @pytest.fixture(scope="class")
    def came(self, planted: pl.DataFrame) -> Outcomes:
        """What came to be on validation, of the symbols that are present."""
        panel = panel_of_bars(planted)
        whole = outcomes(panel, placed(panel, series_of_bars(planted)), spans_of(panel).validation, CONFIG.horizons)
        present = torch.from_numpy(panel.mask)
        return Outcomes(whole.returns[present], whole.volatility[present], whole.regime[present])

    def test_it_foretells_returns_better_than_a_random_walk(self, metrics: dict[str, float]) -> None:
        assert metrics["validation_returns"] < 0.85 * metrics["validation_returns_random_walk"]

    def test_it_foretells_regimes_better_than_who_always_says_the_same(self, metrics: dict[str, float]) -> None:
        assert metrics["validation_regime_accuracy"] > metrics["validation_regime_majority"] + 0.05

    def test_it_foretells_volatility_better_than_the_best_constant(self, metrics: dict[str, float], came: Outcomes) -> None:
        known = came.volatility[~torch.isnan(came.volatility)]
        constants = torch.linspace(float(known.min()), float(known.max()), 200)
        least = min(float(torch.nn.functional.huber_loss(one.expand_as(known), known)) for one in constants)
        assert metrics["validation_volatility"] < 0.95 * least

    def test_what_it_is_measured_against_is_what_who_knows_nothing_scores(
        self, metrics: dict[str, float], came: Outcomes
    ) -> None:
        missed = came.returns[~torch.isnan(came.returns)].double().numpy()[:, None] - norm.ppf(LEVELS)
        pinball = np.maximum(np.array(LEVELS) * missed, (np.array(LEVELS) - 1.0) * missed)
        assert metrics["validation_returns_random_walk"] == pytest.approx(pinball.mean(), rel=1e-5)
        told = came.regime[came.regime >= 0].tolist()
        assert metrics["validation_regime_majority"] == pytest.approx(max(map(told.count, range(3))) / len(told))

    def test_the_kept_weights_are_those_of_the_lowest_loss_on_validation(
        self, planted: pl.DataFrame, metrics: dict[str, float], tmp_path: Path
    ) -> None:
        told: list[EmbedderScores] = []
        panel = panel_of_bars(planted)
        fit_embedder(
            forecaster("statistical"),
            series_of_bars(planted),
            panel,
            spans=spans_of(panel),
            config=self.CONFIG,
            work="work",
            folder=tmp_path,
            on_epoch=lambda _, scores: told.append(scores),
        )
        best = min(told, key=lambda scores: scores.validation.loss)
        assert metrics["validation_loss"] == best.validation.loss < told[0].validation.loss
        assert metrics["train_loss"] == best.train.loss


def test_the_learning_rate_falls_along_a_half_cosine(bars: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []

    class Recording(torch.optim.AdamW):
        def step(self, closure: Any = None) -> Tensor | None:  # type: ignore[override]
            rates.extend(group["lr"] for group in self.param_groups)
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "AdamW", Recording)
    config = CONFIG.embeddings.model_copy(update={"epochs": 4, "patience": 4, "learning_rate": 0.01})
    fitted(forecaster(), bars, tmp_path, CONFIG.model_copy(update={"embeddings": config}))
    half = math.sqrt(0.5)
    assert list(dict.fromkeys(rates)) == pytest.approx([0.01, 0.005 * (1.0 + half), 0.005, 0.005 * (1.0 - half)])


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
