"""The rules money moves by, as numbers: what `portfolio_step` needs to know of a universe.

A rule is one number for all accounts, or a tensor with one for each account or each symbol (`Limit`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from toto_ops.universes import Costs, Universe

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Limit: TypeAlias = "float | Tensor"

DAYS_PER_YEAR = 365.0
"""ACT/365."""

PER_ACCOUNT = frozenset(
    {
        "margin_rate",
        "short_rate",
        "cash_rate",
        "gross_leverage",
        "max_drawdown",
        "breaker_cooldown",
        "bankruptcy_floor",
        "decision_lag",
        "capital",
    }
)
"""Rules on figures of the whole account; all others are compared with figures of its symbols."""

_COUNTS = frozenset({"max_positions", "breaker_cooldown", "decision_lag"})

_ANY_NUMBER = 2**31

_UNREACHABLE_LEVERAGE = 1e12
"""What no cap on gross exposure is in a stack: infinity times an equity of zero would not be a number."""


def is_number(rule: Any) -> TypeGuard[float]:
    """Whether a rule is one number for all accounts and symbols."""
    return isinstance(rule, (int, float))


def in_force(limit: Limit) -> bool:
    """Whether a limit that is `inf` where there is none can bind for anyone."""
    return not (is_number(limit) and math.isinf(limit))


@dataclass(frozen=True, kw_only=True)
class TradingRules:
    """Costs, rates and limits of one simulation.

    Attributes
    ----------
    cost_rate
        Commission + half spread + whatever slippage does not depend on volatility, as a fraction of traded value.
    slippage, slippage_volatility
        Fraction of traded value lost where the bar volatility of the symbol is `slippage_volatility`; in proportion to
        it elsewhere, at most all of it, and as stated where it is unknown.
    impact
        Square-root law of market impact: a trade of value `q` in a symbol of which `V` is usually traded per bar costs a
        further fraction `impact * volatility * sqrt(q / V)` of itself, at most all of it; nothing where either is
        unknown. 0 for none. (Almgren, Thum, Hauptmann and Li, "Direct estimation of equity market impact", 2005, and
        Toth et al., "Anomalous price impact and the critical nature of liquidity in financial markets", 2011, eq. 1.)
    margin_rate, short_rate, cash_rate
        Annual, ACT/365: on borrowed cash, on short notional, on idle cash.
    gross_leverage
        Cap on the sum of absolute weights, enforced by scaling; `inf` for none.
    symbol_cap
        Cap on one target's absolute weight; `inf` for none.
    max_positions
        At most this many symbols with a non-zero target; the largest absolute weights stay.
    w_max
        Weight of a full-strength decision on one symbol.
    may_short
        Whether a target may be negative.
    rebalancing_band
        Weight changes smaller than this are not traded, unless they close a position.
    minimum_trade
        Trades of less than this money are not made, unless they close a position; 0 for none.
    participation
        Largest share of the value usually traded in a bar that one trade may take; what exceeds it is not traded now and
        takes another decision. No limit where that value is unknown or the symbol is delisted; `inf` for none.
    stop_loss
        Close a position whose price is further than this against its average entry; `inf` for none.
    max_drawdown, breaker_cooldown
        Go flat at this drawdown from the peak, for this many bars; `inf` for none.
    bankruptcy_floor
        Share of initial capital at or below which everything is closed and trading ends.
    decision_lag
        Opens of the symbol from the close of a decision to its fill, 1 for the next one.
    capital
        Money that the initial capital of an account stands for: an account of 1 trades as one of `capital` would. Only
        `minimum_trade`, `impact` and `participation` depend on it.
    """

    # `Any` is an int, a bool or a float that who decides for one account reads as such, and a tensor in a stack.
    cost_rate: Limit
    slippage: Limit = 0.0
    slippage_volatility: Limit = 1.0
    impact: Limit = 0.0
    margin_rate: Limit
    short_rate: Limit
    cash_rate: Limit
    gross_leverage: Limit
    symbol_cap: Limit
    max_positions: Any
    w_max: Any
    may_short: Any
    rebalancing_band: Limit
    minimum_trade: Limit = 0.0
    participation: Limit = math.inf
    stop_loss: Limit
    max_drawdown: Limit
    breaker_cooldown: Any
    bankruptcy_floor: Limit
    decision_lag: Any
    capital: Limit = 1_000_000.0

    @classmethod
    def of(cls, universe: Universe, parts: Sequence[str] = ()) -> TradingRules:
        """The rules of a universe.

        Parameters
        ----------
        parts
            `A` names, of a combined universe: the part each symbol comes from (`Panel.parts`), whose costs it has. Without
            them every symbol costs what the dearest part does.
        """
        limits, rates = universe.limits, universe.rates
        return cls(
            **_costs([universe.parts[name].costs for name in parts] or [universe.costs]),
            margin_rate=rates.margin,
            short_rate=rates.short_borrow,
            cash_rate=rates.cash,
            gross_leverage=limits.gross_leverage,
            symbol_cap=limits.symbol_cap,
            max_positions=limits.max_positions,
            w_max=limits.w_max,
            may_short=limits.may_short,
            rebalancing_band=limits.rebalancing_band,
            minimum_trade=limits.minimum_trade,
            participation=limits.participation if limits.participation is not None else math.inf,
            stop_loss=limits.stop_loss if limits.stop_loss is not None else math.inf,
            max_drawdown=limits.max_drawdown if limits.max_drawdown is not None else math.inf,
            breaker_cooldown=limits.breaker_cooldown,
            bankruptcy_floor=limits.bankruptcy_floor,
            decision_lag=universe.decision_lag,
            capital=universe.capital,
        )

    @classmethod
    def stacked(cls, rules: Sequence[TradingRules], *, dtype: torch.dtype | None = None) -> TradingRules:
        """One rules object for `B` accounts that each have rules of their own.

        Parameters
        ----------
        rules
            Of each account, in order.
        dtype
            Of the money of the accounts; float64 where None.

        Returns
        -------
        TradingRules
            A rule that is the same for all stays a number, so that one which is off for all costs nothing. The others
            become tensors: `[B]` for those in `PER_ACCOUNT` (counts int64), `[B, 1]` or `[B, A]` for the rest.

        Raises
        ------
        ValueError
            If there are no rules to stack.
        """
        import torch

        if not rules:
            raise ValueError("there are no rules to stack")
        columns: dict[str, Any] = {}
        for name in (rule.name for rule in fields(cls)):
            column = [getattr(one, name) for one in rules]
            first = column[0]
            if all(value is first or (is_number(value) and is_number(first) and value == first) for value in column):
                columns[name] = first
                continue
            kind = torch.int64 if name in _COUNTS else torch.bool if name == "may_short" else dtype or torch.float64
            values = [torch.as_tensor(value, dtype=kind) for value in column]
            longest = max(values, key=torch.Tensor.dim)
            stack = torch.stack([value.expand_as(longest) for value in values])
            columns[name] = stack if name in PER_ACCOUNT or stack.ndim > 1 else stack.unsqueeze(-1)
        if isinstance(columns["may_short"], torch.Tensor) and is_number(cap := columns["symbol_cap"]):
            columns["symbol_cap"] = torch.full_like(columns["may_short"], cap, dtype=dtype or torch.float64)
        if isinstance(columns["gross_leverage"], torch.Tensor):
            columns["gross_leverage"] = columns["gross_leverage"].clamp(max=_UNREACHABLE_LEVERAGE)
        return cls(**columns)

    @cached_property
    def weight_range(self) -> tuple[Limit, Limit]:
        """Smallest and largest target allowed: two numbers, or two tensors of one shape."""
        cap, may_short = self.symbol_cap, self.may_short
        if is_number(cap) and is_number(may_short):
            return (-cap if may_short else 0.0), cap
        import torch

        caps = torch.as_tensor(cap)
        return torch.where(torch.as_tensor(may_short), -caps, torch.zeros_like(caps)), caps

    @cached_property
    def costs_nothing(self) -> bool:
        """Whether trading is free for everyone."""
        return all(is_number(cost) and cost == 0 for cost in (self.cost_rate, self.slippage, self.impact))

    @cached_property
    def without_jumps(self) -> TradingRules:
        """Without the rules that make a small change of a weight a jump; these very rules where there are none."""
        smooth = {"max_positions": _ANY_NUMBER, "rebalancing_band": 0.0, "minimum_trade": 0.0, "max_drawdown": math.inf}
        jumps = (name for name, off in smooth.items() if not (is_number(rule := getattr(self, name)) and rule == off))
        return replace(self, **smooth) if any(jumps) else self

    def in_dtype(self, dtype: torch.dtype) -> TradingRules:
        """The same rules with those that are tensors of figures in the dtype of the money."""
        import torch

        tensors = {rule.name: getattr(self, rule.name) for rule in fields(self)}
        return replace(
            self,
            **{
                name: value.to(dtype)
                for name, value in tensors.items()
                if isinstance(value, torch.Tensor) and value.is_floating_point()
            },
        )

    def without_breaker(self) -> TradingRules:
        """Drawdown is gated with the breaker off, so that a breaker cannot hide a bad policy."""
        return replace(self, max_drawdown=math.inf)

    def for_baselines(self) -> TradingRules:
        """Baselines pay the same costs but have no cap, stop, breaker, band or limit on the size of a trade."""
        return replace(
            self,
            gross_leverage=math.inf,
            symbol_cap=math.inf,
            max_positions=_ANY_NUMBER,
            rebalancing_band=0.0,
            minimum_trade=0.0,
            participation=math.inf,
            stop_loss=math.inf,
            max_drawdown=math.inf,
        )

    def with_costs(self, multiple: float) -> TradingRules:
        """Every cost of trading times `multiple`."""
        return replace(
            self,
            cost_rate=self.cost_rate * multiple,
            slippage=self.slippage * multiple,
            impact=self.impact * multiple,
        )

    def with_lag(self, bars: int) -> TradingRules:
        """The same rules at another decision lag."""
        return replace(self, decision_lag=bars)

    def with_capital(self, money: float) -> TradingRules:
        """The same rules for a portfolio of another size."""
        return replace(self, capital=money)


def _costs(costs: Sequence[Costs]) -> dict[str, Any]:
    """The fields of a `TradingRules` that say what trading costs: numbers where it is the same for every symbol."""
    columns = {
        "cost_rate": [one.flat_rate for one in costs],
        "slippage": [0.0 if one.slippage_at_volatility is None else one.slippage for one in costs],
        "slippage_volatility": [1.0 if one.slippage_at_volatility is None else one.slippage_at_volatility for one in costs],
        "impact": [one.impact for one in costs],
    }
    return {name: column[0] if len(set(column)) == 1 else _float64(column) for name, column in columns.items()}


def _float64(column: list[float]) -> Tensor:
    import torch

    return torch.tensor(column, dtype=torch.float64)
