"""Universes: what is traded, where its bars come from, what trading costs and when models are retrained.

A universe is one entry of `deploy/config/universes.yaml`, overlaid by `deploy/config/env/<TOTO_ENV>.yaml`. Adding a
universe is adding an entry; the asset graph, the jobs and the schedules follow from it.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterBadDateError, croniter
from pydantic import Field, ValidationError, field_validator, model_validator

from toto_ops.capital import Capital
from toto_ops.configuration import PROJECT_ROOT, Settings, StrictModel, VersionedModel, overlay, parse_config, read_yaml
from toto_ops.errors import ConfigError, SymbolNameError

SYMBOL_PATTERN = re.compile(r"[A-Z0-9][A-Z0-9._-]{0,23}")
UNIVERSE_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,31}")

MINUTES_PER_DAY = 24 * 60

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


def checked_symbol(name: str) -> str:
    """Upper-case a symbol and refuse whatever must not become part of a path.

    Raises
    ------
    SymbolNameError
        Unless the result is 1 to 24 of `A-Z 0-9 . _ -`, starts with a letter or digit, and has no `..`.
    """
    symbol = name.upper()
    if not name.isascii() or not SYMBOL_PATTERN.fullmatch(symbol) or ".." in symbol:
        raise SymbolNameError(
            f"{name!r} is not a symbol",
            remedy="use 1 to 24 of the characters A-Z 0-9 . _ - starting with a letter or digit, without '..'",
        )
    return symbol


class Membership(StrictModel):
    """Dates (both inclusive) between which a symbol belongs to its universe; open ends where absent."""

    from_: date | None = Field(default=None, alias="from")
    to: date | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Membership:
        if self.from_ and self.to and self.from_ > self.to:
            raise ValueError(f"membership ends ({self.to}) before it begins ({self.from_})")
        return self


class SampleSource(StrictModel):
    """The real daily bars shipped with the project, and those a user puts beside them."""

    kind: Literal["sample"] = "sample"
    folder: Literal["daily_stocks", "daily_crypto"]
    added: Path | None = Field(
        default=None,
        description="folder of further <SYMBOL>.csv, relative to the project; a file for a bundled symbol continues it",
    )

    @property
    def added_folder(self) -> Path | None:
        """Where `added` is. The model keeps it as configured, so that its hash does not depend on where the project lies."""
        return None if self.added is None else PROJECT_ROOT / self.added.expanduser()


class CsvSource(StrictModel):
    """A folder with one CSV per symbol, or with `train/` and `test/` folders of such files."""

    kind: Literal["csv"] = "csv"
    folder: Path
    timezone: str = Field(default="UTC", description="zone of timestamps that carry none")
    sentiment_folder: Path | None = Field(default=None, description="optional <SYMBOL>.csv of published sentiment")

    @field_validator("folder", "sentiment_folder")
    @classmethod
    def _absolute(cls, folder: Path | None) -> Path | None:
        # The command line, the UI and their step processes have working directories of their own.
        return None if folder is None else PROJECT_ROOT / folder.expanduser()

    @field_validator("timezone")
    @classmethod
    def _existing_zone(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("is not an IANA time zone such as America/New_York") from error
        return timezone


class CombinedSource(StrictModel):
    """The symbols of other universes in one portfolio, each with the bars, the calendar and the costs it has there."""

    kind: Literal["combined"] = "combined"
    universes: tuple[str, ...] = Field(min_length=2)

    @field_validator("universes")
    @classmethod
    def _each_once(cls, universes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(universes)) < len(universes):
            raise ValueError("names a universe twice")
        return universes


Source = Annotated[SampleSource | CsvSource | CombinedSource, Field(discriminator="kind")]

OF_THE_PARTS = ("asset_class", "bar", "calendar", "costs", "volume_unit", "adjustment", "parts")
"""What a combined universe has from its parts and cannot say itself."""


class Costs(StrictModel):
    """Trading costs as fractions of the traded value."""

    commission: Fraction
    half_spread: Fraction = 0.0
    slippage: Fraction = 0.0
    slippage_at_volatility: float | None = Field(
        default=None,
        gt=0,
        description="volatility of returns per bar at which slippage is as stated; it grows in proportion. Absent: it does not",
    )
    impact: float = Field(
        default=0.0,
        ge=0,
        description="square-root market impact, a fraction of impact * volatility * sqrt(traded / usually traded per bar)",
    )

    @model_validator(mode="after")
    def _leaves_something(self) -> Costs:
        if self.rate >= 0.5:
            raise ValueError(
                f"commission, half_spread and slippage come to {self.rate:g} of what is traded; keep them below 0.5, since "
                "every judgement looks at twice the costs, and a sale would bring nothing"
            )
        return self

    @property
    def rate(self) -> float:
        """Cost of one unit of turnover in a symbol of usual volatility, market impact aside."""
        return self.commission + self.half_spread + self.slippage

    @property
    def flat_rate(self) -> float:
        """The part of `rate` that does not depend on volatility."""
        return self.rate if self.slippage_at_volatility is None else self.commission + self.half_spread


class Limits(StrictModel):
    """What a portfolio of this universe may hold."""

    gross_leverage: float = Field(default=2.0, gt=0, description="cap on the sum of absolute weights")
    symbol_cap: float = Field(default=0.25, gt=0, description="cap on one symbol's absolute weight")
    max_positions: int = Field(default=10, ge=1)
    may_short: bool = False
    rebalancing_band: Fraction = Field(default=0.01, description="smaller weight changes are not traded")
    minimum_trade: float = Field(default=0.0, ge=0, description="money; smaller trades are not made unless they close a position")
    participation: float | None = Field(
        default=None, gt=0, description="largest share of the value usually traded in a bar that one trade may take; absent: any"
    )
    stop_loss: Fraction | None = Field(
        default=0.25, gt=0, description="close a position this far below its entry price; null: never"
    )
    max_drawdown: Fraction | None = Field(
        default=0.30, gt=0, description="circuit breaker: go flat at this drawdown; null: never"
    )
    breaker_cooldown: int = Field(default=20, ge=1, description="rows of the panel to stay flat after the breaker")
    bankruptcy_floor: Fraction = Field(default=0.05, lt=1, description="share of the initial capital at which trading ends")

    @property
    def w_max(self) -> float:
        """Largest weight a single-symbol decision asks for: min(symbol cap, gross limit / max positions)."""
        return min(self.symbol_cap, self.gross_leverage / self.max_positions)


class Rates(StrictModel):
    """Annual interest rates, accrued ACT/365 over calendar time."""

    margin: float = Field(default=0.0675, ge=0, description="on borrowed cash")
    short_borrow: float = Field(default=0.02, ge=0, description="on the notional of shorts")
    cash: float = Field(default=0.0, ge=0, description="earned on idle cash")


class Universe(StrictModel):
    """Everything the system must know of one set of symbols that is traded and retrained together."""

    name: str
    description: str = ""
    asset_class: Literal["stock", "crypto", "mixed"]
    bar: str = Field(default="1d", pattern=r"^[1-9][0-9]*(m|h|d)$")
    source: Source
    symbols: dict[str, Membership] | None = Field(default=None, description="absent: whatever the source holds")
    calendar: str = Field(description="`24/7` or an exchange-calendars code such as XNYS")
    periods_per_year: float | None = Field(
        default=None, gt=0, description="bars per year, for annualised figures; absent: as the calendar and the bar have it"
    )
    cadence: str = Field(description="cron of the scheduled retraining, UTC")
    ingest_cadence: str | None = Field(
        default=None, description="cron, UTC: when new bars are brought in for serving between retrainings; absent: never"
    )
    capital: Capital = Field(
        default=1_000_000.0, description="money the portfolio is run with; minimum trade, impact and participation need it"
    )
    costs: Costs
    limits: Limits = Limits()
    rates: Rates = Rates()
    volume_unit: Literal["base", "quote"] = Field(
        description="what volume counts: units of the symbol, or money; features are ratios of volumes, so both work alike"
    )
    adjustment: Literal["none", "split", "total_return", "mixed"] = Field(
        description="how prices are adjusted; every report says so"
    )
    decision_lag: int = Field(default=1, ge=1, description="opens of the symbol from a decision's close to its fill")
    minimum_bars: int = Field(default=300, ge=60, description="shorter histories are quarantined")
    minimum_coverage: Fraction = Field(default=0.6, description="share of symbols that must be healthy to go on")
    max_bar_age_days: float = Field(default=5.0, gt=0, description="serving refuses bars older than this")
    promotion: Literal["automatic", "manual"] = Field(
        default="automatic", description="manual: a challenger that passed its gates waits for `toto-ops registry promote`"
    )
    gates: dict[str, Any] = Field(default_factory=dict, description="overrides of gates.yaml for this universe")
    parts: dict[str, Universe] = Field(
        default_factory=dict, description="of a combined universe: those it combines, by name; filled in from `source`"
    )

    @field_validator("name")
    @classmethod
    def _path_safe(cls, name: str) -> str:
        if not UNIVERSE_PATTERN.fullmatch(name):
            raise ValueError("a universe is 1 to 32 of a-z 0-9 _ starting with a letter")
        return name

    @field_validator("symbols", mode="before")
    @classmethod
    def _canonical_symbols(cls, symbols: Any) -> Any:
        if symbols is None:
            return None
        if not isinstance(symbols, (list, dict)) or not symbols:
            raise ValueError("symbols must be a non-empty list of names or a mapping of names to {from, to}")
        canonical: dict[str, Any] = {}
        for name, membership in symbols.items() if isinstance(symbols, dict) else ((name, None) for name in symbols):
            if not isinstance(name, str):  # YAML reads ON and NO as truth values, and 0700 as a number
                raise ValueError(f"{name!r} is not text; put symbols that YAML misreads in quotes")  # noqa: TRY004 - pydantic's
            try:
                symbol = checked_symbol(name)
            except SymbolNameError as error:
                raise ValueError(f"{error.problem}: {error.remedy}") from error
            if symbol in canonical:
                raise ValueError(f"{name!r} is there already, or collides with another symbol once upper-cased")
            canonical[symbol] = {} if membership is None else membership
        return canonical

    @model_validator(mode="after")
    def _mixed_where_combined(self) -> Universe:
        combined = isinstance(self.source, CombinedSource)
        if combined != bool(self.parts) or combined != (self.asset_class == "mixed") or combined != (self.adjustment == "mixed"):
            raise ValueError(
                "parts, asset_class mixed and adjustment mixed belong to a source of kind combined, and come from it"
            )
        return self

    @field_validator("cadence", "ingest_cadence")
    @classmethod
    def _parsable_cron(cls, cadence: str | None) -> str | None:
        if cadence is None:
            return None
        if len(cadence.split()) != 5 or not croniter.is_valid(cadence):
            raise ValueError("is not a five-field cron expression such as `0 6 1 * *`")
        try:
            croniter(cadence).get_next()
        except CroniterBadDateError as error:
            raise ValueError("never comes: it names a day that no month has") from error
        return cadence

    @field_validator("bar")
    @classmethod
    def _tiles_a_day(cls, bar: str) -> str:
        minutes = int(bar[:-1]) * {"m": 1, "h": 60, "d": MINUTES_PER_DAY}[bar[-1]]
        if MINUTES_PER_DAY % minutes:
            raise ValueError("bars do not tile a day; use 1d, or minutes or hours that divide 24 h")
        return bar

    @property
    def bar_length(self) -> timedelta:
        """Nominal length of one bar."""
        unit = {"m": "minutes", "h": "hours", "d": "days"}[self.bar[-1]]
        return timedelta(**{unit: int(self.bar[:-1])})

    @property
    def is_sample(self) -> bool:
        """Whether all its bars are the bundled ones, which end in the past."""
        sources = [part.source for part in self.parts.values()] or [self.source]
        return all(isinstance(source, SampleSource) for source in sources)

    def part(self, name: str | None) -> Universe:
        """What the data of a symbol follow: this universe or, in a combined one, the part the symbol comes from.

        A part is given this universe's name, members and demands on history and age, and keeps its own source, calendar,
        bar, costs and units.
        """
        if name is None:
            return self
        ours = {"name": self.name, "symbols": self.symbols, "minimum_bars": self.minimum_bars}
        return self.parts[name].model_copy(update={**ours, "max_bar_age_days": self.max_bar_age_days})


class UniverseFile(VersionedModel):
    """`universes.yaml` with the environment overlay applied."""

    universes: dict[str, Universe]
    sensors_default_status: Literal["running", "stopped"] = "stopped"

    @model_validator(mode="before")
    @classmethod
    def _names_from_keys(cls, content: Any) -> Any:
        if not isinstance(content, dict) or not isinstance(content.get("universes"), dict):
            return content
        entries = content["universes"]
        renamed = [str(key) for key, entry in entries.items() if isinstance(entry, dict) and entry.get("name", key) != key]
        if renamed:
            raise ValueError(f"{', '.join(renamed)}: a universe is named by its key; remove `name`")
        named = {key: {**entry, "name": key} if isinstance(entry, dict) else entry for key, entry in entries.items()}
        combined = {key: _combined(entry, named) for key, entry in named.items()}
        return {**content, "universes": {key: entry for key, entry in combined.items() if entry is not None}}

    def universe(self, name: str) -> Universe:
        """The universe called `name`, or a `ConfigError` listing those that exist."""
        if name not in self.universes:
            raise ConfigError(
                f"universe {name!r} does not exist",
                where="universes.yaml",
                remedy=f"choose one of {', '.join(sorted(self.universes))} or add an entry" if self.universes else "add an entry",
            )
        return self.universes[name]


def _combined(entry: Any, entries: dict[str, Any]) -> Any:
    """The entry of a combined universe with what it has from its parts; any other as it is.

    None where a part is not valid: the part's own entry says what is wrong with it.
    """
    source = entry.get("source") if isinstance(entry, dict) else None
    if not isinstance(source, dict) or source.get("kind") != "combined" or not isinstance(source.get("universes"), list):
        return entry
    said = [key for key in OF_THE_PARTS if key in entry]
    if said:
        raise ValueError(f"{entry['name']}: {', '.join(said)} of a combined universe come from its parts; remove them")
    parts = {name: entries.get(name) for name in source["universes"]}
    wrong = [
        name for name, part in parts.items() if not isinstance(part, dict) or part.get("source", {}).get("kind") == "combined"
    ]
    if wrong:
        raise ValueError(f"{entry['name']}: {', '.join(map(str, wrong))} is not a universe of its own that could be combined")
    try:
        universes = [Universe.model_validate(part) for part in parts.values()]
    except ValidationError:
        return None
    if len({universe.bar for universe in universes}) > 1:
        raise ValueError(f"{entry['name']}: the universes it combines have bars of different length")
    dearest = max(universes, key=lambda universe: universe.costs.rate)
    return entry | {
        "asset_class": "mixed",
        "bar": dearest.bar,
        "calendar": "24/7",
        "costs": dearest.costs,
        "volume_unit": dearest.volume_unit,
        "adjustment": "mixed",
        "parts": {universe.name: universe for universe in universes},
    }


def load_universes(settings: Settings) -> UniverseFile:
    """Read `universes.yaml` and lay `env/<TOTO_ENV>.yaml` over it.

    Raises
    ------
    ConfigError
        Naming the file, each offending key and the remedy.
    """
    base_path = settings.config_dir / "universes.yaml"
    base = read_yaml(base_path)
    overlay_path = settings.config_dir / "env" / f"{settings.env}.yaml"
    # Only `local` may do without: a production that lost its overlay would stand still with every schedule stopped.
    over = {} if settings.env == "local" and not overlay_path.exists() else read_yaml(overlay_path)
    culprit = base_path if not over else Path(f"{base_path} with {overlay_path}")
    return parse_config(overlay(base, over), UniverseFile, culprit)
