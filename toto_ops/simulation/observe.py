"""From market and account to an observation: the one place that decides what is known at a close.

Backtest, environments and whatever else asks a policy call `observe`, so that none of them can show it more or less than
the others do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from toto_ops.simulation.account import account_features
from toto_ops.simulation.market_tensors import MarketRow, MarketTensors, Row
from toto_ops.simulation.observation import Observation
from toto_ops.simulation.observation_schema import STATE
from toto_ops.simulation.portfolio import PortfolioState
from toto_ops.simulation.rules import TradingRules


def observe(
    market: MarketTensors, row: Row, state: PortfolioState, rules: TradingRules, fields: Sequence[str] = STATE.fields
) -> Observation:
    """What `B` accounts see at the closes of their rows.

    Parameters
    ----------
    market
        Of the bars; nothing of a later row is read.
    row
        One row for all accounts, or `[B]` int64 with one for each. With one row, the fields of the market are views of it
        that all accounts share: not to be written to.
    state
        The accounts, marked to that close (`mark_to_close`).
    rules
        For the size of a full position.
    fields
        Names of `FIELDS`; the market, the account and the mask are there whatever is asked for.

    Returns
    -------
    Observation
        Float32; on the graph of `state` where that has one.

    Raises
    ------
    ValueError
        If a field is unknown.
    """
    return observe_row(market, market.at(row), state, rules, fields)


def observe_row(
    market: MarketTensors, seen: MarketRow, state: PortfolioState, rules: TradingRules, fields: Sequence[str] = STATE.fields
) -> Observation:
    """`observe` for who has looked at the row already (`MarketTensors.at`), to trade at its open."""
    accounts = state.cash.shape[0]
    always = {
        "market": _of_all(seen.features, seen.row, accounts),
        "account": account_features(state, rules, seen.days_to_close).float(),
        "mask": _of_all(seen.mask, seen.row, accounts),
    }
    return Observation(**always, **{name: _field(name, market, seen.row, state) for name in fields if name not in always})


def _field(name: str, market: MarketTensors, row: Row, state: PortfolioState) -> Tensor:
    match name:
        case "portfolio":
            return _portfolio(state).float()
        case "allocation":
            return (state.units * state.mark / _base(state).unsqueeze(-1)).float()
        case "volatility":
            table = market.latest_volatility
        case "context" | "clock" | "forecast" | "embedding":
            table = getattr(market, name)
        case _:
            raise ValueError(f"unknown observation field {name!r}")
    return table.index_select(0, row) if isinstance(row, Tensor) else _of_all(table[row], row, state.cash.shape[0])


def _of_all(values: Tensor, row: Row, accounts: int) -> Tensor:
    """`[B, ...]` of what stands in one row `[...]`, or in one for each account already."""
    return values if isinstance(row, Tensor) else values.expand(accounts, *values.shape)


def _base(state: PortfolioState) -> Tensor:
    """`[B]` equity, or the initial capital once equity is gone: what shares are shares of."""
    worth = state.cash + (state.units * state.mark).sum(-1)
    return torch.where(worth > 0, worth, state.initial)


def _portfolio(state: PortfolioState) -> Tensor:
    """`[B, 6]` in the order of `PORTFOLIO_FEATURES`."""
    value = state.units * state.mark
    worth = state.cash + value.sum(-1)
    base = torch.where(worth > 0, worth, state.initial)
    peak = torch.maximum(state.peak, worth)
    open_profit = (state.units * (state.mark - state.entry)).sum(-1)
    return torch.stack(
        (
            state.cash / base,
            worth / state.initial,
            value.abs().sum(-1) / base,
            value.sum(-1) / base,
            1.0 - worth / peak,
            open_profit / base,
        ),
        dim=-1,
    )
