"""Pretraining: it learns what there is to learn, stops in time, and a kill changes nothing of what comes out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from torch import Tensor

from tests.unit.forecasting.pretraining.bar_sources import QUICK, bars_of, in_memory, in_parquet, spans_of, untrained_market
from toto_ops.errors import InsufficientDataError, LookAheadError
from toto_ops.forecasting.backbones.loading import Loaded
from toto_ops.forecasting.backbones.statistical import StatisticalBackbone
from toto_ops.forecasting.config import ForecastingConfig
from toto_ops.forecasting.forecaster import Forecaster
from toto_ops.forecasting.head import QuantileHead
from toto_ops.forecasting.pretraining import course, learners
from toto_ops.forecasting.pretraining.course import EpochScores
from toto_ops.forecasting.pretraining.pretrain import PretrainingInputs, _keep_what_foretells, pretrain
from toto_ops.forecasting.pretraining.series_source import ParquetSeries, SeriesSource
from toto_ops.forecasting.quantiles import NORMAL_QUANTILES
from toto_ops.forecasting.reuse.library import StoredModel
from toto_ops.forecasting.reuse.records import Record
from toto_ops.forecasting.series import VARIATES
from toto_ops.learning import epochs
from toto_ops.learning.checkpoints import load_checkpoint, save_checkpoint
from toto_ops.learning.epochs import Progress

LENGTH = 300
SOME = {"A": bars_of(LENGTH, 0, momentum=0.6), "B": bars_of(LENGTH, 1, momentum=0.6), "C": bars_of(LENGTH - 120, 2, momentum=0.6)}
SPANS = spans_of(SOME["A"])
HOURLY = Path(__file__).parents[3] / "fixtures" / "BTCEUR_1h.parquet"


def lesson(
    config: ForecastingConfig = QUICK, source: SeriesSource | None = None, loaded: Loaded | None = None, **more: Any
) -> PretrainingInputs:
    return PretrainingInputs(
        universe="tried",
        source=source or in_memory(SOME),
        spans=SPANS,
        loaded=loaded or untrained_market(config),
        config=config,
        data_hash="data",
        inputs_hash=more.pop("inputs_hash", "inputs"),
        code_version="1",
        **more,
    )


def with_pretraining(**changes: Any) -> ForecastingConfig:
    return QUICK.model_copy(update={"pretraining": QUICK.pretraining.model_copy(update=changes)})


def statistical(config: ForecastingConfig = QUICK) -> Loaded:
    return Loaded(StatisticalBackbone(config.statistical), config.statistical, ())


def same_weights(one: Forecaster, other: Forecaster) -> bool:
    first, second = one.network.state_dict(), other.network.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def scores_told(inputs: PretrainingInputs, folder: Path) -> tuple[Forecaster, list[EpochScores]]:
    told: list[tuple[int, EpochScores]] = []
    fitted = pretrain(inputs, folder, lambda epoch, scores: told.append((epoch, scores)))
    assert [epoch for epoch, _ in told] == list(range(len(told)))
    return fitted, [scores for _, scores in told]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Forecaster:
    return pretrain(lesson(), tmp_path_factory.mktemp("fitted"))


def test_it_learns_that_returns_follow_each_other(tmp_path: Path) -> None:
    """A return that follows the one before by 0.6 has a known part that the random walk does not foretell."""
    fitted, told = scores_told(lesson(with_pretraining(epochs=12, patience=12)), tmp_path)
    metrics = fitted.manifest.metrics
    assert metrics["beats_random_walk"] == 1.0
    assert metrics["validation_loss"] < 0.99 * metrics["untrained_validation_loss"]
    assert metrics["validation_close_loss"] < 0.99 * metrics["untrained_validation_close_loss"]
    assert metrics["ic_validation_1"] > 0.25
    assert metrics["validation_loss"] == min(scores.validation for scores in told)


def test_the_epoch_before_the_first_step_is_the_random_walk(tmp_path: Path) -> None:
    fitted, told = scores_told(lesson(with_pretraining(epochs=1)), tmp_path)
    assert len(told) == 2
    assert told[0].validation == pytest.approx(fitted.manifest.metrics["untrained_validation_loss"], rel=1e-5)
    assert told[1].train != told[0].train


@pytest.mark.parametrize("backbone", [untrained_market, statistical])
def test_where_nothing_beats_the_random_walk_the_forecaster_is_it_and_says_so(tmp_path: Path, backbone: Any) -> None:
    """Steps as large as these make everything worse."""
    config = with_pretraining(epochs=2, learning_rate=3.0, batch=64)
    fitted = pretrain(lesson(config, loaded=backbone(config)), tmp_path)
    metrics = fitted.manifest.metrics
    assert (metrics["beats_random_walk"], metrics["best_epoch"], metrics["epochs"]) == (0.0, 0.0, 2.0)
    assert metrics["validation_loss"] == pytest.approx(metrics["untrained_validation_loss"], rel=1e-5)
    said = fitted.head(torch.randn(5, fitted.backbone.width))
    torch.testing.assert_close(said, torch.tensor(NORMAL_QUANTILES).expand_as(said), atol=1e-5, rtol=0)
    assert metrics["validation_close_loss"] == pytest.approx(metrics["untrained_validation_close_loss"], rel=1e-5)
    assert metrics["ic_validation_1"] == 0.0


def test_a_variate_that_was_not_learnt_is_a_random_walk_and_the_others_are_kept() -> None:
    head = QuantileHead(8, 16, 3)
    torch.nn.init.normal_(head.out.weight)
    states = torch.randn(5, 8)
    before = head(states).detach()
    metrics = _keep_what_foretells(head, {"close": (1.0, 1.0), "range": (0.9, 1.0), "volume": (1.1, 1.0)})
    close, ranges, volume = head(states).detach().unbind(dim=1)
    random_walk = torch.tensor(NORMAL_QUANTILES).expand_as(close)
    torch.testing.assert_close(close, random_walk, atol=1e-5, rtol=0)
    torch.testing.assert_close(volume, random_walk, atol=1e-5, rtol=0)
    assert torch.equal(ranges, before[:, 1])
    assert [metrics[f"{name}_beats_random_walk"] for name in VARIATES] == [0.0, 1.0, 0.0]
    assert [metrics[f"validation_{name}_loss"] for name in VARIATES] == [1.0, 0.9, 1.0]


def test_the_manifest_says_what_it_is_and_what_it_knows(fitted: Forecaster) -> None:
    manifest = fitted.manifest
    assert (manifest.backbone, manifest.symbols, manifest.seed) == ("market", ("A", "B", "C"), 0)
    assert manifest.head == {"width": 16, "hidden": 16, "horizon": 3}
    assert manifest.backbone_identity == fitted.backbone.identity
    assert manifest.knows_until == SPANS.knows_until
    assert manifest.possibly_knows_until is None
    losses = {"train_loss", "validation_loss", "untrained_validation_loss", "beats_random_walk"}
    of_variates = {
        name
        for variate in VARIATES
        for name in (f"{variate}_beats_random_walk", f"validation_{variate}_loss", f"untrained_validation_{variate}_loss")
    }
    extent = {"best_epoch", "epochs", "windows", "bars"}
    skill = {"ic_fit_1", "ic_fit_3", "ic_validation_1", "ic_validation_3"}
    assert manifest.metrics.keys() == losses | of_variates | extent | skill
    fit_bars = [len(in_memory(SOME).rows(symbol, SPANS.fit)) for symbol in SOME]
    assert manifest.metrics["bars"] == sum(fit_bars)
    assert not fitted.network.training


def test_bars_after_what_it_knows_change_nothing(fitted: Forecaster, tmp_path: Path) -> None:
    until = {symbol: bars.filter(pl.col("close_time") <= SPANS.knows_until) for symbol, bars in SOME.items()}
    assert any(len(until[symbol]) < len(SOME[symbol]) for symbol in SOME)
    again = pretrain(lesson(source=in_memory(until)), tmp_path)
    assert same_weights(again, fitted)
    assert again.manifest == fitted.manifest


def test_validation_bars_choose_the_epoch_and_no_weight(tmp_path: Path) -> None:
    """With other validation bars every epoch trains as before: only which one is best may differ."""
    changed = {
        symbol: bars.with_columns(
            close=pl.when(pl.col("close_time") > SPANS.fit.until).then(pl.col("high")).otherwise(pl.col("close"))
        )
        for symbol, bars in SOME.items()
    }
    _, told = scores_told(lesson(), tmp_path / "one")
    _, other = scores_told(lesson(source=in_memory(changed)), tmp_path / "other")
    assert [scores.train for scores in told] == [scores.train for scores in other]
    assert [scores.validation for scores in told] != [scores.validation for scores in other]


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(fitted: Forecaster, tmp_path: Path) -> None:
    torch.manual_seed(99)
    again = pretrain(lesson(), tmp_path / "again")
    assert same_weights(again, fitted)
    assert again.manifest == fitted.manifest
    assert not same_weights(pretrain(lesson(with_pretraining(seed=1)), tmp_path / "other"), fitted)


def test_the_chosen_backbone_is_left_as_it_was(tmp_path: Path) -> None:
    loaded = untrained_market()
    before = loaded.backbone.identity
    assert pretrain(lesson(loaded=loaded), tmp_path).backbone.identity != before
    assert loaded.backbone.identity == before


@pytest.mark.parametrize("saves", [1, 2, 5, 8])
@pytest.mark.parametrize("backbone", [untrained_market, statistical])
def test_a_killed_pretraining_ends_with_the_weights_it_would_have_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saves: int, backbone: Any
) -> None:
    """The kill comes after the n-th write, so also between the `best` and the `last` of one epoch."""
    whole = pretrain(lesson(loaded=backbone()), tmp_path / "whole")
    done = 0

    def killing(*arguments: Any) -> None:
        nonlocal done
        if done == saves:
            raise KeyboardInterrupt
        done += 1
        save_checkpoint(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(epochs, "save_checkpoint", killing)
        with pytest.raises(KeyboardInterrupt):
            pretrain(lesson(loaded=backbone()), tmp_path / "killed")
    resumed = pretrain(lesson(loaded=backbone()), tmp_path / "killed")
    assert same_weights(resumed, whole)
    assert resumed.manifest == whole.manifest
    for name in ("best.safetensors", "last.safetensors"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_finished_pretraining_is_not_done_again(fitted: Forecaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretrain(lesson(), tmp_path)

    def never(*_: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(learners.EndToEnd, "teach", never)
    assert same_weights(pretrain(lesson(), tmp_path), fitted)


@pytest.mark.parametrize("other", [{"inputs_hash": "of other bars"}, {"loaded": statistical()}])
def test_checkpoints_of_other_work_are_not_resumed_from(tmp_path: Path, other: Mapping[str, Any], fitted: Forecaster) -> None:
    pretrain(lesson(with_pretraining(epochs=1), **other), tmp_path)
    assert same_weights(pretrain(lesson(), tmp_path), fitted)


def test_it_stops_once_the_validation_loss_has_not_fallen_for_so_long(tmp_path: Path) -> None:
    config = with_pretraining(epochs=50, patience=2, learning_rate=0.05)
    metrics = pretrain(lesson(config), tmp_path).manifest.metrics
    assert metrics["epochs"] == metrics["best_epoch"] + 2 < 50


def test_the_learning_rate_falls_to_nothing_along_a_half_cosine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = torch.optim.AdamW.step

    def watched(self: torch.optim.AdamW, *arguments: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    pretrain(lesson(with_pretraining(epochs=3, patience=9, batch=2, learning_rate=0.01)), tmp_path)
    assert len(rates) % 3 == 0
    assert rates == pytest.approx([0.005 * (1 + math.cos(math.pi * step / len(rates))) for step in range(len(rates))])


def test_tensorboard_has_both_losses_of_every_epoch(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

    _, told = scores_told(lesson(), tmp_path)
    curves = EventAccumulator(str(tmp_path / "tensorboard"))
    curves.Reload()
    for span in ("train", "validation"):
        drawn = [(event.step, event.value) for event in curves.Scalars(f"loss/{span}")]
        assert [step for step, _ in drawn] == list(range(len(told)))
        assert [value for _, value in drawn] == pytest.approx([getattr(scores, span) for scores in told])


def test_a_finished_backbone_stays_as_it_is_and_its_head_learns(tmp_path: Path) -> None:
    loaded = statistical()
    before = loaded.backbone.identity
    config = with_pretraining(epochs=12, patience=12)
    fitted = pretrain(lesson(config, loaded=loaded), tmp_path)
    assert fitted.backbone.identity == before == fitted.manifest.backbone_identity
    assert fitted.manifest.backbone == "statistical"
    assert fitted.manifest.metrics["beats_random_walk"] == 1.0


def test_states_of_a_finished_backbone_are_computed_once_while_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    states = StatisticalBackbone.states

    def counted(self: StatisticalBackbone, x: Tensor) -> Tensor:
        asked.append(len(x))
        return states(self, x)

    monkeypatch.setattr(StatisticalBackbone, "states", counted)
    kept = pretrain(lesson(loaded=statistical()), tmp_path / "kept")
    once = sum(asked)
    asked.clear()
    monkeypatch.setattr(learners, "HELD_STATES", 0)
    anew = pretrain(lesson(loaded=statistical()), tmp_path / "anew")
    assert sum(asked) > 4 * once
    assert same_weights(kept, anew)


def test_streamed_bars_give_the_same_forecaster(fitted: Forecaster, tmp_path: Path) -> None:
    assert same_weights(pretrain(lesson(source=in_parquet(SOME, tmp_path)), tmp_path / "checkpoints"), fitted)


def test_hourly_bars_are_streamed(tmp_path: Path) -> None:
    """3,000 real hourly bars with gaps between them; the random walk in its own volatility is what there is to beat."""
    source = ParquetSeries({"BTCEUR": HOURLY})
    spans = spans_of(pl.read_parquet(HOURLY))
    fitted = pretrain(replace(lesson(source=source), spans=spans), tmp_path)
    assert fitted.manifest.metrics["bars"] == 1125
    assert fitted.manifest.metrics["beats_random_walk"] == 1.0
    assert fitted.manifest.knows_until == spans.validation.until


def test_a_symbol_too_short_to_learn_from_is_left_out(tmp_path: Path) -> None:
    source = in_memory({**SOME, "NEW": bars_of(20, 5)})
    assert pretrain(lesson(source=source), tmp_path).manifest.symbols == ("A", "B", "C")


def test_no_symbol_with_bars_enough_is_an_error_that_names_the_span(tmp_path: Path) -> None:
    with pytest.raises(InsufficientDataError, match=r"fit span .* 37 bars are needed"):
        pretrain(lesson(source=in_memory({"A": bars_of(20)})), tmp_path)


def test_constant_prices_do_not_break_it(tmp_path: Path) -> None:
    standing = bars_of(LENGTH).with_columns(open=5.0, high=5.0, low=5.0, close=5.0, volume=0.0)
    fitted = pretrain(lesson(source=in_memory({"STANDING": standing, **SOME})), tmp_path)
    assert all(torch.isfinite(tensor).all() for tensor in fitted.network.state_dict().values())


def test_a_loss_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="learning_rate"):
        pretrain(lesson(with_pretraining(learning_rate=1e30)), tmp_path)


class StoredTensors:
    """Weights of an earlier forecaster."""

    identity = "earlier"

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._tensors = tensors

    def tensors(self) -> dict[str, Tensor]:
        return self._tensors


def earlier(forecaster: Forecaster, knows_until: datetime | None) -> StoredModel:
    tensors = {name: tensor.clone() for name, tensor in forecaster.network.state_dict().items()}
    return StoredModel("earlier", "folder/earlier", Record(kind="market", knows_until=knows_until), StoredTensors(tensors))


def test_weights_that_are_taken_over_stay_and_the_head_is_trained(fitted: Forecaster, tmp_path: Path) -> None:
    again = pretrain(lesson(reuse=earlier(fitted, SPANS.fit.until), inputs_hash="reused"), tmp_path)
    taken, trained = fitted.network.state_dict(), again.network.state_dict()
    of_head = [name for name in taken if name.startswith("backbone.head.")]
    assert all(torch.equal(taken[name], trained[name]) for name in taken if name not in of_head)
    assert again.manifest.reused is not None
    assert again.manifest.reused["loaded"].keys() == taken.keys()
    assert again.manifest.metrics["validation_loss"] <= fitted.manifest.metrics["validation_loss"]


def test_weights_that_are_taken_over_are_trained_on_request(fitted: Forecaster, tmp_path: Path) -> None:
    config = QUICK.model_copy(update={"reuse": QUICK.reuse.model_copy(update={"enabled": True, "unfreeze": True})})
    again = pretrain(lesson(config, reuse=earlier(fitted, SPANS.fit.until), inputs_hash="unfrozen"), tmp_path)
    names = [name for name in fitted.network.state_dict() if not name.startswith("backbone.head.")]
    last, _ = load_checkpoint(tmp_path / "last.safetensors", Progress[EpochScores]) or ({}, None)
    assert any(not torch.equal(last[f"model.{name}"], fitted.network.state_dict()[name]) for name in names)
    assert again.manifest.metrics["validation_loss"] <= fitted.manifest.metrics["validation_loss"]


def test_it_knows_what_the_model_it_began_from_knew(fitted: Forecaster, tmp_path: Path) -> None:
    later = datetime(2030, 1, 1, tzinfo=UTC)
    config = with_pretraining(epochs=1)
    assert pretrain(lesson(config, reuse=earlier(fitted, later)), tmp_path / "later").manifest.knows_until == later
    with pytest.raises(LookAheadError, match="does not say which bars"):
        pretrain(lesson(config, reuse=earlier(fitted, None)), tmp_path / "unknown")


def test_a_reused_head_that_does_not_beat_the_random_walk_is_forgotten(fitted: Forecaster, tmp_path: Path) -> None:
    stored = earlier(fitted, SPANS.fit.until)
    stored.weights.tensors()["backbone.head.out.bias"] += 5.0
    config = with_pretraining(epochs=1, learning_rate=1e-6)
    again = pretrain(lesson(config, reuse=stored), tmp_path)
    assert again.manifest.metrics["beats_random_walk"] == 0.0
    said = again.head(torch.randn(5, again.backbone.width))
    torch.testing.assert_close(said, torch.tensor(NORMAL_QUANTILES).expand_as(said), atol=1e-5, rtol=0)


def test_each_epoch_has_an_order_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[int | None] = []
    batches = course.batches

    def watched(*arguments: Any, order: int | None = None) -> Any:
        orders.append(order)
        return batches(*arguments, order=order)

    monkeypatch.setattr(course, "batches", watched)
    pretrain(lesson(with_pretraining(epochs=3, patience=3)), tmp_path)
    drawn = [order for order in orders if order is not None]
    assert len(drawn) == len(set(drawn)) == 3
