"""Prefix invariance of everything that is computed from bars: what was known then is what is said of then now.

Bars after a moment are removed or rewritten; no feature, regime, correlation, volatility or context up to that moment may
change by a single bit. What is compared is found by introspection of the feature schema and of the panel, so a new feature
is covered without a test of its own; that a feature which does read ahead is caught is shown as well.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from tests.unit.no_look_ahead.markets import MARKETS, REWRITES, Market, changed_arrays, changed_features
from toto_ops.features import compute, panel_builder
from toto_ops.features.compute import FEATURE_SCHEMA
from toto_ops.features.context import CONTEXT_FEATURES
from toto_ops.features.state import MARKET_FEATURES

COMPUTED = set(FEATURE_SCHEMA) - {"symbol", "open_time", "close_time", "open", "close"}
SENTIMENT = {"news_sentiment", "macro_sentiment"}


@pytest.fixture(scope="module", params=MARKETS)
def market(request: pytest.FixtureRequest) -> Market:
    return MARKETS[request.param]()


@pytest.mark.parametrize("rewrite", REWRITES)
def test_no_feature_regime_or_correlation_changes_with_the_bars_that_follow(market: Market, rewrite: str) -> None:
    whole = market.features()
    for cut in market.cuts():
        other = REWRITES[rewrite](market, cut)
        assert changed_features(whole, other.features(), cut) == set()
        assert changed_arrays(market.panel, other.panel, cut) == set()


def test_the_bars_that_follow_do_change_what_follows(market: Market) -> None:
    """Otherwise the test above could not fail: not for any feature, published sentiment included where there is any."""
    (cut, *_), end = market.cuts(), market.panel.close_time[-1]
    others = [REWRITES[name](market, cut) for name in ("another future", "a wild future")]
    silent = set() if market.sentiment is not None else SENTIMENT
    columns = set().union(*(changed_features(market.features(), other.features(), end) for other in others))
    assert columns >= COMPUTED - silent
    arrays = set().union(*(changed_arrays(market.panel, other.panel, end) for other in others))
    assert arrays >= {"open", "close", "volatility", "traded_value", *MARKET_FEATURES, *CONTEXT_FEATURES} - silent


def test_everything_that_is_computed_is_compared(market: Market) -> None:
    """A feature that is neither a column that is compared nor a name of the panel would escape."""
    cut = market.cuts()[0]
    blank = market.features().with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in FEATURE_SCHEMA.items() if name in COMPUTED
    )
    assert changed_features(market.features(), blank, cut) == COMPUTED
    assert market.panel.feature_names == MARKET_FEATURES
    assert market.panel.context_names == CONTEXT_FEATURES


# -- features that read ahead are caught ---------------------------------------------------------------------------


def tomorrow(leaking: str) -> Callable[[list[pl.Expr]], list[pl.Expr]]:
    """The expressions with one that shows what it will say at the next bar."""
    return lambda made: [one.shift(-1) if one.meta.output_name() == leaking else one for one in made]


def by_hindsight(leaking: str) -> Callable[[list[pl.Expr]], list[pl.Expr]]:
    """The expressions with one standardised by the mean and deviation of the whole history."""
    return lambda made: [(one - one.mean()) / one.std() if one.meta.output_name() == leaking else one for one in made]


@pytest.mark.parametrize(
    ("group", "leaking", "leak"),
    [
        ("lagged_returns", "return_1", tomorrow),
        ("indicators", "rsi", tomorrow),
        ("indicators", "volume_ratio", by_hindsight),
        ("regimes", "regime_low", tomorrow),
        ("trends", "trend_bull", tomorrow),
    ],
)
def test_a_feature_that_reads_ahead_is_caught(
    monkeypatch: pytest.MonkeyPatch, market: Market, group: str, leaking: str, leak: Callable
) -> None:
    honest = getattr(compute, group)
    monkeypatch.setattr(compute, group, lambda *settings: leak(leaking)(honest(*settings)))
    assert leaking in caught(market)


def test_sentiment_that_is_read_before_it_is_published_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def join_forward(bars: pl.DataFrame, words: pl.DataFrame, **how: object) -> pl.DataFrame:
        return honest(bars, words, **{**how, "strategy": "forward"})  # type: ignore[arg-type]

    honest = pl.DataFrame.join_asof
    monkeypatch.setattr(pl.DataFrame, "join_asof", join_forward)
    assert caught(MARKETS["random"]()) >= SENTIMENT


def test_correlations_that_read_ahead_are_caught(monkeypatch: pytest.MonkeyPatch, market: Market) -> None:
    honest = panel_builder.correlations
    monkeypatch.setattr(panel_builder, "correlations", lambda returns, config: honest(np.roll(returns, -2, axis=0), config))
    assert caught(market) == {"mean_correlation", "market_correlation"}


def test_volatility_that_reads_ahead_is_caught(monkeypatch: pytest.MonkeyPatch, market: Market) -> None:
    honest = panel_builder._carried
    monkeypatch.setattr(panel_builder, "_carried", lambda *bars: np.nan_to_num(honest(*bars))[::-1].cumsum(axis=0)[::-1])
    assert caught(market) == {"volatility", "traded_value"}


def caught(market: Market) -> set[str]:
    """What changes with the future, once the code reads ahead."""
    leaky = Market(market.bars, market.sentiment)
    others = [(cut, rewrite(leaky, cut)) for cut in market.cuts() for rewrite in REWRITES.values()]
    columns = (changed_features(leaky.features(), other.features(), cut) for cut, other in others)
    arrays = (changed_arrays(leaky.panel, other.panel, cut) for cut, other in others)
    return set().union(*columns, *arrays)
