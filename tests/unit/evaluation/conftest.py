from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import torch

from toto_ops.evaluation.judgement.candidates import Candidate
from toto_ops.evaluation.judgement.evidence import Evidence
from toto_ops.evaluation.judgement.gates import GateConfig
from toto_ops.evaluation.judgement.judge import Circumstances, judge
from toto_ops.evaluation.statistics.bootstrap import BootstrapConfig
from toto_ops.features.panel import Panel
from toto_ops.features.state import MARKET_FEATURES
from toto_ops.learning.splits import SplitConfig, Splits, make_splits
from toto_ops.policies.contract import Policy, PolicyManifest
from toto_ops.simulation.observation import Action, decide
from toto_ops.training.ledger import Trial
from toto_ops.universes import Universe

START = datetime(2020, 1, 1, tzinfo=UTC)
ROWS = 640
RUMOUR_NOISE = 0.045


class PlantedSignal(Policy):
    """Buys where a feature is positive and sells where it is negative; `contrary` does the opposite.

    The first feature is a signal that is often wrong; the second, for the `clairvoyant`, tells the future.
    """

    kind = "test-planted-signal"

    def __init__(self, *, contrary: bool = False, idle: bool = False, clairvoyant: bool = False) -> None:
        super().__init__()
        self.clairvoyant = clairvoyant
        self.contrary = contrary
        self.idle = idle

    @property
    def architecture(self):
        return {"contrary": self.contrary, "idle": self.idle, "clairvoyant": self.clairvoyant}

    def forward(self, market, account, mask):
        told = market[..., 1] if self.clairvoyant else market[..., 0]
        signal = -told if self.contrary else told
        signal = torch.zeros_like(signal) if self.idle else signal
        action = torch.where(signal > 0.5, int(Action.BUY), torch.where(signal < -0.5, int(Action.SELL), int(Action.HOLD)))
        probabilities = torch.nn.functional.one_hot(action, 3).to(market.dtype)
        return tuple(decide(action, torch.ones_like(signal), probabilities, mask, w_max=0.5, may_short=False))


def make_panel(rows: int = ROWS, seed: int = 0, drift: float = 0.0, symbols: tuple[str, ...] = ("AAA", "BBB")) -> Panel:
    """Random walks whose second feature tells where the open after next goes, +1, 0 or -1, and whose first feature says the
    same with so much noise that following it is worth while and no more.
    """
    generator = np.random.default_rng(seed)
    shape = (rows, len(symbols))
    moves = generator.normal(drift, 0.02, size=shape)
    opens = 100.0 * np.exp(np.cumsum(moves, axis=0))
    features = np.zeros((*shape, len(MARKET_FEATURES)), dtype=np.float32)
    future = moves[2:]
    rumour = future + generator.normal(0.0, RUMOUR_NOISE, size=future.shape)
    features[:-2, :, 0] = np.where(np.abs(rumour) > 0.008, np.sign(rumour), 0.0)
    features[:-2, :, 1] = np.where(np.abs(future) > 0.008, np.sign(future), 0.0)
    open_time = np.datetime64("2020-01-01", "us") + np.arange(rows) * np.timedelta64(1, "D")
    return Panel.of_prices(
        symbols=symbols,
        feature_names=MARKET_FEATURES,
        open_time=open_time,
        close_time=open_time + np.timedelta64(1, "D"),
        features=features,
        mask=np.ones(shape, dtype=bool),
        open=opens,
        close=opens * np.exp(generator.normal(0, 0.002, size=shape)),
        ended=np.zeros(len(symbols), dtype=bool),
    )


def make_candidate(
    line: str,
    *,
    knows_until: datetime | None = None,
    possibly_knows_until: datetime | None = None,
    accuracy="directional",
    selected_until=None,
    **architecture,
):
    policy = PlantedSignal(**architecture)
    manifest = PolicyManifest(
        kind=PlantedSignal.kind,
        line=line,
        universe="controls",
        symbols=("AAA", "BBB"),
        architecture=policy.architecture,
        config={},
        inputs_hash=f"inputs-of-{line}",
        data_hash="data",
        code_version="1",
        knows_until=knows_until,
        possibly_knows_until=possibly_knows_until,
    )
    return Candidate(policy, manifest, accuracy=accuracy, selected_until=selected_until)


@pytest.fixture(scope="session")
def panel() -> Panel:
    return make_panel()


@pytest.fixture(scope="session")
def universe() -> Universe:
    return Universe.model_validate(
        {
            "name": "controls",
            "asset_class": "crypto",
            "source": {"kind": "sample", "folder": "daily_crypto"},
            "symbols": ["AAA", "BBB"],
            "calendar": "24/7",
            "periods_per_year": 365,
            "cadence": "0 6 1 * *",
            "costs": {"commission": 0.0005},
            "limits": {"symbol_cap": 0.5, "max_positions": 2},
            "volume_unit": "base",
            "adjustment": "none",
        }
    )


@pytest.fixture(scope="session")
def splits(panel: Panel) -> Splits:
    return make_splits(panel.close_time, SplitConfig(train=0.5, validation=0.2))


@pytest.fixture(scope="session")
def gates() -> GateConfig:
    return GateConfig(bootstrap=BootstrapConfig(samples=100, block_length=10))


@pytest.fixture(scope="session")
def trials_of(splits):
    """So many trials of this split, with independent returns on its validation bars."""

    def make(count: int) -> tuple[Trial, ...]:
        generator = np.random.default_rng(1)
        days = (splits.validation.until - splits.validation.after).days
        return tuple(
            Trial(
                trial_id=f"trial-{number}",
                universe="controls",
                line="bc",
                config_hash=f"config-{number}",
                inputs_hash="inputs",
                split=splits,
                seed=0,
                returns=tuple(generator.normal(0.0, 0.01, size=days).tolist()),
                timestamps=tuple(splits.validation.after + timedelta(days=day + 1) for day in range(days)),
                created_at=START,
            )
            for number in range(count)
        )

    return make


@pytest.fixture(scope="session")
def judged(panel, universe, splits, gates):
    """Judge with defaults for whatever a test does not care about."""

    def run(*, bars: Panel = panel, rules: Universe = universe, trials=(), openings: int = 1, **contestants) -> Evidence:
        circumstances = Circumstances(
            retrain_id="retrain-1", as_of=START + timedelta(days=ROWS), data_hash="data", openings=openings, trials=trials
        )
        roles = {"challenger": make_candidate("bc"), "fallback": make_candidate("fallback")} | contestants
        return judge(bars, rules, splits, gates, circumstances, **roles)

    return run


@pytest.fixture(scope="session")
def candidate():
    return make_candidate


@pytest.fixture(scope="session")
def panel_of():
    return make_panel
