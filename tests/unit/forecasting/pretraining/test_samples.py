"""What is shown of a window and what is asked of it: only outcomes that are known by the end of the window count."""

from __future__ import annotations

import pytest
import torch

from tests.unit.forecasting.pretraining.bar_sources import START, bars_of, in_memory, span
from toto_ops.forecasting.head import QuantileHead
from toto_ops.forecasting.pretraining.samples import Sample, dense_loss, random_walk_loss
from toto_ops.forecasting.pretraining.windows import Batch, WindowShape, adjoining_windows, batches, overlapping_windows
from toto_ops.forecasting.quantiles import LEVELS
from toto_ops.forecasting.scaling import FARTHEST, WINDOW, CausalScale

SHAPE = WindowShape(minimum_bars=36, counted=20, stride=20, horizon=3)


def one_batch(length: int = 100, last: int = 80) -> Batch:
    source = in_memory({"A": bars_of(100).head(length)})
    (batch,) = batches(source, adjoining_windows(source, span(50, last), START, SHAPE), 16)
    return batch


def test_every_outcome_within_the_span_counts_once_and_none_beyond_it() -> None:
    sample = Sample.of(one_batch(), horizon=3)
    known = torch.isfinite(sample.targets)
    # Bars 50 to 80, each with the outcomes of the bars after it, up to bar 80.
    assert known.sum(dim=(0, 1)).tolist() == [[30, 29, 28]] * 3
    assert torch.equal(sample.counts, known.any(dim=-1).any(dim=-1))


def test_bars_after_the_span_change_nothing() -> None:
    short, long = (Sample.of(one_batch(length), horizon=3) for length in (81, 100))
    for name in ("inputs", "known", "targets"):
        assert torch.equal(getattr(short, name).nan_to_num(), getattr(long, name).nan_to_num())


def test_targets_are_those_of_the_whole_series() -> None:
    source = in_memory({"A": bars_of(100)})
    whole = torch.from_numpy(source.read("A", range(100)).values.T.copy()).unsqueeze(0)
    expected = CausalScale.of(whole).targets(whole, 3)[0].float()
    (batch,) = batches(source, overlapping_windows(source, span(30, 88), SHAPE), 16)
    sample = Sample.of(batch, horizon=3)
    for row, window in enumerate(batch.windows):
        own = sample.targets[row]
        known = torch.isfinite(own)
        torch.testing.assert_close(own[known], expected[window.first : window.stop][known], rtol=1e-5, atol=1e-5)


def test_inputs_are_unknown_until_there_is_a_scale_and_then_finite() -> None:
    sample = Sample.of(one_batch(), horizon=3)
    assert not sample.known[:, :WINDOW].any()
    assert sample.known[0, WINDOW:].all()
    assert torch.isfinite(sample.inputs).all()
    assert (sample.inputs[:, :, :WINDOW] == 0).all()


def test_a_target_far_out_is_clipped() -> None:
    batch = one_batch()
    batch.x[:, 2, :] = 0.0
    batch.x[:, 2, 60:] = 15.0
    targets = Sample.of(batch, horizon=3).targets
    assert targets[torch.isfinite(targets)].abs().max() == FARTHEST


def test_the_loss_is_the_mean_quantile_loss_over_what_is_known() -> None:
    generator = torch.Generator().manual_seed(0)
    quantiles = torch.randn(5, 2, 3, len(LEVELS), generator=generator).sort(dim=-1).values
    targets = torch.randn(5, 2, 3, generator=generator)
    targets[1, 0, 2] = targets[4, 1, 0] = torch.nan
    losses = [
        max(level * (float(target) - float(said)), (level - 1) * (float(target) - float(said)))
        for row, target in zip(quantiles.reshape(-1, len(LEVELS)), targets.reshape(-1), strict=True)
        if target.isfinite()
        for level, said in zip(LEVELS, row, strict=True)
    ]
    total, count = dense_loss(quantiles, targets)
    assert count == 28
    assert float(total) / count == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_unknown_outcomes_leave_no_trace_in_the_gradient() -> None:
    quantiles = torch.zeros(4, len(LEVELS), requires_grad=True)
    targets = torch.tensor([0.5, torch.nan, -0.5, torch.nan])
    dense_loss(quantiles, targets)[0].backward()
    assert quantiles.grad is not None
    assert (quantiles.grad[[1, 3]] == 0).all()
    assert (quantiles.grad[[0, 2]] != 0).all()


def test_an_untrained_head_is_the_random_walk() -> None:
    targets = Sample.of(one_batch(), horizon=3).targets
    head = QuantileHead(width=8, hidden=8, horizon=3)
    said = head(torch.randn(*targets.shape[:2], 8))
    own, count = dense_loss(said.detach(), targets)
    walk, outcomes = random_walk_loss(targets)
    assert count == outcomes
    assert float(own) == pytest.approx(float(walk), rel=1e-6)
