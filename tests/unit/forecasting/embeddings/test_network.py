"""A row is a set of symbols: who stands beside whom matters, in which order does not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from toto_ops.features.clock import CLOCK_FEATURES
from toto_ops.forecasting.embeddings.inputs import UNKNOWN, EmbeddingInputs, symbol_numbers
from toto_ops.forecasting.embeddings.network import Embedder, EmbedderShape

SHAPE = EmbedderShape(state=6, context=4, symbols=5, width=16, heads=2, dropout=0.1)


def network() -> Embedder:
    torch.manual_seed(1)
    return Embedder(SHAPE).eval()


def inputs(rows: int = 3, symbols: int = 5, seed: int = 0, absent: float = 0.0) -> EmbeddingInputs:
    """Random inputs; where a symbol is absent its state is NaN."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(rows, symbols, generator=generator) >= absent
    states = torch.randn(rows, symbols, SHAPE.state, generator=generator)
    return EmbeddingInputs(
        states=torch.where(mask.unsqueeze(-1), states, torch.nan),
        context=torch.randn(rows, symbols, SHAPE.context, generator=generator),
        clock=torch.randn(rows, len(CLOCK_FEATURES), generator=generator),
        symbol=torch.arange(symbols),
        mask=mask,
    )


def chosen(whole: EmbeddingInputs, symbols: Tensor) -> EmbeddingInputs:
    """The same rows with some of the symbols, in another order."""
    return EmbeddingInputs(
        whole.states[:, symbols], whole.context[:, symbols], whole.clock, whole.symbol[symbols], whole.mask[:, symbols]
    )


@given(st.integers(min_value=0, max_value=1000), st.permutations(range(5)))
def test_another_order_of_symbols_is_another_order_of_embeddings(seed: int, order: list[int]) -> None:
    whole = inputs(seed=seed, absent=0.3)
    expected = network().embed(whole)[:, order]
    assert torch.allclose(network().embed(chosen(whole, torch.tensor(order))), expected, atol=1e-5, equal_nan=True)


def test_absent_symbols_are_nan_and_the_others_as_if_they_were_not_there() -> None:
    whole = inputs()
    whole.mask[:, 2] = False
    whole.states[:, 2] = torch.nan
    embedded = network().embed(whole)
    others = torch.tensor([0, 1, 3, 4])
    assert torch.isnan(embedded[:, 2]).all()
    assert torch.allclose(embedded[:, others], network().embed(chosen(whole, others)), atol=1e-5)


def test_a_symbol_alone_has_an_embedding() -> None:
    embedded = network().embed(chosen(inputs(), torch.tensor([3])))
    assert embedded.shape == (3, 1, SHAPE.width)
    assert torch.isfinite(embedded).all()


def test_a_row_without_symbols_has_no_embeddings() -> None:
    assert torch.isnan(network().embed(inputs(absent=1.1))).all()


def test_symbols_of_a_row_inform_each_other_and_rows_do_not() -> None:
    whole, other = inputs(), inputs()
    other.states[1, 4] += 1.0
    changed = (network().embed(whole) != network().embed(other)).any(dim=-1)
    assert changed[1].all()
    assert not changed[[0, 2]].any()


@pytest.mark.parametrize("part", ["states", "context", "clock"])
def test_everything_is_read(part: str) -> None:
    whole, other = inputs(), inputs()
    getattr(other, part)[0] += 0.5
    assert not torch.allclose(network().embed(whole)[0], network().embed(other)[0], atol=1e-3)


def test_symbols_with_the_same_bars_differ_and_unknown_ones_do_not() -> None:
    twins = inputs(rows=1, symbols=4)
    for part in (twins.states, twins.context):
        part[:] = part[:, :1].clone()
    known = network().embed(twins)[0]
    assert not torch.allclose(known[0], known[1], atol=1e-3)
    new = network().embed(EmbeddingInputs(twins.states, twins.context, twins.clock, torch.full((4,), UNKNOWN), twins.mask))[0]
    assert torch.allclose(new[0], new[1], atol=1e-6)
    assert torch.isfinite(new).all()


def test_a_symbol_that_was_not_fitted_on_has_the_number_of_an_unknown_one() -> None:
    assert symbol_numbers(("B", "NEW", "A"), ("A", "B")).tolist() == [1, UNKNOWN, 0]


def test_what_is_absent_teaches_nothing_and_breaks_nothing() -> None:
    model, whole = network(), inputs(absent=0.5)
    embedded = model.embed(whole)
    embedded[whole.mask].square().sum().backward()  # type: ignore[no-untyped-call]
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)


def test_inputs_are_read_by_how_unusual_they_are_where_they_were_fitted() -> None:
    model, whole = network(), inputs(rows=50)
    stretched = EmbeddingInputs(100.0 + 7.0 * whole.states, whole.context, whole.clock, whole.symbol, whole.mask)
    model.fit_scaler(whole)
    expected = model.embed(whole)
    model.fit_scaler(stretched)
    assert torch.allclose(model.embed(stretched), expected, atol=1e-3)


def test_a_width_the_heads_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of heads"):
        EmbedderShape(state=6, context=4, symbols=5, width=18, heads=4, dropout=0.0)
