"""What controls show: exact bounds, which gate rejected what, and the demands."""

from collections.abc import Sequence

import pytest

from toto_ops.evaluation.controls.demands import demands
from toto_ops.evaluation.controls.outcome import ControlKind, ControlOutcome
from toto_ops.evaluation.controls.tallies import leaked_findings, null_findings, planted_findings, proportion
from toto_ops.evaluation.judgement.criteria import BENCHMARK_FLOOR, DEFLATED_SHARPE, EXCESS_SHARPE, OVERFITTING
from toto_ops.evaluation.judgement.evidence import Answer, Criterion, Verdict

GATES = (DEFLATED_SHARPE, BENCHMARK_FLOOR, OVERFITTING)


def row(name: str, answer: Answer) -> Criterion:
    return Criterion(
        name=name,
        kind="alarm" if name == EXCESS_SHARPE else "gate",
        required=0.0,
        relation=">=",
        measured=None if answer == "insufficient" else 1.0,
        verdict=answer,
    )


def outcome(
    kind: ControlKind = "null",
    number: int = 0,
    rejecting: Sequence[str] = (),
    *,
    verdict: Verdict | None = None,
    promoted: bool | None = None,
    made_of: str = "random walk",
    sharpe: float | None = 1.0,
    oracle_sharpe: float | None = 2.0,
) -> ControlOutcome:
    names = [name for name in (*GATES, EXCESS_SHARPE) if name != OVERFITTING]
    criteria = [row(name, "fail" if name in rejecting else "pass") for name in names] + [row(OVERFITTING, "insufficient")]
    told: Verdict = verdict or ("refused" if rejecting else "passed")
    return ControlOutcome(
        kind=kind,
        number=number,
        made_of=made_of,
        universe="crypto",
        test_bars=200,
        verdict=told,
        promoted=told == "passed" if promoted is None else promoted,
        sharpe=sharpe,
        oracle_sharpe=oracle_sharpe,
        expected_oracle_sharpe=2.2 if kind == "planted" else None,
        criteria=tuple(criteria),
        seconds=1.0,
    )


def test_no_promotion_in_300_bounds_the_rate_below_one_percent() -> None:
    none = proportion(0, 300)
    assert (none.share, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(1 - 0.05 ** (1 / 300))
    assert none.high < 0.01


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [  # Clopper-Pearson, one-sided 95 %: the bounds of a two-sided 90 % interval
        (1, 10, 0.0051162, 0.3941633),
        (16, 20, 0.5989719, 0.9286460),
        (5, 5, 0.5492803, 1.0),
    ],
)
def test_bounds_are_exact(count: int, of: int, low: float, high: float) -> None:
    found = proportion(count, of)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))


def test_nothing_is_known_from_no_market() -> None:
    assert proportion(0, 0).model_dump() == {"count": 0, "of": 0, "share": None, "low": 0.0, "high": 1.0}


def test_each_gate_is_counted_by_itself() -> None:
    markets = [
        outcome(rejecting=[DEFLATED_SHARPE, BENCHMARK_FLOOR]),
        outcome(number=1, rejecting=[DEFLATED_SHARPE]),
        outcome(number=2, rejecting=[BENCHMARK_FLOOR], made_of="shuffled"),
        outcome(number=3, made_of="shuffled"),
    ]
    found = null_findings(markets)
    tallies = {tally.gate: tally for tally in found.gates}
    deflated, overfitting = tallies[DEFLATED_SHARPE], tallies[OVERFITTING]
    assert (deflated.passed, deflated.rejected, deflated.rejected_alone) == (2, 2, 1)
    assert (overfitting.passed, overfitting.rejected, overfitting.insufficient) == (0, 0, 4)
    assert tallies[EXCESS_SHARPE].kind == "alarm"
    assert (found.promoted.count, found.promoted.of) == (1, 4)
    assert {source: share.count for source, share in found.promoted_by_source.items()} == {"random walk": 0, "shuffled": 1}
    assert found.passed_significance.count == 2
    assert found.passed_all_but_significance.count == 2


def test_a_system_that_promotes_noise_does_not_pass() -> None:
    assert demands(None, None, null_findings([outcome(rejecting=GATES[:1])]))[0].met
    assert not demands(None, None, null_findings([outcome()]))[0].met


@pytest.mark.parametrize(("promoted", "met"), [(4, True), (3, False)])
def test_a_system_that_hardly_promotes_does_not_pass(promoted: int, met: bool) -> None:
    markets = [outcome("planted", number, [] if number < promoted else [DEFLATED_SHARPE], sharpe=1.5) for number in range(5)]
    power, followed = demands(None, planted_findings(markets), None)
    assert power.met is met
    assert followed.met


def test_the_share_of_the_optimum_is_that_of_the_means() -> None:
    markets = [
        outcome("planted", sharpe=3.0, oracle_sharpe=4.0),
        outcome("planted", 1, sharpe=None, oracle_sharpe=6.0),
    ]
    found = planted_findings(markets)
    assert (found.sharpe, found.oracle_sharpe, found.expected_oracle_sharpe) == (1.5, 5.0, 2.2)
    assert found.oracle_share == 0.3
    assert not demands(None, found, None)[1].met


@pytest.mark.parametrize(
    ("sharpe", "verdict", "promoted", "met"),
    [
        pytest.param(9.0, "quarantined", False, (True, True), id="used and noticed"),
        pytest.param(9.0, "passed", True, (True, False), id="promoted"),
        pytest.param(9.0, "refused", False, (True, False), id="refused for another reason"),
        pytest.param(5.0, "quarantined", False, (False, True), id="hardly used"),
        pytest.param(None, "refused", False, (False, False), id="never traded"),
    ],
)
def test_a_leak_must_be_used_and_noticed(sharpe: float | None, verdict: Verdict, promoted: bool, met: tuple[bool, bool]) -> None:
    market = outcome("leaked", verdict=verdict, promoted=promoted, sharpe=sharpe, oracle_sharpe=10.0)
    assert tuple(demand.met for demand in demands(leaked_findings([market]), None, None)) == met
