"""The market simulator: thousands of accounts on one panel, each at a row of its own, moved together.

A step begins at the close of a row, where the accounts have just been observed: decisions become orders, the next row
opens, orders fill and are paid for (`portfolio_step`), the row closes and positions are marked. The reward is what
happened from close to close, so nothing is in it that the next observation does not know. There is no loop over accounts
or symbols: an account is a row number, and its bars are gathered.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from toto_ops.features.state import RETURN_LAGS
from toto_ops.simulation.episodes import WHOLE_SPAN, Episodes
from toto_ops.simulation.market_tensors import MarketTensors
from toto_ops.simulation.observation import Observation
from toto_ops.simulation.observation_schema import STATE, ObservationSchema
from toto_ops.simulation.observe import observe_row
from toto_ops.simulation.orders import Orders, fill, no_orders, place
from toto_ops.simulation.portfolio import PortfolioState, StepResult, equity, initial_state, mark_to_close, portfolio_step
from toto_ops.simulation.rewards import LOG_RETURN, RewardConfig, RewardMemory, StepFacts, fresh_memory, reward
from toto_ops.simulation.rules import TradingRules

LEAST_WORTH = 1e-3
"""Share of the initial capital at which rewards stop counting losses: the log of a lost fortune must stay finite."""


class Accounts(NamedTuple):
    """Everything that changes from step to step in `B` accounts.

    Attributes
    ----------
    row
        `[B]` int64 row at whose close the account stands.
    end
        `[B]` int64 row at whose close its episode is over.
    portfolio
        Marked to that close.
    worth
        `[B]` equity at that close, at least `LEAST_WORTH` of the initial capital.
    orders
        Decided, not filled.
    memory
        Of the reward.
    """

    row: Tensor
    end: Tensor
    portfolio: PortfolioState
    worth: Tensor
    orders: Orders
    memory: RewardMemory


class Transition(NamedTuple):
    """What one step did.

    Attributes
    ----------
    reward
        `[B]` as configured.
    log_return
        `[B]` log growth of equity from close to close.
    terminated
        `[B]` bool: bankrupt, closed for good.
    truncated
        `[B]` bool: the episode is over.
    result
        Of the trades at the open.
    """

    reward: Tensor
    log_return: Tensor
    terminated: Tensor
    truncated: Tensor
    result: StepResult

    @property
    def finished(self) -> Tensor:
        """`[B]` bool: the account has to restart before it goes on."""
        return self.terminated | self.truncated


class MarketSimulator:
    """`B` accounts on one panel.

    Parameters
    ----------
    market
        The bars, in the dtype of the money.
    rules
        Costs, rates, limits and decision lag, the same for all accounts or stacked.
    accounts
        `B`.
    episodes
        Where they begin and how long they trade.
    reward
        What is rewarded.
    schema
        What is observed.
    initial_capital
        Money of an account that begins.
    seed
        Of the rows at which episodes begin.

    Raises
    ------
    InsufficientDataError
        If the panel is shorter than an episode.
    ValueError, ConfigError
        If there is no account, or none can begin with such a capital.
    """

    def __init__(
        self,
        market: MarketTensors,
        rules: TradingRules,
        accounts: int,
        *,
        episodes: Episodes = WHOLE_SPAN,
        reward: RewardConfig = LOG_RETURN,
        schema: ObservationSchema = STATE,
        initial_capital: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.market = market
        self.rules = rules.in_dtype(market.open.dtype)
        self.reward = reward
        self.schema = schema
        self.episodes = episodes
        self._length = episodes.steps(market.rows)
        self._least = LEAST_WORTH * initial_capital
        self._hold_none = torch.zeros((accounts, market.assets), dtype=torch.bool)
        longest = int(rules.decision_lag.max()) if isinstance(rules.decision_lag, Tensor) else rules.decision_lag
        # Where every symbol opens in every row and all decisions are due at the next open, no order ever waits.
        self._immediate = market.gapless and longest == 1
        money = market.table.dtype
        portfolio = initial_state(accounts, market.assets, initial_capital, dtype=money)
        self._beginning = Accounts(
            row=torch.zeros(accounts, dtype=torch.int64),
            end=torch.full((accounts,), self._length),
            portfolio=portfolio,
            worth=portfolio.cash,
            orders=no_orders(accounts, market.assets, longest, dtype=money),
            memory=fresh_memory(portfolio.cash),
        )
        self.seed(seed)
        self.reset()

    def seed(self, seed: int) -> None:
        """Begin the sequence of random rows anew."""
        self._generator = torch.Generator().manual_seed(seed)

    @property
    def batch(self) -> int:
        """`B`."""
        return self._hold_none.shape[0]

    def reset(self, rows: Tensor | None = None) -> Observation:
        """Begin all episodes.

        Parameters
        ----------
        rows
            `[B]` int64 rows at whose closes they begin; None: as `episodes` says.

        Raises
        ------
        ValueError
            If an episode that begins there does not end within the panel.
        """
        if rows is None:
            rows = self.episodes.starts(self.batch, self.market.rows, self._generator)
        elif bool((rows < 0).any()) or bool((rows + self._length >= self.market.rows).any()):
            first = int(((rows < 0) | (rows + self._length >= self.market.rows)).nonzero()[0])
            raise ValueError(
                f"{self._length} steps from row {int(rows[first])} (account {first}) leave the panel of {self.market.rows} rows"
            )
        self.accounts = self._beginning._replace(row=rows, end=rows + self._length)
        self._seen = self.market.at(rows)
        return self.observe()

    def restart(self, which: Tensor) -> None:
        """Begin new episodes in the accounts where `which` `[B]` is true; the others stand where they stood."""
        index = which.nonzero().squeeze(-1)
        if not len(index):
            return
        starts = self._beginning.row.index_copy(0, index, self.episodes.starts(len(index), self.market.rows, self._generator))
        self.accounts = _begun(self.accounts, self._beginning._replace(row=starts, end=starts + self._length), index)
        self._seen = self.market.at(self.accounts.row)

    def advance(self, weight: Tensor, hold: Tensor | None = None) -> Transition:
        """Decide at the closes where the accounts stand, and go on to the next ones.

        Parameters
        ----------
        weight
            `[B, A]` target weights as fractions of equity; finite, or the account's equity will not be.
        hold
            `[B, A]` bool: keep the units held; None: nowhere. A symbol without a bar is held whatever is asked.

        Raises
        ------
        ValueError
            If an account stands at the last row of the panel.
        """
        before = self.accounts
        hold = self._hold_none if hold is None else hold
        row = before.row + 1
        try:
            seen = self.market.at(row)
        except IndexError as error:
            raise ValueError("an account stands at the end of the panel: restart it before the next step") from error
        orders = before.orders
        if not self._immediate:
            orders = place(orders, weight, hold, self._seen.mask, self.rules.decision_lag)
            weight, hold, orders = fill(orders, seen.bar.tradable)
        result = portfolio_step(before.portfolio, weight, hold, seen.bar, self.rules)
        portfolio = mark_to_close(result.state, seen.close, seen.mask)
        worth = equity(portfolio).clamp(min=self._least)
        facts = StepFacts(
            log_return=(worth / before.worth).log(),
            worth=worth,
            traded=result,
            recent_returns=seen.features[..., :RETURN_LAGS],
        )
        rewarded, memory = reward(self.reward, before.memory, facts)
        self.accounts = Accounts(row, before.end, portfolio, worth, orders, memory)
        self._seen = seen
        return Transition(rewarded, facts.log_return, portfolio.bankrupt, row >= before.end, result)

    def observe(self) -> Observation:
        """What the accounts see at the closes where they stand."""
        return observe_row(self.market, self._seen, self.accounts.portfolio, self.rules, self.schema.fields)

    def step(self, weight: Tensor, hold: Tensor | None = None) -> tuple[Observation, Transition]:
        """`advance`, and look: at the last close of an episode where it is over."""
        transition = self.advance(weight, hold)
        return self.observe(), transition

    def step_and_restart(self, weight: Tensor, hold: Tensor | None = None) -> tuple[Observation, Transition]:
        """`advance`, begin anew where an episode is over, and look: what to decide on next."""
        transition = self.advance(weight, hold)
        self.restart(transition.finished)
        return self.observe(), transition

    def detach(self) -> None:
        """Forget how the accounts came to stand where they do: gradients end here."""
        past = self.accounts
        self.accounts = past._replace(
            portfolio=PortfolioState(*(tensor.detach() for tensor in past.portfolio)),
            worth=past.worth.detach(),
            orders=Orders(*(tensor.detach() for tensor in past.orders)),
            memory=RewardMemory(*(tensor.detach() for tensor in past.memory)),
        )


def action_weights(action: Tensor, rules: TradingRules) -> Tensor:
    """Target weights `[B, A]` of actions in [-1, 1], in units of `w_max`; what lies beyond is taken for the nearest of these.

    Raises
    ------
    ValueError
        If an action is not a finite number: it would ruin the account without a word.
    """
    if not bool(action.isfinite().all()):
        raise ValueError("an action must be finite")
    weights: Tensor = action.clamp(-1.0, 1.0) * rules.w_max
    return weights


def _begun(accounts: Accounts, fresh: Accounts, index: Tensor) -> Accounts:
    """`accounts` with those at `index` `[N]` as they are in `fresh`."""
    return Accounts(
        row=_replaced(accounts.row, fresh.row, index),
        end=_replaced(accounts.end, fresh.end, index),
        portfolio=PortfolioState(*(_replaced(*pair, index) for pair in zip(accounts.portfolio, fresh.portfolio, strict=True))),
        worth=_replaced(accounts.worth, fresh.worth, index),
        orders=Orders(*(_replaced(*pair, index, axis=1) for pair in zip(accounts.orders, fresh.orders, strict=True))),
        memory=RewardMemory(*(_replaced(*pair, index) for pair in zip(accounts.memory, fresh.memory, strict=True))),
    )


def _replaced(present: Tensor, fresh: Tensor, index: Tensor, axis: int = 0) -> Tensor:
    return present.index_copy(axis, index, fresh.index_select(axis, index))
