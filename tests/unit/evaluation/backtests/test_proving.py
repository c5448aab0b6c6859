"""Policies of cross-validation are proven on bars kept from them, and their blocks are stitched into paths."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
import torch

from tests.unit.evaluation.return_samples import panel_of_returns
from tests.unit.training.lessons import RULES
from toto_ops.configuration import Settings
from toto_ops.errors import LookAheadError, StorageError
from toto_ops.evaluation.backtests.cross_validation import (
    CrossValidation,
    FoldResult,
    read_cross_validation,
    write_cross_validation,
)
from toto_ops.evaluation.backtests.proving import FoldPolicy, Proving, caveats_of, prove
from toto_ops.evaluation.reports.cross_validation_tables import block_rows, distribution, path_rows
from toto_ops.evaluation.statistics.bootstrap import BootstrapConfig, Estimate
from toto_ops.features.moments import to_aware
from toto_ops.features.panel import Panel
from toto_ops.learning.splits import SplitConfig, make_splits
from toto_ops.market.calendars import rows_per_year
from toto_ops.policies.contract import Policy, PolicyManifest
from toto_ops.simulation.backtest import backtest
from toto_ops.simulation.observation import Action, decide
from toto_ops.training.cross_validation import CombinatorialPurged, Ground, Scheme, WalkForward
from toto_ops.universes import load_universes

PANEL = panel_of_returns(np.random.default_rng(12).normal(0.001, 0.01, (420, 2)))
CONFIG = SplitConfig(horizon_bars=1, embargo_bars=3)
SPLITS = make_splits(PANEL.close_time, CONFIG)
KNOWN = PANEL.between(None, SPLITS.validation.until)
COINS = load_universes(Settings()).universe("crypto").model_copy(update={"periods_per_year": 365.0})
PROVING = Proving(COINS, KNOWN, RULES, BootstrapConfig(samples=100, block_length=5))
FORWARD, COMBINED = WalkForward(folds=3), CombinatorialPurged(folds=4, test_folds=2)


class Buyer(Policy):
    """Buys everything with the strength it was made with."""

    kind = "test-buyer"

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    @property
    def architecture(self):
        return {"strength": self.strength}

    def forward(self, market, account, mask):
        action = torch.full(mask.shape, int(Action.BUY))
        strength = torch.full(mask.shape, self.strength)
        probabilities = torch.nn.functional.one_hot(action, 3).to(market.dtype)
        return tuple(decide(action, strength, probabilities, mask, w_max=RULES.w_max, may_short=False))


GROUND = Ground(PANEL.close_time, SPLITS, CONFIG)


def proven_by(
    scheme: Scheme, ground: Ground = GROUND, *, knows_until: datetime | None = None, panel: Panel = KNOWN
) -> list[FoldPolicy]:
    """One policy per fold, each of another strength, knowing what its fold was trained on unless told otherwise."""
    policies = []
    for fold in scheme.split(ground):
        policy = Buyer(0.2 + 0.1 * fold.number)
        manifest = PolicyManifest(
            kind=Buyer.kind,
            line="bc",
            universe="controls",
            symbols=PANEL.symbols,
            architecture=policy.architecture,
            config={},
            inputs_hash=f"fold-{fold.number}",
            data_hash="d",
            code_version="1",
            knows_until=knows_until or fold.splits.validation.until,
        )
        policies.append(FoldPolicy(fold, policy, manifest, panel))
    return policies


def test_a_walk_forward_path_is_its_blocks_one_after_the_other():
    policies = proven_by(FORWARD)
    blocks, (path,) = prove(PROVING, policies, FORWARD)
    spans = [proven.fold.blocks[0].span for proven in policies]
    alone = [
        backtest(KNOWN.between(span.after, span.until), proven.policy.act, RULES)
        for proven, span in zip(policies, spans, strict=True)
    ]
    returns = np.concatenate([result.returns for result in alone])
    np.testing.assert_allclose(path.equity, np.cumprod(1.0 + returns), rtol=1e-12)
    assert path.open_time == sum((to_aware(result.open_time[1:]) for result in alone), ())
    assert [block.fold for block in blocks] == [0, 1, 2]
    for block, result in zip(blocks, alone, strict=True):
        assert block.performance.total_return.value == pytest.approx(result.total_return)


def test_blocks_and_paths_of_joined_markets_have_the_years_of_their_own_bars():
    """A market that opens twice a day at first and once a day later: one figure for all would flatter what came later."""
    hours = np.cumsum(np.where(np.arange(PANEL.rows) < 200, 12, 24)) * np.timedelta64(1, "h")
    panel = replace(PANEL, open_time=PANEL.open_time[0] + hours, close_time=PANEL.open_time[0] + hours + np.timedelta64(6, "h"))
    splits = make_splits(panel.close_time, CONFIG)
    known = panel.between(None, splits.validation.until)
    multi = load_universes(Settings()).universe("multi")
    policies = proven_by(FORWARD, Ground(panel.close_time, splits, CONFIG), panel=known)
    (blocks, (path,)), (daily, (daily_path,)) = (
        prove(Proving(universe, known, RULES, PROVING.bootstrap), policies, FORWARD) for universe in (multi, COINS)
    )

    def years_of(figure: Estimate, of_365_rows: Estimate) -> float:
        """Rows of a year by which a volatility was annualised."""
        assert figure.value is not None
        assert of_365_rows.value is not None
        return 365.0 * (figure.value / of_365_rows.value) ** 2

    found = [years_of(one.performance.volatility, other.performance.volatility) for one, other in zip(blocks, daily, strict=True)]
    spans = [known.between(block.span.after, block.span.until).open_time for block in blocks]
    assert found == pytest.approx([rows_per_year(multi, opens) for opens in spans])
    assert max(found) > 1.05 * min(found), "the case would prove nothing were all blocks alike"
    years = sum(block.bars / rows for block, rows in zip(blocks, found, strict=True))
    assert years_of(path.figures.volatility, daily_path.figures.volatility) == pytest.approx(sum(b.bars for b in blocks) / years)


def test_combinatorial_paths_cover_the_same_bars_with_different_policies():
    blocks, paths = prove(PROVING, proven_by(COMBINED), COMBINED)
    assert len(paths) == 3
    assert len(blocks) == 12
    assert len({path.open_time for path in paths}) == 1
    assert len({path.equity for path in paths}) == 3
    assert all(path.equal_weight == paths[0].equal_weight for path in paths)


def test_a_walk_forward_policy_that_knows_its_block_is_refused():
    with pytest.raises(LookAheadError, match="fold 0 knows bars up to"):
        prove(PROVING, proven_by(FORWARD, knows_until=SPLITS.validation.until), FORWARD)


@pytest.mark.parametrize("number", range(3), ids=lambda number: f"fold {number}")
def test_a_walk_forward_policy_is_asked_from_the_first_bar_that_closes_after_all_it_knows(number: int):
    """Fold by fold: up to a moment before the first close of its block it is proven, at that very close it is refused."""
    policies = proven_by(FORWARD)
    block = policies[number].fold.blocks[0].span
    (first_close,) = to_aware(KNOWN.between(block.after, block.until).close_time[:1])

    def knowing(moment: datetime) -> list[FoldPolicy]:
        manifest = policies[number].manifest.model_copy(update={"knows_until": moment})
        return [*policies[:number], replace(policies[number], manifest=manifest), *policies[number + 1 :]]

    blocks, _ = prove(PROVING, knowing(first_close - timedelta(microseconds=1)), FORWARD)
    assert len(blocks) == 3
    with pytest.raises(LookAheadError, match=f"fold {number} knows bars up to .* closes {first_close:%Y-%m-%d %H:%M}"):
        prove(PROVING, knowing(first_close), FORWARD)


def test_paths_that_know_the_future_say_so():
    assert "no track record" in caveats_of(COMBINED, proven_by(COMBINED), None)[0]
    assert caveats_of(FORWARD, proven_by(FORWARD), None) == ()


def test_bars_that_chose_the_teacher_are_named():
    (known_until,) = to_aware(PANEL.close_time[100:101])
    assert f"{known_until:%Y-%m-%d}" in caveats_of(COMBINED, proven_by(COMBINED), known_until)[1]


def document_of(scheme: Scheme) -> CrossValidation:
    policies = proven_by(scheme)
    blocks, paths = prove(PROVING, policies, scheme)
    folds = [
        FoldResult(fold=proven.fold, seed=0, knows_until=proven.manifest.knows_until, metrics={"validation_loss": 0.5})
        for proven in policies
    ]
    return CrossValidation(
        universe="controls",
        line="bc",
        scheme=scheme,
        retrain_id="r",
        inputs_hash="i",
        data_hash="d",
        code_version="1",
        symbols=PANEL.symbols,
        periods_per_year=365.0,
        test_begins_after=SPLITS.test.after,
        folds=tuple(folds),
        blocks=blocks,
        paths=paths,
        caveats=caveats_of(scheme, policies, None),
    )


@pytest.mark.parametrize("scheme", [FORWARD, COMBINED], ids=["walk-forward", "combinatorial"])
def test_a_stored_cross_validation_is_read_back_whole(tmp_path, scheme):
    document = document_of(scheme)
    write_cross_validation(document, tmp_path)
    assert read_cross_validation(tmp_path) == document


def test_a_damaged_document_is_not_taken_for_one(tmp_path):
    write_cross_validation(document_of(FORWARD), tmp_path).write_text("{}")
    with pytest.raises(StorageError, match="no readable cross-validation"):
        read_cross_validation(tmp_path)


def test_tables_have_a_row_for_every_block_and_path():
    document = document_of(COMBINED)
    assert (len(block_rows(document)), len(path_rows(document))) == (12, 3)
    assert list(document.sharpes) == sorted(path.figures.sharpe.value for path in document.paths)
    assert all("%" in str(row["return"]) and "%" not in str(row["Sharpe"]) for row in block_rows(document))
    assert distribution(document).startswith("Sharpe ratios of 3 paths: ")
    assert distribution(document_of(FORWARD)).startswith("Sharpe ratio of the stitched path: ")
