"""What controls found: one document per market, and one that says whether the system is as careful and as able as it must be.

Shares carry exact one-sided 95 % bounds (Clopper and Pearson, 1934): 0 promotions of 300 null markets mean that, with that
confidence, fewer than 1 % would be promoted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Literal

from pydantic import Field

from toto_ops.configuration import StrictModel, VersionedModel
from toto_ops.evaluation.criteria import DEFLATED_SHARPE
from toto_ops.evaluation.evidence import Criterion, Verdict

ControlKind = Literal["leaked", "planted", "null"]

CONFIDENCE = 0.95
LEAKED_ORACLE_SHARE = 0.80
"""Share of the oracle's Sharpe ratio that a policy given the next return must reach."""
PLANTED_PROMOTED = 0.80
"""Share of planted markets that must be promoted."""
PLANTED_ORACLE_SHARE = 0.50
"""Share of the optimum's Sharpe ratio that must be reached on planted markets, over all of them. The teacher learns of a
turn from returns over 20 bars; the optimum knows of it at once."""


class ControlOutcome(VersionedModel):
    """What became of one market.

    Attributes
    ----------
    made_of
        What the market was made of, in words.
    universe
        Whose costs, limits and gates it was judged by.
    promoted
        Whether the registry made it champion.
    sharpe
        Of the challenger on the test span.
    oracle_sharpe
        On the same bars: of who knows the trends (planted), of perfect foresight (otherwise).
    expected_oracle_sharpe
        In closed form; None but for planted markets.
    seconds
        What it took. Everything else is a function of the seed.
    """

    kind: ControlKind
    number: int
    made_of: str
    universe: str
    test_bars: int
    verdict: Verdict
    promoted: bool
    sharpe: float | None
    oracle_sharpe: float | None
    expected_oracle_sharpe: float | None
    criteria: tuple[Criterion, ...]
    seconds: float

    @property
    def name(self) -> str:
        """Unique among the markets of a run."""
        return control_name(self.kind, self.number)

    @property
    def oracle_share(self) -> float | None:
        """The challenger's Sharpe ratio over the oracle's."""
        if self.sharpe is None or not self.oracle_sharpe:
            return None
        return self.sharpe / self.oracle_sharpe


def control_name(kind: ControlKind, number: int) -> str:
    """Name of one market of a run."""
    return f"{kind}-{number:03d}"


class Proportion(StrictModel):
    """So many of so many, with the exact lower and upper 95 % bound of the probability, each one-sided."""

    count: int
    of: int
    share: float | None
    low: float
    high: float


class GateTally(StrictModel):
    """How one gate answered over all markets of a kind.

    Attributes
    ----------
    rejected
        Markets this gate refused, whatever the others said.
    rejected_alone
        Markets that every other gate would have let through.
    insufficient
        Markets it had no say in.
    """

    gate: str
    kind: Literal["gate", "alarm"]
    passed: int
    rejected: int
    rejected_alone: int
    insufficient: int


class LeakedFindings(StrictModel):
    """Markets whose next return is published at the close."""

    quarantined: Proportion
    promoted: int
    oracle_shares: tuple[float | None, ...]


class PlantedFindings(StrictModel):
    """Markets with trends that last.

    Attributes
    ----------
    sharpe, oracle_sharpe
        Means over the markets, on their test bars; an undefined Sharpe ratio, of a policy that never traded, counts as 0.
    expected_oracle_sharpe
        What the closed form says the oracle should reach.
    oracle_share
        `sharpe` over `oracle_sharpe`.
    """

    promoted: Proportion
    quarantined: int
    sharpe: float
    oracle_sharpe: float
    expected_oracle_sharpe: float
    oracle_share: float
    gates: tuple[GateTally, ...]


class NullFindings(StrictModel):
    """Markets in which nothing can be known.

    Attributes
    ----------
    passed_significance
        Markets that the deflated Sharpe ratio alone would have let through: what the other gates add is the rest.
    passed_all_but_significance
        Markets that all other gates would have let through.
    promoted_by_source
        By what the markets were made of.
    """

    promoted: Proportion
    promoted_by_source: dict[str, Proportion]
    passed_significance: Proportion
    passed_all_but_significance: Proportion
    gates: tuple[GateTally, ...]


class Demand(StrictModel):
    """One thing a believable system must show."""

    name: str
    required: str
    measured: str
    met: bool


class ControlsSummary(VersionedModel):
    """One run of the controls.

    Attributes
    ----------
    bars
        Per market, train to test.
    line, profile
        What was trained, and how thoroughly.
    code, configuration
        Hashes of the library's source and of the configuration the controls ran with.
    seconds_per_market
        Of one worker.
    """

    namespace: str
    seed: int
    line: str
    profile: str
    universes: tuple[str, ...]
    bars: dict[ControlKind, int]
    code: str
    configuration: str
    seconds_per_market: float
    leaked: LeakedFindings | None
    planted: PlantedFindings | None
    null: NullFindings | None
    demands: tuple[Demand, ...] = Field(min_length=1)

    @property
    def met(self) -> bool:
        """Whether every demand is met."""
        return all(demand.met for demand in self.demands)


def proportion(count: int, of: int) -> Proportion:
    """A count with the exact bounds of its probability."""
    from scipy.stats import beta

    low = float(beta.ppf(1 - CONFIDENCE, count, of - count + 1)) if count else 0.0
    high = float(beta.ppf(CONFIDENCE, count + 1, of - count)) if count < of else 1.0
    return Proportion(count=count, of=of, share=count / of if of else None, low=low, high=high)


def leaked_findings(outcomes: Sequence[ControlOutcome]) -> LeakedFindings:
    """Sum up the leaked markets."""
    return LeakedFindings(
        quarantined=_share_of(outcomes, lambda one: one.verdict == "quarantined"),
        promoted=sum(one.promoted for one in outcomes),
        oracle_shares=tuple(one.oracle_share for one in outcomes),
    )


def planted_findings(outcomes: Sequence[ControlOutcome]) -> PlantedFindings:
    """Sum up the planted markets."""
    sharpe, oracle = _mean([one.sharpe for one in outcomes]), _mean([one.oracle_sharpe for one in outcomes])
    return PlantedFindings(
        promoted=_share_of(outcomes, lambda one: one.promoted),
        quarantined=sum(one.verdict == "quarantined" for one in outcomes),
        sharpe=sharpe,
        oracle_sharpe=oracle,
        expected_oracle_sharpe=_mean([one.expected_oracle_sharpe for one in outcomes]),
        oracle_share=sharpe / oracle,
        gates=gate_tallies(outcomes),
    )


def null_findings(outcomes: Sequence[ControlOutcome]) -> NullFindings:
    """Sum up the null markets."""
    sources = sorted({one.made_of for one in outcomes})
    return NullFindings(
        promoted=_share_of(outcomes, lambda one: one.promoted),
        promoted_by_source={
            source: _share_of([one for one in outcomes if one.made_of == source], lambda one: one.promoted) for source in sources
        },
        passed_significance=_share_of(outcomes, lambda one: DEFLATED_SHARPE not in _rejecting(one)),
        passed_all_but_significance=_share_of(outcomes, lambda one: not _rejecting(one) - {DEFLATED_SHARPE}),
        gates=gate_tallies(outcomes),
    )


def gate_tallies(outcomes: Sequence[ControlOutcome]) -> tuple[GateTally, ...]:
    """How each gate and alarm answered, in the order of the gate table; rows that only inform are left out."""
    order = list(dict.fromkeys(row.name for one in outcomes for row in one.criteria if row.verdict != "shown"))
    return tuple(_tally(name, outcomes) for name in order)


def demands(leaked: LeakedFindings | None, planted: PlantedFindings | None, null: NullFindings | None) -> tuple[Demand, ...]:
    """What the findings must show, for the kinds of markets that were asked for."""
    found = []
    if leaked is not None:
        shares = [share for share in leaked.oracle_shares if share is not None]
        lowest = min(shares) if len(shares) == len(leaked.oracle_shares) else None
        found += [
            Demand(
                name="a leaked future is made use of",
                required=f"at least {LEAKED_ORACLE_SHARE:.0%} of the oracle's Sharpe ratio",
                measured="a Sharpe ratio is not defined" if lowest is None else f"{lowest:.0%}",
                met=lowest is not None and lowest >= LEAKED_ORACLE_SHARE,
            ),
            Demand(
                name="a leaked future is noticed",
                required="every market quarantined, none promoted",
                measured=f"{leaked.quarantined.count} of {leaked.quarantined.of} quarantined, {leaked.promoted} promoted",
                met=leaked.quarantined.count == leaked.quarantined.of and not leaked.promoted,
            ),
        ]
    if planted is not None:
        promoted = planted.promoted
        found += [
            Demand(
                name="planted trends are promoted",
                required=f"at least {PLANTED_PROMOTED:.0%}",
                measured=f"{promoted.count} of {promoted.of}",
                met=promoted.share is not None and promoted.share >= PLANTED_PROMOTED,
            ),
            Demand(
                name="planted trends are followed",
                required=f"at least {PLANTED_ORACLE_SHARE:.0%} of the optimum's Sharpe ratio",
                measured=f"{planted.oracle_share:.0%} ({planted.sharpe:.2f} of {planted.oracle_sharpe:.2f})",
                met=planted.oracle_share >= PLANTED_ORACLE_SHARE,
            ),
        ]
    if null is not None:
        found.append(
            Demand(
                name="nothing is made of nothing",
                required="no null market promoted",
                measured=f"{null.promoted.count} of {null.promoted.of}, at most {null.promoted.high:.2%} with 95 % confidence",
                met=null.promoted.count == 0,
            )
        )
    return tuple(found)


def _tally(name: str, outcomes: Sequence[ControlOutcome]) -> GateTally:
    rows = [row for one in outcomes for row in one.criteria if row.name == name]
    answers = [row.verdict for row in rows]
    return GateTally(
        gate=name,
        kind=rows[0].kind,
        passed=answers.count("pass"),
        rejected=answers.count("fail"),
        rejected_alone=sum(_rejecting(one) == {name} for one in outcomes),
        insufficient=answers.count("insufficient"),
    )


def _rejecting(outcome: ControlOutcome) -> set[str]:
    """The gates, and alarms, that stood in the way of one market."""
    return {row.name for row in outcome.criteria if not row.passed}


def _mean(figures: Sequence[float | None]) -> float:
    return fmean(figure or 0.0 for figure in figures)


def _share_of(outcomes: Sequence[ControlOutcome], answer: Callable[[ControlOutcome], bool]) -> Proportion:
    return proportion(sum(answer(one) for one in outcomes), len(outcomes))
