"""Small policies, manifests and evidence that the registry tests submit."""

from datetime import UTC, datetime, timedelta

import torch
from torch import nn

from toto_ops.evaluation.findings.documents import (
    ActionShares,
    CandidateResult,
    ChampionComparison,
    Curve,
    DirectionalResult,
    Plausibility,
    VolatilityMatching,
)
from toto_ops.evaluation.judgement.evidence import Criterion, Evidence, verdict_of
from toto_ops.evaluation.statistics.bootstrap import Estimate
from toto_ops.evaluation.statistics.overfitting_probability import OverfittingProbability
from toto_ops.evaluation.statistics.performance import Performance
from toto_ops.evaluation.statistics.significance import Significance
from toto_ops.learning.splits import Span, Splits
from toto_ops.policies.contract import Policy, PolicyManifest
from toto_ops.registry.history import incumbent
from toto_ops.registry.models import Submission
from toto_ops.registry.onnx_export import random_observation
from toto_ops.simulation.observation import decide, state_vector

START = datetime(2024, 1, 1, tzinfo=UTC)
W_MAX = 0.2
SIGNED = {"by": "ann@desk", "why": "as agreed on Monday"}
"""Who asks for what the tests do to the registry, and why."""


class LinearPolicy(Policy):
    """One linear layer over the standardised state."""

    kind = "test-linear"

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        self.scale = nn.Parameter(torch.full((34,), 0.5))
        self.head = nn.Linear(34, 4)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.head.weight.copy_(torch.randn(4, 34, generator=generator) / 6)
            self.head.bias.copy_(torch.randn(4, generator=generator) / 6)

    @property
    def architecture(self):
        return {"seed": self.seed}

    def forward(self, market, account, mask):
        scores = self.head(state_vector(market, account) * self.scale)
        probabilities = scores[..., :3].softmax(-1)
        return tuple(decide(probabilities.argmax(-1), scores[..., 3].sigmoid(), probabilities, mask, w_max=W_MAX, may_short=True))


class NaNPolicy(LinearPolicy):
    """Learns nothing but NaN."""

    kind = "test-nan"

    def forward(self, market, account, mask):
        weight, hold, action, strength, probabilities = super().forward(market, account, mask)
        return weight, hold, action, strength * float("nan"), probabilities


def manifest(
    universe: str, *, line="bc", inputs_hash="inputs-1", data_hash="data-1", kind="test-linear", **changes
) -> PolicyManifest:
    return PolicyManifest(
        kind=kind,
        line=line,
        universe=universe,
        symbols=("AAA", "BBB", "CCC"),
        architecture=changes.pop("architecture", {"seed": 0}),
        config={"learning_rate": 0.001, "network": {"hidden": 128}},
        inputs_hash=inputs_hash,
        data_hash=data_hash,
        code_version="1",
        seed=0,
        knows_until=changes.pop("knows_until", START + timedelta(days=80)),
        metrics={"validation_sharpe": 1.5},
        **changes,
    )


def evidence(
    about: PolicyManifest,
    retrain_id: str,
    *,
    sharpe: float = 1.4,
    champion: str | None = None,
    champion_inputs: str | None = None,
) -> Evidence:
    """Evidence on one gate, passed from a Sharpe ratio of 1.0 on, and one alarm, raised from 10 on."""
    figure = Estimate(value=sharpe)
    performance = Performance(**dict.fromkeys(Performance.model_fields, figure))
    criteria = (
        Criterion(name="Sharpe ratio", required=1.0, relation=">=", measured=sharpe, verdict="pass" if sharpe >= 1.0 else "fail"),
        Criterion(
            name="Sharpe ratio above equal weight",
            kind="alarm",
            required=10.0,
            relation="<=",
            measured=sharpe,
            verdict="pass" if sharpe <= 10.0 else "fail",
        ),
    )

    def span(first, last):
        return Span(after=START + timedelta(days=first), until=START + timedelta(days=last))

    curve = Curve(open_time=(START,), equity=(1.0,), exposure=(0.0,))
    return Evidence(
        universe=about.universe,
        line=about.line,
        retrain_id=retrain_id,
        as_of=START + timedelta(days=100),
        inputs_hash=about.inputs_hash,
        data_hash=about.data_hash,
        gates_hash="gates",
        code_version=about.code_version,
        knows_until=about.knows_until,
        symbols=about.symbols,
        splits=Splits(train=span(0, 60), validation=span(61, 80), test=span(81, 100)),
        first_close=START + timedelta(days=82),
        test_bars=19,
        periods_per_year=365,
        challenger=CandidateResult(
            name=about.line,
            role="challenger",
            performance=performance,
            curve=curve,
            actions=ActionShares(hold=0.5, buy=0.3, sell=0.2),
        ),
        others=(),
        volatility_matching=VolatilityMatching(scale=1.0, target=0.2, realised=0.2, matched=True),
        imitation=None,
        directional=DirectionalResult(accuracy=Estimate(value=0.55, low=0.51), base_rate=0.5, positions=19),
        stresses=(),
        stress_spans=(),
        paired=(),
        significance=Significance(
            bars=19,
            sharpe=sharpe,
            skew=0.0,
            kurtosis=3.0,
            probabilistic_sharpe=0.9,
            trials=3,
            effective_trials=1,
            earlier_openings=0,
            trial_deviation=1.0,
            expected_maximum_sharpe=0.0,
            deflated_sharpe=0.9,
            minimum_track_record=None,
            minimum_detectable_sharpe=2.0,
        ),
        overfitting=OverfittingProbability(trials=3, effective_trials=1, bars=19, combinations=0, probability=None),
        plausibility=Plausibility(oracle_sharpe=20.0, oracle_share=sharpe / 20.0, benchmark_sharpe=0.0, excess=sharpe),
        targets=(),
        trades=(),
        comparison=ChampionComparison(champion=champion, inputs_hash=champion_inputs, bars=0) if champion else None,
        openings=1,
        trials=3,
        minimum_detectable_sharpe=2.0,
        criteria=criteria,
        verdict=verdict_of(criteria),
        caveats=("chosen with hindsight",),
    )


def submission(
    universe: str, number: int = 1, *, sharpe: float = 1.4, champion: str | None = None, champion_inputs: str | None = None
) -> Submission:
    """The `number`-th retraining's policy with its evidence."""
    about = manifest(universe, inputs_hash=f"inputs-{number}", data_hash=f"data-{number}", architecture={"seed": number})
    retrain_id = f"retrain-{number}"
    return Submission(
        policy=LinearPolicy(number),
        manifest=about,
        retrain_id=retrain_id,
        observations=(random_observation(accounts=5, symbols=3, seed=99),),
        evidence=evidence(about, retrain_id, sharpe=sharpe, champion=champion, champion_inputs=champion_inputs),
        provenance={"git.revision": "abc1234", "dagster.run": "run-1"},
    )


def fallback_submission(universe: str) -> Submission:
    """The analysts' ensemble's place: nothing fitted, nothing judged."""
    return Submission(
        policy=LinearPolicy(100),
        manifest=manifest(universe, line="fallback", inputs_hash="strategy-1", architecture={"seed": 100}, knows_until=None),
        retrain_id="retrain-0",
        observations=(),
    )


def offer(registry, universe: str, number: int, **changes) -> int:
    """Register the `number`-th retraining's policy as challenger, judged against what serves now; returns its version."""
    serving = incumbent(registry, universe)
    champion = serving.line if serving is not None and not serving.is_fallback else None
    return registry.offer_challenger(submission(universe, number, champion=champion, **changes)).version
