"""What every backbone must do, whatever it is: subclass `BackboneChecks` and give it a `backbone` fixture.

The comparisons are functions of their own, so that a test can plant a leak and see that they catch it.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.unit.forecasting.series_samples import ended_after, share_bars, standing_bars
from toto_ops.errors import BarDataError, InsufficientDataError
from toto_ops.forecasting.backbones.contract import Backbone
from toto_ops.forecasting.quantiles import LEVELS
from toto_ops.forecasting.series import CLOSE, VARIATES

HORIZON = 3
ROUNDING = 1e-4
"""Of the size of what is compared: float32 sums of other shapes add up in another order."""

RECENT = 1e-5
"""Likewise for the states of the newest bars, told with and without those before."""


def assert_same(found: Tensor, expected: Tensor, rounding: float = ROUNDING) -> None:
    """Equal up to rounding, NaN in the same places."""
    assert found.shape == expected.shape
    assert torch.equal(torch.isnan(found), torch.isnan(expected)), "NaN in other places"
    size = float(expected[torch.isfinite(expected)].abs().mean()) if torch.isfinite(expected).any() else 1.0
    torch.testing.assert_close(found, expected, rtol=rounding, atol=rounding * size, equal_nan=True)


def assert_states_of_prefixes(backbone: Backbone, x: Tensor, cuts: list[int]) -> None:
    """The states of the bars before each cut are the same when the bars from there on are not there yet."""
    states = backbone.states(x)
    for cut in cuts:
        assert_same(backbone.states(x[..., :cut]), states[:, :cut])


def assert_states_blind_to_later_bars(backbone: Backbone, x: Tensor, cuts: list[int]) -> None:
    """The states of the bars before each cut are the same whatever happens from there on."""
    states = backbone.states(x)
    for cut in cuts:
        rewritten = x.clone()
        rewritten[:, CLOSE, cut:] += 0.5
        rewritten[:, CLOSE + 1 :, cut:] *= 3.0
        assert_same(backbone.states(rewritten)[:, :cut], states[:, :cut])
        assert not torch.equal(backbone.states(rewritten)[:, cut:], states[:, cut:]), "the rewritten bars must matter"


def assert_forecasts_of_prefixes(backbone: Backbone, x: Tensor, cuts: list[int]) -> None:
    """A series that ended at a cut is foretold the same alone and stored beside longer ones."""
    for cut in cuts:
        alone = backbone.forecast(x[..., :cut], HORIZON)
        beside = backbone.forecast(torch.cat((ended_after(x, *[cut] * len(x)), x)), HORIZON)[:, : len(x)]
        assert_same(beside, alone)


class BackboneChecks:
    """Subclasses give `backbone`, ready to be asked, and its states must differ from bar to bar."""

    @pytest.fixture
    def backbone(self) -> Backbone:
        raise NotImplementedError

    @pytest.fixture
    def bars(self, backbone: Backbone) -> int:
        """Bars enough for two patches of states, and a rest that is no whole patch."""
        return backbone.minimum_bars + 2 * backbone.patch + 11

    @pytest.fixture
    def x(self, bars: int) -> Tensor:
        return share_bars(bars)

    def test_states_have_the_shape_and_type_of_the_contract(self, backbone: Backbone, x: Tensor, bars: int) -> None:
        states = backbone.states(x)
        assert states.shape == (len(x), bars, backbone.width)
        assert states.dtype == torch.float32

    def test_states_tell_bars_and_series_apart(self, backbone: Backbone, x: Tensor) -> None:
        states = backbone.states(x)[:, backbone.minimum_bars - 1 :]
        assert (states.diff(dim=1).abs().amax(dim=(0, 2)) > 0).all(), "checks on states that never change would prove nothing"
        assert not torch.allclose(states[0], states[1])

    def test_embeds_the_patches_that_end_with_the_last_bar(self, backbone: Backbone, x: Tensor) -> None:
        length = x.shape[-1] - x.shape[-1] % backbone.patch
        patches = backbone.embed(x[..., :length])
        assert patches.shape[0] == len(x)
        assert patches.shape[1] in {1, len(VARIATES)}
        assert patches.shape[1] * patches.shape[3] == backbone.width
        newest = patches[:, :, -1].flatten(1).float()
        assert_same(newest, backbone.states(x)[:, length - 1])

    def test_one_pass_tells_every_patch_its_state_if_it_says_so(self, backbone: Backbone, x: Tensor) -> None:
        length = x.shape[-1] - x.shape[-1] % backbone.patch
        amid, last = backbone.embed(x[..., :length])[:, :, -2], backbone.embed(x[..., : length - backbone.patch])[:, :, -1]
        if backbone.capabilities.causal_per_patch:
            assert_same(amid, last)
        else:
            assert torch.isfinite(amid).all()
            assert not torch.allclose(amid, last, rtol=ROUNDING)

    def test_volume_moves_the_forecast_of_the_close_if_it_says_so(self, backbone: Backbone, x: Tensor) -> None:
        volume, other = VARIATES.index("volume"), x.clone()
        other[:, volume, ::2] += 1.0
        before, after = backbone.forecast(x, HORIZON), backbone.forecast(other, HORIZON)
        assert not torch.equal(before[:, :, volume], after[:, :, volume]), "the changed volume must matter"
        assert torch.equal(before[:, :, CLOSE], after[:, :, CLOSE]) != backbone.capabilities.multivariate

    def test_states_are_known_from_the_minimum_on_to_the_end(self, backbone: Backbone, x: Tensor, bars: int) -> None:
        ends = (bars, bars - 3, backbone.minimum_bars - 1)
        states = backbone.states(ended_after(x, *ends))
        bar = torch.arange(bars)
        expected = (bar >= backbone.minimum_bars - 1) & (bar < torch.tensor(ends).unsqueeze(-1))
        assert torch.equal(torch.isfinite(states).all(-1), expected)
        assert torch.equal(torch.isnan(states).all(-1), ~expected)

    def test_states_of_too_few_bars_are_nan_not_zero(self, backbone: Backbone) -> None:
        short = share_bars(backbone.minimum_bars - 1)
        assert torch.isnan(backbone.states(short)).all()
        assert torch.isnan(backbone.latest_states(short, 2)).all()

    def test_states_never_look_ahead(self, backbone: Backbone, x: Tensor, bars: int) -> None:
        cuts = [backbone.minimum_bars, backbone.minimum_bars + backbone.patch // 2 + 1, bars - 1]
        assert_states_of_prefixes(backbone, x, cuts)
        assert_states_blind_to_later_bars(backbone, x, cuts[:2])

    def test_forecasts_never_look_ahead(self, backbone: Backbone, x: Tensor, bars: int) -> None:
        assert_forecasts_of_prefixes(backbone, x, [backbone.minimum_bars, bars - 2])

    def test_a_series_is_the_same_alone_and_among_others(self, backbone: Backbone, x: Tensor, bars: int) -> None:
        ragged = ended_after(x, bars, bars - 5, backbone.minimum_bars)
        states, forecasts = backbone.states(ragged), backbone.forecast(ragged, HORIZON)
        for row in range(len(x)):
            assert_same(backbone.states(ragged[row : row + 1]), states[row : row + 1])
            assert_same(backbone.forecast(ragged[row : row + 1], HORIZON), forecasts[:, row : row + 1])

    def test_the_newest_states_are_those_at_the_end_of_all(self, backbone: Backbone, x: Tensor, bars: int) -> None:
        ends = (bars, bars - 4, backbone.minimum_bars + 1)
        ragged = ended_after(x, *ends)
        states, count = backbone.states(ragged), 4
        expected = torch.stack([one[end - count : end] for one, end in zip(states, ends, strict=True)])
        assert_same(backbone.latest_states(ragged, count), expected, RECENT)

    def test_more_new_states_than_there_are_bars_are_nan(self, backbone: Backbone) -> None:
        bars = backbone.minimum_bars
        newest = backbone.latest_states(share_bars(bars), bars + 2)
        assert newest.shape[1] == bars + 2
        assert torch.isnan(newest[:, :-1]).all()
        assert torch.isfinite(newest[:, -1]).all()

    def test_forecasts_are_ordered_quantiles_in_the_units_of_the_series(self, backbone: Backbone, x: Tensor) -> None:
        quantiles = backbone.forecast(x, HORIZON)
        assert quantiles.shape == (len(LEVELS), len(x), len(VARIATES), HORIZON)
        assert torch.isfinite(quantiles).all()
        assert (quantiles.diff(dim=0) >= -1e-6).all()
        # A forecast of log prices that is off by more than their whole past range is in other units.
        reach = x[:, CLOSE].amax(-1) - x[:, CLOSE].amin(-1)
        assert ((quantiles[4, :, CLOSE, 0] - x[:, CLOSE, -1]).abs() < reach).all()

    def test_the_same_question_has_the_same_answer_bit_for_bit(self, backbone: Backbone, x: Tensor) -> None:
        first, second = backbone.states(x), backbone.states(x)
        assert torch.equal(first.nan_to_num(), second.nan_to_num())
        assert torch.equal(backbone.forecast(x, HORIZON), backbone.forecast(x, HORIZON))

    def test_its_identity_is_stable(self, backbone: Backbone, x: Tensor) -> None:
        before = backbone.identity
        backbone.states(x)
        assert backbone.identity == before

    @pytest.mark.parametrize("value", [torch.nan, torch.inf])
    def test_refuses_a_value_within_a_series_that_is_no_number(self, backbone: Backbone, x: Tensor, value: float) -> None:
        x[1, CLOSE, 7] = value
        with pytest.raises(BarDataError, match="value 7 of series 1"):
            backbone.states(x)
        with pytest.raises(BarDataError, match="value 7 of series 1"):
            backbone.forecast(x, HORIZON)

    def test_refuses_to_foretell_from_too_few_bars(self, backbone: Backbone, x: Tensor, bars: int) -> None:
        short = ended_after(x, bars, backbone.minimum_bars - 1, bars)
        with pytest.raises(InsufficientDataError, match=str(backbone.minimum_bars)):
            backbone.forecast(short, HORIZON)

    def test_a_price_that_stands_still_has_a_state_and_a_forecast(self, backbone: Backbone, bars: int) -> None:
        still = standing_bars(bars)
        assert torch.isfinite(backbone.states(still)[:, backbone.minimum_bars - 1 :]).all()
        quantiles = backbone.forecast(still, HORIZON)
        assert torch.isfinite(quantiles).all()
        assert (quantiles.diff(dim=0) >= -1e-6).all()
