"""Mixed augmentation: each window is changed in one way or not at all, and stays a plausible window."""

from __future__ import annotations

import pytest
import torch

from toto_ops.forecasting.config import AugmentationConfig
from toto_ops.forecasting.pretraining.augmentation import JITTER, LONGEST_MASK, augmented
from toto_ops.forecasting.pretraining.samples import Sample
from toto_ops.forecasting.series import CLOSE

LEAD = 10
NOTHING = {"jitter": 0.0, "mask": 0.0, "mirror": 0.0, "mixup": 0.0}


def windows(count: int = 200, bars: int = 64) -> Sample:
    generator = torch.Generator().manual_seed(0)
    known = (torch.arange(bars) >= LEAD).expand(count, bars)
    inputs = torch.randn(count, 3, bars, generator=generator) * known.unsqueeze(1)
    targets = torch.randn(count, bars, 3, 4, generator=generator)
    targets[:, :LEAD] = targets[:, -1] = torch.nan
    return Sample(inputs, known.clone(), targets)


def changed_by(name: str, chance: float = 1.0) -> Sample:
    torch.manual_seed(1)
    return augmented(windows(), AugmentationConfig(**{**NOTHING, name: chance}))


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.equal(one.nan_to_num(nan=99.0), other.nan_to_num(nan=99.0))


def test_without_chances_nothing_changes() -> None:
    before, after = windows(), augmented(windows(), AugmentationConfig(**NOTHING))
    assert same(after.inputs, before.inputs)
    assert same(after.targets, before.targets)
    assert torch.equal(after.known, before.known)


def test_jitter_adds_a_little_noise_to_the_inputs_alone() -> None:
    before, after = windows(), changed_by("jitter")
    noise = (after.inputs - before.inputs)[..., LEAD:]
    assert float(noise.std()) == pytest.approx(JITTER, rel=0.05)
    assert same(after.targets, before.targets)


def test_mask_hides_one_stretch_of_the_inputs_alone() -> None:
    before, after = windows(), changed_by("mask")
    hidden = (after.inputs == 0).all(dim=1) & before.known
    assert (hidden.sum(dim=-1) <= 64 // LONGEST_MASK).all()
    assert (hidden.sum(dim=-1) > 0).float().mean() > 0.7
    # One stretch: hidden begins at most once in each window.
    assert ((hidden[:, 1:] & ~hidden[:, :-1]).sum(dim=-1) <= 1).all()
    kept = ~hidden.unsqueeze(1).expand_as(before.inputs)
    assert torch.equal(after.inputs[kept], before.inputs[kept])
    assert same(after.targets, before.targets)


def test_mirror_turns_rises_into_falls_in_inputs_and_targets_of_the_close() -> None:
    before, after = windows(), changed_by("mirror")
    for name, axis in (("inputs", 1), ("targets", 2)):
        one, other = (getattr(sample, name).unbind(dim=axis) for sample in (before, after))
        for variate, (here, there) in enumerate(zip(one, other, strict=True)):
            assert same(there, -here if variate == CLOSE else here)


def test_mixup_mixes_inputs_and_targets_in_the_same_shares_and_keeps_their_scale() -> None:
    before, after = windows(), changed_by("mixup")
    neighbours = torch.arange(200).roll(1)
    for row in range(20):
        basis = torch.stack((before.inputs[row].flatten(), before.inputs[neighbours[row]].flatten()), dim=1)
        shares = torch.linalg.lstsq(basis, after.inputs[row].flatten().unsqueeze(1)).solution.squeeze()
        torch.testing.assert_close(basis @ shares, after.inputs[row].flatten(), atol=1e-4, rtol=1e-4)
        assert shares[0] >= shares[1] - 1e-5
        assert float(shares.square().sum()) == pytest.approx(1.0, abs=1e-3)
        expected = shares[0] * before.targets[row] + shares[1] * before.targets[neighbours[row]]
        torch.testing.assert_close(after.targets[row], expected, atol=1e-4, rtol=1e-4, equal_nan=True)
    assert float(after.inputs[..., LEAD:].std()) == pytest.approx(1.0, abs=0.03)


def test_a_mixture_counts_only_where_both_windows_do() -> None:
    sample = windows(2)
    sample.known[1, 40:] = False
    sample.targets[1, 40:] = torch.nan
    torch.manual_seed(0)
    mixed = augmented(sample, AugmentationConfig(**{**NOTHING, "mixup": 1.0}))
    assert not mixed.known[:, 40:].any()
    assert mixed.targets[:, 40:].isnan().all()


def test_one_window_alone_is_mixed_with_nothing() -> None:
    sample = windows(1)
    mixed = augmented(sample, AugmentationConfig(**{**NOTHING, "mixup": 1.0}))
    torch.testing.assert_close(mixed.inputs, sample.inputs)


def test_a_window_draws_at_most_one_change_each_with_its_chance() -> None:
    torch.manual_seed(2)
    before = windows(2000)
    after = augmented(before, AugmentationConfig(jitter=0.2, mask=0.0, mirror=0.3, mixup=0.0))
    mirrored = (after.targets[:, LEAD, CLOSE] == -before.targets[:, LEAD, CLOSE]).all(dim=-1)
    shaken = (after.inputs[..., LEAD:].abs() != before.inputs[..., LEAD:].abs()).flatten(1).any(dim=-1)
    assert float(mirrored.float().mean()) == pytest.approx(0.3, abs=0.04)
    assert float(shaken.float().mean()) == pytest.approx(0.2, abs=0.04)
    assert not (mirrored & shaken).any()


def test_what_is_unknown_stays_unknown() -> None:
    for name in NOTHING:
        after = changed_by(name)
        assert (after.inputs[..., :LEAD] == 0).all()
        assert after.targets[:, :LEAD].isnan().all()
