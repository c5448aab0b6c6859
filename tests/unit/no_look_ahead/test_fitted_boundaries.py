"""Nothing fitted reads beyond its boundary: what lies after it may be garbage, weights and scaler stay the same to the bit.

For every line of models: the scaler knows the train span alone, weights and selection know train and validation alone, and
the pipeline hands a trainer nothing later.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray

from tests.unit.no_look_ahead.contestants import quick, train, training_inputs
from tests.unit.no_look_ahead.markets import real_market
from tests.unit.pipeline.joining_samples import Coins
from toto_ops.features.moments import to_utc64
from toto_ops.features.panel import Panel
from toto_ops.learning.splits import Span
from toto_ops.market.sources import SAMPLE_FOLDER
from toto_ops.pipeline import policy_steps
from toto_ops.pipeline.feature_steps import make_features, make_panel
from toto_ops.pipeline.market_steps import ingest
from toto_ops.pipeline.offline_steps import make_datasets, make_decisions
from toto_ops.pipeline.project import Project
from toto_ops.simulation.observation import Action
from toto_ops.storage.retraining import Retraining
from toto_ops.training.line import Line, TrainedPolicy, TrainingInputs
from toto_ops.training.lines import LINES
from toto_ops.training.offline_dataset import OfflineDataset
from toto_ops.universes import Universe

HUGE = 1e30
"""As large as a state may be without overflowing where it is squared in double precision."""

Rows = NDArray[np.bool_]


def garbage_panel(panel: Panel, spoilt: Rows) -> Panel:
    """NaN for everything known and huge prices on the rows of a mask."""
    known = {name: np.array(getattr(panel, name)) for name in ("features", "context", "volatility", "traded_value")}
    prices = {name: np.array(getattr(panel, name)) for name in ("open", "close")}
    for values in known.values():
        values[spoilt] = np.nan
    for values in prices.values():
        values[spoilt] *= HUGE
    return replace(panel, **known, **prices)


def garbage_dataset(dataset: OfflineDataset, spoilt: Rows, size: float = HUGE) -> OfflineDataset:
    """Huge states, other actions and other strengths on the decisions of a mask."""
    states, actions, strengths = dataset.states.copy(), dataset.actions.copy(), dataset.strengths.copy()
    states[spoilt] = size
    actions[spoilt] = (actions[spoilt] + 1) % len(Action)
    strengths[spoilt] = 1 - strengths[spoilt]
    return OfflineDataset(states, actions, strengths, dataset.close_time)


def within(close_time: NDArray[np.datetime64], span: Span) -> Rows:
    return (close_time > to_utc64(span.after)) & (close_time <= to_utc64(span.until))


def weights(policy: torch.nn.Module) -> dict[str, bytes]:
    """Everything fitted, scaler included, to the bit."""
    return {name: tensor.numpy().tobytes() for name, tensor in policy.state_dict().items()}


def scaler(policy: torch.nn.Module) -> dict[str, bytes]:
    """What was estimated rather than learnt: the buffers."""
    return {name: tensor.numpy().tobytes() for name, tensor in policy.named_buffers()}


# -- within what a trainer is given --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> TrainingInputs:
    return training_inputs(real_market().panel, tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module", params=LINES, ids=lambda line: line.name)
def line(request: pytest.FixtureRequest) -> Line:
    return request.param


@pytest.fixture(scope="module")
def trained(line: Line, inputs: TrainingInputs, tmp_path_factory: pytest.TempPathFactory) -> TrainedPolicy:
    return train(line, inputs, tmp_path_factory.mktemp("trained"))


def with_garbage(inputs: TrainingInputs, size: float, *spans: Span) -> TrainingInputs:
    """The same inputs with garbage outside `spans`."""

    def spoilt(close_time: NDArray[np.datetime64]) -> Rows:
        return ~np.any([within(close_time, span) for span in spans], axis=0)

    return replace(
        inputs,
        panel=garbage_panel(inputs.panel, spoilt(inputs.panel.close_time)),
        datasets={symbol: garbage_dataset(part, spoilt(part.close_time), size) for symbol, part in inputs.datasets.items()},
    )


def test_purged_and_embargoed_bars_are_read_by_nothing(
    line: Line, inputs: TrainingInputs, trained: TrainedPolicy, tmp_path: Path
) -> None:
    splits = inputs.splits
    spoilt = with_garbage(inputs, HUGE, splits.train, splits.validation)
    assert np.isnan(spoilt.panel.features).any()
    again = train(line, spoilt, tmp_path)
    assert weights(again.policy) == weights(trained.policy)
    assert again.manifest == trained.manifest


def test_the_scaler_reads_the_train_span_alone(
    line: Line, inputs: TrainingInputs, trained: TrainedPolicy, tmp_path: Path
) -> None:
    """Garbage in the validation span may change which epoch is chosen, and nothing that was estimated."""
    spoilt = with_garbage(inputs, 1e3, inputs.splits.train)
    spoilt = replace(spoilt, panel=inputs.panel)
    again = train(line, spoilt, tmp_path)
    assert scaler(again.policy) == scaler(trained.policy)
    assert again.manifest.metrics != trained.manifest.metrics


def test_what_is_learnt_does_depend_on_the_train_span(
    line: Line, inputs: TrainingInputs, trained: TrainedPolicy, tmp_path: Path
) -> None:
    """Otherwise the tests above could not fail."""
    spoilt = replace(with_garbage(inputs, 1e3, inputs.splits.validation), panel=inputs.panel)
    again = train(line, spoilt, tmp_path)
    assert weights(again.policy) != weights(trained.policy)
    if scaler(trained.policy):
        assert scaler(again.policy) != scaler(trained.policy)


# -- what the pipeline gives a trainer -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Workshop:
    """A retraining of real coins up to its datasets."""

    project: Project
    universe: Universe
    retraining: Retraining

    def train(self, line: Line, inputs_hash: str) -> TrainedPolicy:
        return policy_steps._train(self.project, self.retraining, self.universe, line, inputs_hash)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    coins = Coins(tmp_path_factory.mktemp("workshop"))
    for symbol in ("BTCUSD", "ETHUSD", "LTCUSD"):
        lines = (SAMPLE_FOLDER / "daily_crypto" / f"{symbol}.csv").read_text().splitlines(keepends=True)
        (coins.bars / f"{symbol}.csv").write_text("".join([lines[0], *lines[-400:]]))
    settings = coins.settings.config_dir / "training.yaml"
    content = yaml.safe_load(settings.read_text())
    content["lines"] = {line.name: quick(line).model_dump(mode="json") for line in LINES}
    settings.write_text(yaml.safe_dump(content))
    project, universe = coins.project, coins.universe
    retraining = project.retraining(universe, "r")
    ingest(project, retraining, universe, ("BTCUSD", "ETHUSD", "LTCUSD"), None)
    make_features(project, retraining, universe)
    make_panel(project, retraining, universe)
    make_decisions(project, retraining, universe)
    make_datasets(retraining)
    return Workshop(project, universe, retraining)


def spoil_what_is_stored(workshop: Workshop, boundary: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the stored panel and datasets hold garbage on every bar after a moment."""
    panel_of, dataset_of = policy_steps.panel_of, policy_steps.dataset_of

    def later(close_time: NDArray[np.datetime64]) -> Rows:
        assert (close_time > to_utc64(boundary)).any()
        return close_time > to_utc64(boundary)

    def spoilt_panel(retraining: Retraining) -> tuple[Panel, object]:
        panel, ref = panel_of(retraining)
        return garbage_panel(panel, later(panel.close_time)), ref

    def spoilt_dataset(retraining: Retraining, symbol: str) -> OfflineDataset:
        dataset = dataset_of(retraining, symbol)
        return garbage_dataset(dataset, later(dataset.close_time))

    monkeypatch.setattr(policy_steps, "panel_of", spoilt_panel)
    monkeypatch.setattr(policy_steps, "dataset_of", spoilt_dataset)


def test_the_pipeline_trains_the_same_weights_whatever_follows_the_validation_span(
    line: Line, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    boundary = policy_steps.splits_of(workshop.project, workshop.retraining, workshop.universe).validation.until
    before = workshop.train(line, "b" * 16)
    spoil_what_is_stored(workshop, boundary, monkeypatch)
    after = workshop.train(line, "c" * 16)
    assert weights(after.policy) == weights(before.policy)
    assert after.manifest.metrics == before.manifest.metrics
    assert after.manifest.knows_until == before.manifest.knows_until
    assert before.manifest.knows_until is not None
    assert before.manifest.knows_until >= boundary
