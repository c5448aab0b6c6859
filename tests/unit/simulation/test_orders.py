"""Orders count the opens of their own symbol; a newer decision replaces one that no open has come after yet."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from toto_ops.simulation.orders import fill, no_orders, place

ROWS = 12


def fills_one_by_one(decisions: list[float | None], tradable: list[bool], lag: int) -> list[float | None]:
    """What fills at each open, for one account and one symbol, in plain Python: what waits is (opens to come, weight)."""
    waiting: list[tuple[int, float]] = []
    filled: list[float | None] = []
    for row in range(ROWS):
        if tradable[row]:
            waiting = [(opens_to_come - 1, weight) for opens_to_come, weight in waiting]
        filled.append(next((weight for opens_to_come, weight in waiting if opens_to_come == 0), None))
        waiting = [order for order in waiting if order[0] > 0]
        decision = decisions[row]
        if decision is not None:
            waiting = [order for order in waiting if order[0] < lag] + [(lag, decision)]
    return filled


decision_tables = st.lists(st.none() | st.sampled_from([0.25, 0.5, 1.0]), min_size=ROWS, max_size=ROWS)
opens = st.lists(st.booleans(), min_size=ROWS, max_size=ROWS)


@given(accounts=st.lists(st.tuples(decision_tables, opens, st.integers(1, 4)), min_size=1, max_size=5))
def test_accounts_of_any_lag_fill_as_each_would_alone(accounts: list[tuple[list[float | None], list[bool], int]]) -> None:
    lags = torch.tensor([lag for _, _, lag in accounts])
    orders = no_orders(len(accounts), 1, int(lags.max()), dtype=torch.float64)
    found: list[list[float | None]] = [[] for _ in accounts]
    for row in range(ROWS):
        tradable = torch.tensor([[opens_[row]] for _, opens_, _ in accounts])
        weight, hold, orders = fill(orders, tradable)
        for account, filled in enumerate(found):
            filled.append(None if bool(hold[account]) else float(weight[account]))
        asked = [decisions[row] for decisions, _, _ in accounts]
        orders = place(
            orders,
            torch.tensor([[0.0 if weight is None else weight] for weight in asked], dtype=torch.float64),
            torch.zeros(len(accounts), 1, dtype=torch.bool),
            torch.tensor([[weight is not None] for weight in asked]),
            lags,
        )
    assert found == [fills_one_by_one(decisions, opens_, lag) for decisions, opens_, lag in accounts]


def test_a_hold_withdraws_what_waits() -> None:
    yes, no = torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 1, dtype=torch.bool)
    orders = place(no_orders(1, 1, 1, dtype=torch.float64), torch.tensor([[0.5]]), no, yes, 1)
    _, hold, orders = fill(orders, no)
    assert bool(hold), "nothing opens"
    orders = place(orders, torch.zeros(1, 1), yes, yes, 1)
    _, hold, _ = fill(orders, yes)
    assert bool(hold)
