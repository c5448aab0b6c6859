"""What controls found: one document per market, and one that says whether the system is as careful and as able as it must be."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from toto_ops.configuration import StrictModel, VersionedModel
from toto_ops.evaluation.judgement.evidence import Criterion, Verdict

ControlKind = Literal["leaked", "planted", "null"]


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
