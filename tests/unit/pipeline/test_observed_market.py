"""Who is shown forecasts, and whose: trainers, folds, backtests, environments and the comparison with ONNX."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.unit.pipeline.joining_samples import Coins
from tests.unit.registry.registry_samples import LinearPolicy
from tests.unit.training.forecast_lessons import FOLLOWER, NAMES, ForecastFollower, fitted_forecasts, refit
from tests.unit.training.lessons import SYMBOLS, make_panel
from toto_ops.errors import ConfigError, LookAheadError, StorageError
from toto_ops.evaluation.backtests.subject import Subject
from toto_ops.features.moments import to_aware
from toto_ops.features.panel import Panel
from toto_ops.features.panel_builder import save_panel
from toto_ops.learning.splits import Span
from toto_ops.market.snapshot import SnapshotEntry, record_entry
from toto_ops.pipeline import cross_validation, forecasting_steps, observed_market, policy_steps
from toto_ops.pipeline.backtest_market import BacktestMarket, market_shown_to
from toto_ops.pipeline.backtest_request import BacktestRequest
from toto_ops.pipeline.feature_steps import panel_of
from toto_ops.pipeline.market_steps import snapshot_of
from toto_ops.pipeline.notes import unheard
from toto_ops.pipeline.observed_market import forecaster_hash, panel_shown_to, served_panel
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.registry_steps import PARITY_ROWS, _real_observations
from toto_ops.policies.contract import Policy, PolicyManifest
from toto_ops.serving.market_view import MarketView
from toto_ops.simulation.observation_schema import MARKET, STATE
from toto_ops.simulation.rules import TradingRules
from toto_ops.storage.retraining import Retraining
from toto_ops.storage.store import ArtefactKey, ArtefactRef
from toto_ops.training.cross_validation import WalkForward
from toto_ops.training.line import LineConfig, TrainedPolicy
from toto_ops.training.lines import LINES
from toto_ops.universes import Universe

RELEASED = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Market:
    """A retraining up to its panel."""

    project: Project
    universe: Universe
    retraining: Retraining

    @property
    def panel(self) -> Panel:
        return panel_of(self.retraining)[0]

    def train(self, line=FOLLOWER) -> TrainedPolicy:
        return policy_steps._train(self.project, self.retraining, self.universe, line, "a" * 16)

    def inputs(self, line=FOLLOWER):
        return policy_steps.training_inputs(self.project, self.retraining, self.universe, line, "a" * 16)


@pytest.fixture(scope="module")
def plain_market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    coins = Coins(tmp_path_factory.mktemp("observed"))
    project, universe = coins.project, coins.universe
    retraining = project.retraining(universe, "r")
    panel = make_panel()
    retraining.resolve_as_of(to_aware(panel.close_time[-1:])[0])
    for symbol in SYMBOLS:
        record_entry(retraining, SnapshotEntry(symbol=symbol, status="included", bars="b", inputs_hash="i"))
    retraining.record(project.store.put(ArtefactKey(universe.name, "panel"), "inputs", lambda folder: save_panel(panel, folder)))
    project.training.lines[FOLLOWER.name] = LineConfig()
    return Market(project, universe, retraining)


def record_models(retraining: Retraining, content: str) -> None:
    """Note that the retraining has forecaster, specialists and embedder of some content."""
    for name in (forecasting_steps.FORECASTER, forecasting_steps.SPECIALISTS, forecasting_steps.EMBEDDER):
        retraining.record(ArtefactRef(ArtefactKey(retraining.universe, name), f"{name}-{content}", "inputs"))


@pytest.fixture
def market(plain_market: Market, monkeypatch: pytest.MonkeyPatch) -> Market:
    """The same with a forecaster, fitted on the first half of train."""
    one = plain_market
    spans = forecasting_steps.spans_of(one.project, one.retraining, one.universe)
    forecasts = fitted_forecasts(one.panel, spans)
    record_models(one.retraining, "first")
    manifest = SimpleNamespace(knows_until=spans.knows_until, possibly_knows_until=RELEASED)
    monkeypatch.setattr(forecasting_steps, "observed_panel", lambda _: forecasts.panel)
    monkeypatch.setattr(observed_market, "embedder_manifest_of", lambda _: manifest)
    monkeypatch.setattr(forecasting_steps, "embedding_hash_of", lambda _: "embeddings-1")
    return one


def decider(market: Market, policy: Policy, forecaster: str | None) -> tuple[Policy, PolicyManifest]:
    manifest = PolicyManifest(
        kind=policy.kind,
        line="tried",
        universe=market.universe.name,
        symbols=SYMBOLS,
        architecture=policy.architecture,
        config={},
        inputs_hash="i",
        data_hash="d",
        code_version="1",
        knows_until=None,
        forecaster=forecaster,
    )
    return policy, manifest


def follower(market: Market, forecaster: str | None = None) -> tuple[Policy, PolicyManifest]:
    return decider(market, ForecastFollower(w_max=0.1), forecaster or forecaster_hash(market.retraining))


class TestTraining:
    def test_a_line_that_observes_forecasts_learns_from_the_second_half_of_train(self, market: Market) -> None:
        splits = policy_steps.splits_of(market.project, market.retraining, market.universe)
        spans = forecasting_steps.spans_of(market.project, market.retraining, market.universe)
        given = market.inputs()
        assert given.panel.forecast_names == NAMES
        assert given.panel.embedding.any()
        assert to_aware(given.panel.close_time[-1:])[0] == splits.validation.until
        assert given.splits.train == spans.policies
        assert given.splits.train.after == spans.knows_until == given.parents_know_until
        assert given.splits.validation == splits.validation

    def test_its_policy_says_what_it_observes_and_what_that_may_know(self, market: Market) -> None:
        manifest = market.train().manifest
        assert manifest.possibly_knows_until == RELEASED
        assert manifest.forecaster == forecaster_hash(market.retraining)

    def test_other_lines_see_no_forecast_and_all_of_train(self, market: Market) -> None:
        blind = replace(FOLLOWER, upstream=())
        given = market.inputs(blind)
        assert given.panel.forecast.shape[-1] == given.panel.embedding.shape[-1] == 0
        assert given.splits == policy_steps.splits_of(market.project, market.retraining, market.universe)
        assert (given.parents_know_until, given.parents_possibly_know_until, given.forecaster) == (None, None, None)

    def test_other_embeddings_are_another_policy_for_those_alone_who_observe_them(
        self, market: Market, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def hashes() -> list[str]:
            lines = (FOLLOWER, replace(FOLLOWER, upstream=()))
            return [policy_steps.line_inputs_hash(market.project, market.retraining, market.universe, line) for line in lines]

        before = hashes()
        monkeypatch.setattr(forecasting_steps, "embedding_hash_of", lambda _: "embeddings-2")
        after = hashes()
        assert after[0] != before[0]
        assert after[1] == before[1]

    def test_a_forecaster_that_knows_the_second_half_is_refused(self, market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
        until = policy_steps.splits_of(market.project, market.retraining, market.universe).train.until
        knowing = SimpleNamespace(knows_until=until, possibly_knows_until=None)
        monkeypatch.setattr(observed_market, "embedder_manifest_of", lambda _: knowing)
        with pytest.raises(LookAheadError, match="the forecaster knows bars up to"):
            market.inputs()

    def test_a_trainer_that_hides_what_its_forecaster_may_know_gives_no_policy(self, market: Market) -> None:
        def forgetful(inputs, config, checkpoints) -> TrainedPolicy:
            trained = FOLLOWER.train(inputs, config, checkpoints)
            return replace(trained, manifest=trained.manifest.model_copy(update={"possibly_knows_until": None}))

        with pytest.raises(LookAheadError, match="leaves out what its parents know: possibly_knows_until"):
            market.train(replace(FOLLOWER, train=forgetful))


def test_every_fold_is_shown_a_forecaster_of_its_own(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refitted(panel: Panel, fold):
        assert panel.forecast.shape[-1] == 0, "that of the retraining knows too much"
        asked.append(refit(panel, fold))
        return asked[-1]

    monkeypatch.setattr(cross_validation, "_refit", lambda *_: refitted)
    task = cross_validation._Task(FOLLOWER, WalkForward(folds=2), "h" * 16, unheard)
    document = cross_validation._validated(market.project, market.retraining, market.universe, task)
    assert len({one.forecaster for one in asked}) == len(document.folds) == 2
    assert all(one.knows_until < result.fold.splits.train.until for one, result in zip(asked, document.folds, strict=True))
    for result in document.folds:
        assert result.knows_until == result.fold.splits.validation.until
        assert result.fold.blocks[0].span.after >= result.knows_until


class TestDeciding:
    def test_who_observes_no_forecasts_is_shown_the_panel_as_it_is(self, market: Market) -> None:
        panel = market.panel
        assert panel_shown_to([decider(market, LinearPolicy(), None)], panel, market.retraining) is panel

    def test_one_who_does_is_shown_those_of_the_retraining(self, market: Market) -> None:
        shown = panel_shown_to([decider(market, LinearPolicy(), None), follower(market)], market.panel, market.retraining)
        assert shown.forecast_names == NAMES

    def test_a_policy_of_another_forecaster_is_refused(self, market: Market) -> None:
        trained_on = follower(market)
        record_models(market.retraining, "second")
        with pytest.raises(StorageError, match=r"tried observes forecaster .* that of this market is"):
            panel_shown_to([trained_on], market.panel, market.retraining)

    def test_a_backtest_of_a_folder_has_no_forecasts_to_show(self, market: Market, tmp_path: Path) -> None:
        policy, manifest = follower(market)
        found = backtest_market(market)
        request = BacktestRequest(universe=market.universe.name, processed_data_dir=tmp_path)
        with pytest.raises(ConfigError, match="the follower observes forecasts, and there are none of the bars in this folder"):
            market_shown_to([Subject("f", "the follower", policy, manifest)], found, market.project, request)

    def test_a_backtest_of_the_served_market_shows_them_to_whom_they_belong(self, market: Market) -> None:
        request, found = BacktestRequest(universe=market.universe.name), backtest_market(market)
        (policy, manifest), (blind, of_blind) = follower(market), decider(market, LinearPolicy(), None)
        assert market_shown_to([Subject("l", "linear", blind, of_blind)], found, market.project, request) is found
        shown = market_shown_to([Subject("f", "the follower", policy, manifest)], found, market.project, request)
        assert shown.view.panel.forecast_names == NAMES
        assert shown.view.snapshot == found.view.snapshot


def backtest_market(market: Market) -> BacktestMarket:
    snapshot = snapshot_of(market.project, market.retraining, market.universe)
    splits = policy_steps.splits_of(market.project, market.retraining, market.universe)
    return BacktestMarket(MarketView(snapshot, market.panel), splits, {}, "served")


class TestParity:
    """What the exported model is compared on."""

    def test_a_policy_is_shown_the_fields_it_takes_of_real_rows(self, market: Market) -> None:
        policy, manifest = follower(market)
        panel = panel_shown_to([(policy, manifest)], market.panel, market.retraining)
        (seen,) = _real_observations(panel, TradingRules.of(market.universe), policy)
        assert set(seen.tensors()) == {*STATE.fields, *policy.inputs}
        assert seen.mask.shape == (PARITY_ROWS, len(SYMBOLS))
        rows = np.unique(np.linspace(0, panel.rows - 1, PARITY_ROWS).astype(int))
        assert seen.forecast is not None
        assert seen.embedding is not None
        np.testing.assert_array_equal(seen.market.numpy(), panel.features[rows])
        np.testing.assert_array_equal(seen.forecast.numpy(), panel.forecast[rows])
        np.testing.assert_array_equal(seen.embedding.numpy(), panel.embedding[rows])
        assert policy.act(seen).weight.shape == seen.mask.shape

    def test_accounts_differ_from_row_to_row(self, market: Market) -> None:
        class Everything(LinearPolicy):
            inputs = MARKET.fields

        (seen,) = _real_observations(market.panel, TradingRules.of(market.universe), Everything())
        assert set(seen.tensors()) == set(MARKET.fields)
        for name in ("account", "portfolio", "allocation"):
            drawn = seen.tensors()[name]
            assert len(drawn.unique(dim=0)) == PARITY_ROWS, name

    def test_the_lines_of_this_release_are_shown_their_own_schema(self, market: Market) -> None:
        (seen,) = _real_observations(market.panel, TradingRules.of(market.universe), LinearPolicy())
        assert tuple(seen.tensors()) == STATE.fields
        assert not any(line.observes_forecasts for line in LINES)


def test_environments_are_shown_forecasts_where_the_published_run_made_them(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = snapshot_of(market.project, market.retraining, market.universe)
    view = MarketView(snapshot, market.panel)
    monkeypatch.setattr(observed_market, "read_market", lambda *_: view)
    assert served_panel(market.project, market.universe).forecast.shape[-1] == 0
    market.retraining.record(ArtefactRef(ArtefactKey(market.universe.name, forecasting_steps.EMBEDDINGS), "e", "i"))
    assert served_panel(market.project, market.universe).forecast_names == NAMES


def test_spans_of_policies_lie_in_train(market: Market) -> None:
    splits = policy_steps.splits_of(market.project, market.retraining, market.universe)
    given = market.inputs()
    assert isinstance(given.splits.train, Span)
    assert splits.train.after < given.splits.train.after < given.splits.train.until == splits.train.until
