"""What a forecast of one symbol says, against the same worked out by hand from its bars and the stored weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from scipy.special import ndtr

from tests.unit.features.bar_histories import bars_of
from tests.unit.forecasting.embeddings.embedding_samples import CONFIG, forecaster
from tests.unit.pipeline.joining_samples import Coins
from toto_ops.errors import BarDataError, InsufficientDataError, StaleBarsError, StorageError, SymbolNameError
from toto_ops.features.moments import to_aware
from toto_ops.forecasting.config import SpecialistConfig
from toto_ops.forecasting.forecaster import Forecaster, PassedOver
from toto_ops.forecasting.forecaster_files import save_forecaster
from toto_ops.forecasting.quantiles import LEVELS
from toto_ops.forecasting.series import series_of, stacked
from toto_ops.forecasting.specialists.adapters import CloseHead, StackedAdapters
from toto_ops.forecasting.specialists.files import save_specialists
from toto_ops.forecasting.specialists.specialists import SpecialistRow, Specialists, SpecialistsManifest
from toto_ops.market.bars import store_bars
from toto_ops.market.snapshot import Snapshot, SnapshotEntry
from toto_ops.monitoring.staleness import Fingerprint
from toto_ops.pipeline import forecast_answers
from toto_ops.pipeline.forecast_answers import ForecastAnswer, ForecastStep, forecast
from toto_ops.pipeline.forecasting_steps import EMBEDDER, FORECASTER, SPECIALISTS
from toto_ops.pipeline.retraining_decision import LastRetraining, last_retraining_document
from toto_ops.serving.market_view import publish_market
from toto_ops.storage.store import ArtefactKey, ArtefactRef

OWN = "AAA"
"""Has a specialist."""

GENERIC = "BBB"
"""Has none: it did not beat the forecaster."""

NEW = "NEW"
"""The forecaster was fitted without it."""

SHORT = "TINY"
QUARANTINED = "ODD"
LENGTHS = {OWN: 200, GENERIC: 180, NEW: 150, SHORT: 30}
SPECIAL_HORIZONS = (1, 5)


@dataclass(frozen=True)
class Retrained:
    """A universe that is served, and what its retraining made."""

    coins: Coins
    specialists: Specialists
    bars: Mapping[str, pl.DataFrame]

    def ask(self, symbol: str, horizon: int = CONFIG.horizon) -> ForecastAnswer:
        return forecast(self.coins.project, self.coins.universe, symbol, horizon)

    def settle(self, retrain_id: str) -> None:
        """Note a retraining as the last one that succeeded."""
        noted = LastRetraining(
            retrain_id=retrain_id,
            completed_at=datetime(2023, 1, 1, tzinfo=UTC),
            fingerprint=Fingerprint(sources={}, config_hash="c", code_versions={}),
        )
        self.coins.project.store.write_model(last_retraining_document("coins"), noted)

    def publish(self, retrain_id: str) -> None:
        """Serve all symbols, as a run leaves them."""
        store, entries = self.coins.project.store, [SnapshotEntry(symbol=QUARANTINED, status="quarantined", reasons=("odd",))]
        for symbol, bars in self.bars.items():
            ref = store_bars(store, "coins", symbol, bars).ref
            entries.append(SnapshotEntry(symbol=symbol, status="included", bars=ref.content_hash, inputs_hash=ref.inputs_hash))
        as_of = max(bars["close_time"].max() for bars in self.bars.values())
        snapshot = Snapshot(universe="coins", retrain_id=retrain_id, as_of=as_of, config_hash="c", entries=tuple(entries))
        publish_market(store, snapshot, ArtefactRef(ArtefactKey("coins", "panel"), "p", "i"))

    def record_models(self, retrain_id: str) -> None:
        """Note that a run made the forecaster, its specialists and an embedder."""
        retraining = self.coins.project.retraining(self.coins.universe, retrain_id)
        made = {
            FORECASTER: partial(save_forecaster, self.specialists.forecaster),
            SPECIALISTS: partial(save_specialists, self.specialists),
        }
        for name, write in made.items():
            retraining.record(retraining.store.put(retraining.key(name), "inputs", write))
        retraining.record(ArtefactRef(retraining.key(EMBEDDER), "e", "i"))


def own_forecaster() -> Forecaster:
    own = forecaster("statistical")
    said = {"symbols": (OWN, GENERIC), "passed_over": (PassedOver(backbone="toto", reason="its package is not installed"),)}
    return replace(own, manifest=own.manifest.model_copy(update=said))


def specialists_of(own: Forecaster) -> Specialists:
    """One symbol has a specialist, of weights drawn at random."""
    config = SpecialistConfig(rank=2)
    adapters = StackedAdapters(CloseHead(own.head, SPECIAL_HORIZONS), 1, config.rank)
    torch.manual_seed(6)
    for weights in adapters.parameters():
        torch.nn.init.normal_(weights, std=0.3)
    losses = {"fit_bars": 100, "validation_bars": 30, "generic_loss": 0.3, "reason": ""}
    manifest = SpecialistsManifest(
        universe="coins",
        forecaster_identity=own.identity,
        horizons=SPECIAL_HORIZONS,
        config=config,
        seed=0,
        knows_until=own.manifest.knows_until,
        table=(
            SpecialistRow(symbol=OWN, specialist_loss=0.2, kept=True, **losses),
            SpecialistRow(symbol=GENERIC, specialist_loss=0.4, kept=False, **losses),
        ),
    )
    return Specialists(own, adapters, manifest)


def random_walk(symbol: str, seed: int, length: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    close = 50.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, length)))
    return bars_of(symbol, close, rng.lognormal(8.0, 1.0, length)).drop("symbol")


def not_retrained(folder: Path) -> Retrained:
    coins = Coins(folder)
    coins.configure(max_bar_age_days=1e6)
    bars = {symbol: random_walk(symbol, seed, length) for seed, (symbol, length) in enumerate(LENGTHS.items())}
    return Retrained(coins, specialists_of(own_forecaster()), bars)


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> Retrained:
    retrained = not_retrained(tmp_path_factory.mktemp("answers"))
    retrained.publish("whole")
    retrained.settle("whole")
    retrained.record_models("whole")
    return retrained


def expected_returns(retrained: Retrained, symbol: str, *, special: bool) -> np.ndarray:
    """`[H, Q]` quantiles of the log returns over 1 to `H` bars, in plain arithmetic from the state of the newest bar."""
    own, adapters = retrained.specialists.forecaster, retrained.specialists.adapters
    bars = retrained.bars[symbol]
    state = own.backbone.embed(stacked([series_of(symbol, bars)]))[0, 0, -1].double().numpy()
    weights = {name: tensor.double().numpy() for name, tensor in own.head.state_dict().items()}
    change = {name: tensor[0].double().numpy() for name, tensor in adapters.state_dict().items()}

    centred = (state - state.mean()) / np.sqrt(state.var() + own.head.norm.eps)
    into = weights["hidden.weight"] + (change["down"] @ change["up"]).T * special
    hidden = into @ (centred * weights["norm.weight"] + weights["norm.bias"]) + weights["hidden.bias"]
    hidden *= ndtr(hidden)  # GELU
    rows = CONFIG.horizon * len(LEVELS)  # the close comes first
    outputs = (weights["out.weight"][:rows] @ hidden + weights["out.bias"][:rows]).reshape(CONFIG.horizon, len(LEVELS))
    if special:
        outputs[[one - 1 for one in SPECIAL_HORIZONS]] += (hidden @ change["out_down"] @ change["out_up"]).reshape(2, -1)

    steps, middle = np.logaddexp(0.0, outputs), len(LEVELS) // 2
    quantiles = np.empty_like(outputs)
    quantiles[:, middle] = outputs[:, middle]
    for level in range(middle):
        quantiles[:, middle + level + 1] = quantiles[:, middle + level] + steps[:, middle + level + 1]
        quantiles[:, middle - level - 1] = quantiles[:, middle - level] - steps[:, middle - level - 1]
    latest = np.diff(np.log(bars["close"].to_numpy()))[-32:]
    return quantiles * np.sqrt(np.square(latest).mean()) * np.sqrt(np.arange(1, CONFIG.horizon + 1))[:, None]


def chance_of_rise(quantiles: np.ndarray) -> float:
    """One less the distribution function at 0: straight between the levels, and on from the outer two by the same steps."""
    knots = [2 * quantiles[0] - quantiles[1], *quantiles, 2 * quantiles[-1] - quantiles[-2]]
    return float(1.0 - np.interp(0.0, knots, [0.0, *LEVELS, 1.0]))


def assert_says(step: ForecastStep, returns: np.ndarray, close: float) -> None:
    assert [float(level) for level in step.returns] == list(LEVELS) == [float(level) for level in step.prices]
    np.testing.assert_allclose(list(step.returns.values()), returns, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(list(step.prices.values()), close * np.exp(returns), rtol=1e-5)
    assert step.up == pytest.approx(chance_of_rise(returns), abs=1e-4)


def test_without_a_specialist_the_forecaster_of_all_symbols_answers(retrained: Retrained) -> None:
    answer = retrained.ask(GENERIC)
    close = retrained.bars[GENERIC]["close"][-1]
    assert answer.close == pytest.approx(close)
    assert [step.ahead for step in answer.steps] == [1, 2, 3, 4, 5]
    for step, returns in zip(answer.steps, expected_returns(retrained, GENERIC, special=False), strict=True):
        assert step.by == "generic"
        assert_says(step, returns, close)


def test_a_specialist_answers_over_its_own_horizons_alone(retrained: Retrained) -> None:
    answer = retrained.ask(OWN)
    generic, special = (expected_returns(retrained, OWN, special=one) for one in (False, True))
    assert {step.ahead: step.by for step in answer.steps} == {
        1: "specialist",
        2: "generic",
        3: "generic",
        4: "generic",
        5: "specialist",
    }
    for step in answer.steps:
        said = special if step.ahead in SPECIAL_HORIZONS else generic
        assert_says(step, said[step.ahead - 1], retrained.bars[OWN]["close"][-1])
    assert not np.allclose(generic[0], special[0], rtol=0.05), "else it does not matter who answers"


def test_a_shorter_horizon_is_the_beginning_of_a_longer_one(retrained: Retrained) -> None:
    assert retrained.ask(OWN, 2).steps == retrained.ask(OWN).steps[:2]


def test_it_says_what_it_rests_on(retrained: Retrained) -> None:
    answer, manifest = retrained.ask(GENERIC.lower()), retrained.specialists.forecaster.manifest
    assert (answer.universe, answer.symbol, answer.retrain_id) == ("coins", GENERIC, "whole")
    assert answer.bar_close == to_aware(retrained.bars[GENERIC]["close_time"].to_numpy()[-1:])[0]
    assert (answer.backbone, answer.passed_over) == ("statistical", {"toto": "its package is not installed"})
    assert (answer.knows_until, answer.possibly_knows_until) == (manifest.knows_until, None)


def test_a_symbol_it_was_not_fitted_on_is_foretold_and_called_new(retrained: Retrained) -> None:
    assert retrained.ask(OWN).trained_on_symbol
    answer = retrained.ask(NEW)
    assert not answer.trained_on_symbol
    assert_says(answer.steps[0], expected_returns(retrained, NEW, special=False)[0], answer.close)


class TestRefusals:
    def test_farther_than_the_forecaster_looks(self, retrained: Retrained) -> None:
        with pytest.raises(InsufficientDataError, match="forecasts reach 5 bars ahead, not 6"):
            retrained.ask(OWN, 6)

    def test_a_symbol_that_is_not_served(self, retrained: Retrained) -> None:
        with pytest.raises(SymbolNameError, match=r"OTHER .* AAA, BBB, NEW, TINY"):
            retrained.ask("OTHER")

    def test_a_name_that_is_none(self, retrained: Retrained) -> None:
        with pytest.raises(SymbolNameError, match="is not a symbol"):
            retrained.ask("../AAA")

    def test_one_whose_bars_are_not_sound(self, retrained: Retrained) -> None:
        with pytest.raises(BarDataError, match="quarantined: odd"):
            retrained.ask(QUARANTINED)

    def test_too_few_bars(self, retrained: Retrained) -> None:
        needed = retrained.specialists.forecaster.backbone.minimum_bars
        with pytest.raises(InsufficientDataError, match=f"has 30 bars, a forecast needs {needed}"):
            retrained.ask(SHORT)

    def test_a_bar_too_old_to_act_on(self, retrained: Retrained, monkeypatch: pytest.MonkeyPatch) -> None:
        late = retrained.ask(OWN).bar_close + timedelta(days=1e6 + 1)
        monkeypatch.setattr(forecast_answers, "serving_moment", lambda *_: late)
        with pytest.raises(StaleBarsError, match="at most 1e\\+06 are allowed"):
            retrained.ask(OWN)


class TestWhichRunAnswers:
    def test_none_before_anything_is_served(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match=r"coins: has no market data yet.*toto-ops retrain coins"):
            not_retrained(tmp_path).ask(OWN)

    def test_none_where_bars_are_served_and_nothing_was_trained(self, tmp_path: Path) -> None:
        retrained = not_retrained(tmp_path)
        retrained.publish("bars-1")
        with pytest.raises(StorageError, match="was never retrained"):
            retrained.ask(OWN)

    def test_none_where_the_retraining_made_no_forecaster(self, tmp_path: Path) -> None:
        retrained = not_retrained(tmp_path)
        retrained.publish("whole")
        retrained.settle("whole")
        with pytest.raises(StorageError, match="retraining whole made no forecaster"):
            retrained.ask(OWN)

    def test_the_last_retraining_where_new_bars_came_without_one(self, tmp_path: Path) -> None:
        retrained = not_retrained(tmp_path)
        retrained.record_models("whole")
        retrained.settle("whole")
        retrained.publish("bars-1")
        assert retrained.ask(OWN).retrain_id == "whole"

    def test_the_run_of_the_served_market_where_it_has_the_models(self, tmp_path: Path) -> None:
        retrained = not_retrained(tmp_path)
        for retrain_id in ("whole", "bars-1"):
            retrained.record_models(retrain_id)
        retrained.settle("whole")
        retrained.publish("bars-1")
        assert retrained.ask(OWN).retrain_id == "bars-1"
