"""What to do now about one symbol, by the incumbent model; or a refusal that says why there is no answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime

from toto_ops.configuration import StrictModel
from toto_ops.errors import BarDataError, SymbolNameError
from toto_ops.features.moments import to_aware, to_utc64
from toto_ops.market.calendars import next_close_after
from toto_ops.market.snapshot import SnapshotEntry
from toto_ops.registry.models import ModelRegistry
from toto_ops.registry.onnx_export import DecisionArrays
from toto_ops.serving.account import FLAT, AccountQuery
from toto_ops.serving.market_view import MarketView, read_market
from toto_ops.serving.servable import require_fresh, servable, serving_moment
from toto_ops.serving.session import ServingSession, open_incumbent
from toto_ops.simulation.observation import Action
from toto_ops.storage.store import ArtefactStore
from toto_ops.universes import Universe, checked_symbol

SECONDS_PER_DAY = 86_400


class Probabilities(StrictModel):
    """Of the three actions; they sum to 1."""

    hold: float
    buy: float
    sell: float


class Prediction(StrictModel):
    """One decision, with what one must know to act on it.

    Attributes
    ----------
    strength
        How much of `w_max` the action asks for, 0 to 1.
    target_weight
        Weight to hold as a fraction of equity; None for HOLD, which keeps the units held.
    bar_close
        Close of the bar decided on; fills belong to opens after it.
    valid_until
        Next close of the calendar: from then on a newer bar decides.
    expired
        Whether that moment has passed already, because a newer bar is missing.
    is_fallback
        Whether the fallback answers, for want of a champion.
    knows_until
        Latest bar that influenced the model; None if nothing was fitted.
    data_health
        Data health index at the bar, 0 to 1.
    """

    universe: str
    symbol: str
    action: Literal["HOLD", "BUY", "SELL"]
    strength: float
    probabilities: Probabilities
    target_weight: float | None
    bar_close: AwareDatetime
    valid_until: AwareDatetime
    expired: bool
    asked_at: AwareDatetime
    model: str
    version: int
    line: str
    is_fallback: bool
    knows_until: AwareDatetime | None
    data_health: float
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Bar:
    """The bar a question is answered on: its symbol's entry in the snapshot, its row of the panel, its close."""

    entry: SnapshotEntry
    row: int
    close: datetime


class Predictor:
    """A universe's incumbent beside its newest market data; answers many questions without reading either again."""

    def __init__(self, universe: Universe, view: MarketView, session: ServingSession) -> None:
        self.universe = universe
        self.view = view
        self.session = session
        self._next_close: dict[tuple[str | None, datetime], datetime] = {}

    @classmethod
    def open(cls, universe: Universe, store: ArtefactStore, registry: ModelRegistry) -> Predictor:
        """Load what serves now.

        Raises
        ------
        StorageError
            If the universe has no model or no market data yet, or either was damaged.
        """
        return cls(universe, read_market(store, universe.name), open_incumbent(registry, universe.name))

    def predict(self, symbol: str, now: datetime | None = None, account: AccountQuery = FLAT) -> Prediction:
        """Decide on the newest bar of `symbol` that had closed by `now`.

        Parameters
        ----------
        now
            Moment of the question; by default the present, or the newest close of a bundled sample.
        account
            What the asking account holds.

        Raises
        ------
        SymbolNameError
            If the universe or the model does not know the symbol.
        BarDataError
            If its bars are quarantined, or none had closed by `now`.
        StaleBarsError
            If its feed has ended, or its newest bar is older than the universe allows.
        """
        moment = now if now is not None else serving_moment(self.universe, self.view.snapshot)
        bar = self._newest_bar(self._servable(checked_symbol(symbol)), moment)
        require_fresh(self.universe, bar.entry.symbol, bar.close, moment)
        asked = self.session.manifest.symbols.index(bar.entry.symbol)
        market, mask = self._market(bar.row)
        decision = self.session.decide(market, account.features(asked, len(mask[0]), self.universe.limits.w_max), mask)
        return self._prediction(bar, decision, asked, moment)

    # -- which bar ---------------------------------------------------------------------------------------------

    def _servable(self, symbol: str) -> SnapshotEntry:
        entry = servable(self.universe, self.view.snapshot, symbol)
        if symbol not in self.session.manifest.symbols:
            raise SymbolNameError(
                f"{symbol} was not known to {self.session.version.label}", where=self.universe.name, remedy="retrain the universe"
            )
        return entry

    def _newest_bar(self, entry: SnapshotEntry, moment: datetime) -> _Bar:
        panel = self.view.panel
        closed = int(np.searchsorted(panel.close_time, to_utc64(moment), side="right"))
        rows = np.flatnonzero(panel.mask[:closed, self._columns[entry.symbol]])
        if not len(rows):
            raise BarDataError(
                f"no usable bar had closed by {moment:%Y-%m-%d %H:%M %Z}", where=entry.symbol, remedy="ask for a later moment"
            )
        return _Bar(entry, int(rows[-1]), to_aware(panel.close_time[rows[-1:]])[0])

    # -- what the model is shown -------------------------------------------------------------------------------

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {symbol: column for column, symbol in enumerate(self.view.panel.symbols)}

    def _market(self, row: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Market `[1, A, F]` and mask `[1, A]` in the order of the model's own symbols; absent ones are masked."""
        panel = self.view.panel
        symbols = self.session.manifest.symbols
        market = np.zeros((1, len(symbols), len(panel.feature_names)), dtype=np.float32)
        mask = np.zeros((1, len(symbols)), dtype=np.bool_)
        for place, symbol in enumerate(symbols):
            column = self._columns.get(symbol)
            if column is not None:
                market[0, place] = panel.features[row, column]
                mask[0, place] = panel.mask[row, column]
        return market, mask

    # -- the answer --------------------------------------------------------------------------------------------

    def _prediction(self, bar: _Bar, decision: DecisionArrays, asked: int, moment: datetime) -> Prediction:
        hold, buy, sell = (float(share) for share in decision.probabilities[0, asked])
        valid_until = self._valid_until(bar.entry, bar.close)
        panel, version = self.view.panel, self.session.version
        health = panel.features[bar.row, self._columns[bar.entry.symbol], panel.feature_names.index("data_health")]
        return Prediction(
            universe=self.universe.name,
            symbol=bar.entry.symbol,
            action=Action(int(decision.action[0, asked])).name,
            strength=float(decision.strength[0, asked]),
            probabilities=Probabilities(hold=hold, buy=buy, sell=sell),
            target_weight=None if decision.hold[0, asked] else float(decision.weight[0, asked]),
            bar_close=bar.close,
            valid_until=valid_until,
            expired=valid_until <= moment,
            asked_at=moment,
            model=version.name,
            version=version.version,
            line=version.line,
            is_fallback=self.session.is_fallback,
            knows_until=version.knows_until,
            data_health=float(health),
            warnings=self._warnings(bar.entry, valid_until, moment),
        )

    def _valid_until(self, entry: SnapshotEntry, bar_close: datetime) -> datetime:
        if (entry.part, bar_close) not in self._next_close:
            self._next_close[entry.part, bar_close] = next_close_after(self.universe.part(entry.part), bar_close)
        return self._next_close[entry.part, bar_close]

    def _warnings(self, entry: SnapshotEntry, valid_until: datetime, moment: datetime) -> tuple[str, ...]:
        warnings = list(entry.warnings)
        if self.session.is_fallback:
            warnings.append("no champion: the fallback answers")
        if valid_until <= moment:
            warnings.append(f"a newer bar has closed on {valid_until:%Y-%m-%d %H:%M} UTC and is missing")
        return tuple(warnings)
