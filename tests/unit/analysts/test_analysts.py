"""What each analyst says, and of what it says nothing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from tests.unit.analysts.analyst_samples import FALLING, QUIET, RISING, make_state, make_strategy, states
from toto_ops.analysts.news import news_opinion
from toto_ops.analysts.opinion import Opinion, feature, recent_return
from toto_ops.analysts.risk import exposure_limit, risk_opinion
from toto_ops.analysts.technical import technical_opinion
from toto_ops.features.state import STATE_FEATURES

STRATEGY = make_strategy()


def technical(*sections: dict[str, float], **features: float) -> Opinion:
    return technical_opinion(make_state(*sections, **features), STRATEGY.technical)


def risk(*sections: dict[str, float], **features: float) -> Opinion:
    return risk_opinion(make_state(*sections, **features), STRATEGY.risk)


def news(**features: float) -> Opinion:
    return news_opinion(make_state(QUIET, **features), STRATEGY.news)


def limit(*sections: dict[str, float], **features: float) -> float:
    return float(exposure_limit(make_state(*sections, **features), STRATEGY.risk.exposure))


class TestReadingTheState:
    def test_features_are_found_by_name(self) -> None:
        state = torch.arange(len(STATE_FEATURES), dtype=torch.float32).expand(2, 3, -1)
        assert [float(feature(state, name)[1, 2]) for name in STATE_FEATURES] == list(range(34))

    def test_recent_return_adds_the_newest_bars(self) -> None:
        state = make_state(return_1=0.01, return_2=0.02, return_3=0.04)
        assert float(recent_return(state, 2)) == pytest.approx(0.03)


class TestTechnical:
    def test_follows_the_trend(self) -> None:
        assert technical(RISING).signal > 0.5
        assert technical(FALLING).signal < -0.5
        assert technical(QUIET).signal == 0.0

    def test_up_and_down_mirror_each_other(self) -> None:
        torch.testing.assert_close(technical(RISING).signal, -technical(FALLING).signal)

    def test_the_same_move_says_less_in_a_wilder_symbol(self) -> None:
        assert technical(RISING, bollinger_width=0.4).signal < technical(RISING).signal

    def test_volume_backs_a_move(self) -> None:
        assert technical(RISING, volume_ratio=3.0).confidence > technical(RISING, volume_ratio=0.3).confidence

    def test_has_no_confidence_in_worthless_data(self) -> None:
        assert technical(RISING, data_health=0.0).confidence == 0.0

    def test_flat_prices_do_not_turn_noise_into_infinity(self) -> None:
        assert torch.isfinite(technical(QUIET, bollinger_width=0.0, return_1=1e-7).signal)


class TestRisk:
    def test_likes_calm_and_dislikes_stress(self) -> None:
        calm = risk(QUIET, regime_normal=0.0, regime_low=1.0).signal
        stress = risk(QUIET, regime_normal=0.0, regime_high=1.0).signal
        assert stress < risk(QUIET).signal < calm

    def test_a_fall_speaks_against_holding_but_a_rise_does_not_speak_for_it(self) -> None:
        assert risk(FALLING).signal < risk(QUIET).signal
        assert risk(RISING).signal == risk(QUIET).signal

    def test_borrowed_money_speaks_against_holding_more(self) -> None:
        comfortable = STRATEGY.risk.comfortable_leverage
        assert risk(QUIET, leverage=comfortable).signal == risk(QUIET).signal
        assert risk(QUIET, leverage=comfortable + 0.5).signal < risk(QUIET).signal

    def test_abstains_while_the_regime_is_unknown(self) -> None:
        assert risk(QUIET, regime_normal=0.0).confidence == 0.0
        assert risk(QUIET).confidence == 1.0

    def test_limits_a_position_by_regime(self) -> None:
        exposure = STRATEGY.risk.exposure
        assert limit(QUIET, regime_normal=0.0, regime_low=1.0) == pytest.approx(exposure.low)
        assert limit(QUIET) == pytest.approx(exposure.normal)
        assert limit(QUIET, regime_normal=0.0, regime_high=1.0) == pytest.approx(exposure.high)
        assert limit(QUIET, regime_normal=0.0) == pytest.approx(exposure.high)

    def test_limits_a_position_in_proportion_to_volatility_above_the_target(self) -> None:
        exposure = STRATEGY.risk.exposure
        assert limit(QUIET, bollinger_width=2 * exposure.target_width) == pytest.approx(exposure.normal / 2)
        assert limit(QUIET, bollinger_width=exposure.target_width / 2) == pytest.approx(exposure.normal)


class TestNews:
    def test_agrees_with_what_was_published(self) -> None:
        assert news(news_sentiment=0.8).signal > 0
        assert news(macro_sentiment=-0.8).signal < 0

    def test_abstains_where_nothing_was_published(self) -> None:
        opinion = news()
        assert opinion.signal == 0.0
        assert opinion.confidence == 0.0

    def test_the_louder_of_news_and_macro_sets_the_confidence(self) -> None:
        assert news(news_sentiment=-0.6, macro_sentiment=0.2).confidence == pytest.approx(0.6)

    def test_the_symbols_own_news_outweighs_the_macro_view_by_its_share(self) -> None:
        partial = make_strategy(news={"news_share": 0.75}).news
        assert news_opinion(make_state(QUIET, news_sentiment=0.5, macro_sentiment=-0.5), partial).signal > 0


@given(state=states())
@settings(deadline=None, max_examples=50)
def test_every_opinion_is_finite_and_in_range(state: Tensor) -> None:
    said = (
        technical_opinion(state, STRATEGY.technical),
        risk_opinion(state, STRATEGY.risk),
        news_opinion(state, STRATEGY.news),
    )
    for opinion in said:
        assert -1 <= float(opinion.signal) <= 1
        assert 0 <= float(opinion.confidence) <= 1
    assert 0 <= float(exposure_limit(state, STRATEGY.risk.exposure)) <= 1
