"""Choosing symbols: on validation bars alone, every combination a trial, batched as if each had been run by itself."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from math import comb
from pathlib import Path

import numpy as np
import pytest
import torch

from toto_ops.errors import InsufficientDataError
from toto_ops.evaluation.backtests.subject import Subject
from toto_ops.features.panel import Panel
from toto_ops.features.panel_columns import panel_of_symbols
from toto_ops.features.state import ACCOUNT_FEATURES, MARKET_FEATURES
from toto_ops.learning.splits import Span, Splits
from toto_ops.pipeline import symbol_selection
from toto_ops.pipeline.symbol_selection import SelectionTask, SymbolSubsets, select_symbols
from toto_ops.policies.cloned import ClonedPolicy
from toto_ops.policies.contract import PolicyManifest
from toto_ops.simulation.backtest import backtest, run_backtests
from toto_ops.simulation.entrants import Entrant
from toto_ops.simulation.observation import Decision, Observation
from toto_ops.simulation.observation_schema import MARKET
from toto_ops.simulation.rules import TradingRules
from toto_ops.storage.store import ArtefactStore
from toto_ops.training.ledger import TrialLedger
from toto_ops.universes import Costs, Universe

SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE")
START = datetime(2024, 1, 1, tzinfo=UTC)
ROWS = 160
SPLITS = Splits(
    train=Span(after=START, until=START + timedelta(days=60)),
    validation=Span(after=START + timedelta(days=62), until=START + timedelta(days=120)),
    test=Span(after=START + timedelta(days=122), until=START + timedelta(days=ROWS)),
)
UNIVERSE = Universe.model_validate(
    {
        "name": "choice",
        "asset_class": "crypto",
        "source": {"kind": "sample", "folder": "daily_crypto"},
        "calendar": "24/7",
        "cadence": "0 6 1 * *",
        "costs": {"commission": 0.001},
        "limits": {"symbol_cap": 0.5, "max_positions": 2, "may_short": True},
        "volume_unit": "base",
        "adjustment": "none",
    }
)
RULES = TradingRules.of(UNIVERSE)


def make_panel() -> Panel:
    """Five symbols with random features and prices, gaps in some of them."""
    random = np.random.default_rng(5)
    shape = (ROWS, len(SYMBOLS))
    mask = random.uniform(size=shape) > 0.05
    opens = 100 * np.exp(np.cumsum(random.normal(0, 0.02, size=shape), axis=0))
    open_time = np.datetime64(START.replace(tzinfo=None), "us") + np.arange(ROWS) * np.timedelta64(1, "D")
    features = random.normal(size=(*shape, len(MARKET_FEATURES))).astype(np.float32)
    features[~mask] = 0
    return Panel.of_prices(
        symbols=SYMBOLS,
        feature_names=MARKET_FEATURES,
        open_time=open_time,
        close_time=open_time + np.timedelta64(1, "D"),
        features=features,
        mask=mask,
        open=np.where(mask, opens, np.nan),
        close=np.where(mask, opens * 1.001, np.nan),
        ended=np.zeros(len(SYMBOLS), dtype=bool),
    )


@pytest.fixture(scope="module")
def subject() -> Subject:
    """A network nobody trained: it trades often, and differently in each symbol."""
    torch.manual_seed(3)
    policy = ClonedPolicy(hidden=16, layers=1, dropout=0.0, w_max=RULES.w_max, may_short=True).eval()
    with torch.no_grad():
        policy.action_head.weight *= 5
    manifest = PolicyManifest(
        kind=ClonedPolicy.kind,
        line="bc",
        universe="choice",
        symbols=SYMBOLS,
        architecture=policy.architecture,
        config={},
        inputs_hash="policy",
        data_hash="data",
        code_version="1",
        knows_until=None,
    )
    return Subject("bc", "toto-choice version 1", policy, manifest)


@pytest.fixture
def ledger(tmp_path: Path) -> TrialLedger:
    return TrialLedger(ArtefactStore(tmp_path), "choice")


def task(subject: Subject, size: int, panel: Panel | None = None) -> SelectionTask:
    return SelectionTask(
        panel=panel or make_panel(),
        splits=SPLITS,
        candidates=SYMBOLS,
        size=size,
        subject=subject,
        rules_on=lambda _bars: RULES,
        periods_per_year=365.25,
        panel_hash="panel",
    )


def test_accounts_of_some_symbols_are_what_those_symbols_alone_would_have_been(subject: Subject) -> None:
    panel, choices = make_panel(), [*combinations(SYMBOLS, 2), ("AAA",), SYMBOLS]
    keep = torch.tensor([[symbol in choice for symbol in SYMBOLS] for choice in choices])
    act = SymbolSubsets(subject.policy, keep)
    together = run_backtests(panel, [Entrant(str(choice), act, RULES) for choice in choices])
    for choice, result in zip(choices, together, strict=True):
        alone = backtest(panel_of_symbols(panel, choice), subject.policy.act, RULES)
        # The network multiplies in float32, and rounds by the shape of the batch.
        np.testing.assert_allclose(result.equity, alone.equity, rtol=1e-7)
        assert alone.trades.sum() > 50, "a policy that never trades would show nothing"


def test_it_refuses_other_accounts_than_it_was_made_for(subject: Subject) -> None:
    act = SymbolSubsets(subject.policy, torch.ones(3, len(SYMBOLS), dtype=torch.bool))
    with pytest.raises(ValueError, match=r"made for accounts and symbols \(3, 5\), got \(1, 5\)"):
        backtest(make_panel(), act, RULES)


def test_few_combinations_are_all_tried_and_the_best_is_chosen(subject: Subject, ledger: TrialLedger) -> None:
    chosen = select_symbols(task(subject, 2), ledger)
    assert (chosen.method, len(chosen.tried)) == ("exhaustive", comb(5, 2))
    validation = make_panel().between(SPLITS.validation.after, SPLITS.validation.until)
    by_hand = {
        choice: backtest(panel_of_symbols(validation, choice), subject.policy.act, RULES).returns
        for choice in combinations(SYMBOLS, 2)
    }
    best = max(by_hand, key=lambda choice: by_hand[choice].mean() / by_hand[choice].std())
    assert chosen.symbols == chosen.tried[0].symbols == best


def test_many_combinations_are_grown_one_symbol_at_a_time(
    subject: Subject, ledger: TrialLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(symbol_selection, "EXHAUSTIVE_UP_TO", 0)
    monkeypatch.setattr(symbol_selection, "ACCOUNTS_AT_ONCE", 2)
    chosen = select_symbols(task(subject, 3), ledger)
    assert (chosen.method, len(chosen.tried)) == ("greedy", 5 + 4 + 3)
    singles = [one for one in chosen.tried if len(one.symbols) == 1]
    pairs = [one for one in chosen.tried if len(one.symbols) == 2]
    assert all(singles[0].symbols[0] in one.symbols for one in pairs)
    assert set(pairs[0].symbols) < set(chosen.symbols)


def test_every_combination_is_a_trial_and_the_same_search_adds_none(subject: Subject, ledger: TrialLedger) -> None:
    chosen = select_symbols(task(subject, 2), ledger)
    trials = list(ledger.trials())
    assert len(trials) == len(chosen.tried) == 10
    assert {trial.line for trial in trials} == {"bc"}
    assert {trial.symbols for trial in trials} == set(combinations(SYMBOLS, 2)), "none of them traded all there is"
    span = SPLITS.validation
    assert all(span.after < moment <= span.until for trial in trials for moment in trial.timestamps)
    assert {round(trial.metrics["sharpe"], 9) for trial in trials} == {round(one.sharpe or 0, 9) for one in chosen.tried}
    assert select_symbols(task(subject, 2), ledger) == chosen
    assert len(list(ledger.trials())) == 10


def test_nothing_but_validation_bars_is_looked_at(subject: Subject, ledger: TrialLedger) -> None:
    panel = make_panel()
    moments = panel.close_time
    bounds = [np.datetime64(moment.replace(tzinfo=None), "us") for moment in (SPLITS.validation.after, SPLITS.validation.until)]
    elsewhere = (moments <= bounds[0]) | (moments > bounds[1])
    spoilt = replace(panel, open=panel.open.copy(), close=panel.close.copy(), features=panel.features.copy())
    spoilt.open[elsewhere] = np.nan
    spoilt.close[elsewhere] = 1e300
    spoilt.features[elsewhere] = np.nan
    assert select_symbols(task(subject, 2, spoilt), ledger) == select_symbols(task(subject, 2, panel), ledger)


def test_one_that_never_trades_is_behind_everyone_that_does(subject: Subject, ledger: TrialLedger) -> None:
    panel = make_panel()
    quiet = replace(panel, mask=panel.mask.copy())
    quiet.mask[:, 4] = False
    quiet.mask[119, 4] = True  # a single bar, at the end of validation: too late for a trade
    chosen = select_symbols(task(subject, 1, quiet), ledger)
    assert (chosen.tried[-1].symbols, chosen.tried[-1].sharpe) == (("EEE",), None)


def test_what_no_longer_trades_when_the_choice_is_made_is_no_candidate(subject: Subject, ledger: TrialLedger) -> None:
    panel = make_panel()
    ended = replace(panel, mask=panel.mask.copy(), ended=np.array([True, False, False, False, False]))
    ended.mask[110:, 0] = False
    chosen = select_symbols(task(subject, 2, ended), ledger)
    assert chosen.candidates == SYMBOLS[1:]
    assert all("AAA" not in one.symbols for one in chosen.tried)


def test_more_symbols_than_there_are_cannot_be_chosen(subject: Subject, ledger: TrialLedger) -> None:
    with pytest.raises(InsufficientDataError, match="6 symbols are to be chosen from 5"):
        select_symbols(task(subject, 6), ledger)


def combined(panel: Panel) -> tuple[Panel, Universe]:
    """The panel with its first three symbols from a cheap part and the others from a dear one, and their universe."""
    costs = {"cheap": Costs(commission=0.0005), "dear": Costs(commission=0.01)}
    parts = {name: UNIVERSE.model_copy(update={"name": name, "costs": own}) for name, own in costs.items()}
    universe = UNIVERSE.model_copy(update={"parts": parts, "costs": parts["dear"].costs})
    return replace(panel, parts=("cheap",) * 3 + ("dear",) * 2), universe


def test_in_a_combined_universe_each_symbol_that_is_tried_has_the_costs_of_its_part(
    subject: Subject, ledger: TrialLedger
) -> None:
    panel, universe = combined(make_panel())
    asked = replace(
        task(subject, 2, panel),
        candidates=("BBB", "CCC", "DDD", "EEE"),
        rules_on=lambda bars: TradingRules.of(universe, bars.parts),
    )
    chosen = select_symbols(asked, ledger)
    validation = panel.between(SPLITS.validation.after, SPLITS.validation.until)
    for one in chosen.tried:
        alone = panel_of_symbols(validation, one.symbols)
        by_hand = backtest(alone, subject.policy.act, TradingRules.of(universe, alone.parts))
        assert one.total_return == pytest.approx(by_hand.total_return, abs=1e-7)
    same_parts = select_symbols(replace(asked, candidates=("DDD", "EEE")), ledger).tried[0]
    before = next(one for one in chosen.tried if one.symbols == ("DDD", "EEE"))
    assert same_parts.total_return == pytest.approx(before.total_return, abs=1e-7)


def test_what_an_account_may_not_trade_is_hidden_from_policies_of_every_schema() -> None:
    shown: list[Observation] = []

    class Looking(ClonedPolicy):
        """Takes everything there is, and keeps it."""

        inputs = MARKET.fields

        def act(self, observation: Observation) -> Decision:
            shown.append(observation)
            return super().act(observation)

        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:  # type: ignore[override]
            return super().forward(*inputs[:3])

    policy = Looking(hidden=4, layers=1, dropout=0.0, w_max=0.1, may_short=False).eval()
    told = {
        "market": torch.ones(1, 2, len(MARKET_FEATURES)),
        "account": torch.ones(1, 2, len(ACCOUNT_FEATURES)),
        "mask": torch.ones(1, 2, dtype=torch.bool),
        "context": torch.ones(1, 2, 3),
        "clock": torch.ones(1, 6),
        "portfolio": torch.ones(1, 6),
        "allocation": torch.ones(1, 2),
        "volatility": torch.ones(1, 2),
        "forecast": torch.ones(1, 2, 7),
        "embedding": torch.ones(1, 2, 4),
    }
    SymbolSubsets(policy, torch.tensor([[True, False]]))(Observation(**told))
    (seen,) = shown
    for name in ("market", "mask", "context", "volatility", "forecast", "embedding"):
        tensor = seen.tensors()[name]
        assert tensor[0, 0].all(), name
        assert not tensor[0, 1].any(), name
    for name in ("account", "clock", "portfolio", "allocation"):
        assert seen.tensors()[name].all(), name
