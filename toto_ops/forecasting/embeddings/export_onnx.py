"""The embedding model as one ONNX file: from the latest bars of any number of symbols to their embeddings.

With a backbone that was trained here the graph takes bars, and everything between them and the embedding is inside. Weights
of backbones from elsewhere are not put into it: it takes the states they give, and its metadata says so.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toto_ops.errors import StorageError
from toto_ops.features.clock import CLOCK_FEATURES
from toto_ops.forecasting.backbones.market import MarketBackbone
from toto_ops.forecasting.embeddings.embedding_model import EmbeddingModel
from toto_ops.forecasting.embeddings.exports import EMBEDDINGS, KIND, write_export
from toto_ops.forecasting.embeddings.network import Embedder
from toto_ops.forecasting.scaling import CausalScale
from toto_ops.forecasting.series import VARIATES
from toto_ops.learning.onnx_files import open_session, write_onnx

OUTPUT = "embeddings"
"""Name of the output of the graph; `embedding` is one of its operations."""

TOLERANCE = 1e-4
"""Largest accepted difference of a number of an embedding: float32 rounding, with room."""

_CHECKED_SYMBOLS = (1, 2, 3, 7)
"""Numbers of symbols the exported model is compared at."""


class _Surrounded(nn.Module):
    """One row of the embedder: `states [A, D]` and what else it reads to embeddings `[A, E]`; NaN where masked."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__()
        self.embedder = embedder

    def forward(self, states: Tensor, context: Tensor, clock: Tensor, symbol: Tensor, mask: Tensor) -> Tensor:
        known = mask & ~torch.isnan(states).any(dim=-1)
        row = (part.unsqueeze(0) for part in (states, context, clock, symbol, known))
        vectors: Tensor = self.embedder(*row)
        return vectors.squeeze(0)


class _FromBars(nn.Module):
    """The same from `bars [A, V, R]` float64, newest last; NaN before the first bar of a symbol."""

    def __init__(self, backbone: MarketBackbone, embedder: Embedder) -> None:
        super().__init__()
        self.backbone = backbone
        self.row = _Surrounded(embedder)

    def forward(self, bars: Tensor, context: Tensor, clock: Tensor, symbol: Tensor, mask: Tensor) -> Tensor:
        inputs = CausalScale.of(bars).inputs
        known = ~torch.isnan(inputs).any(dim=1)
        states = self.backbone(torch.where(known.unsqueeze(1), inputs, 0.0), known)[:, -1]
        # A state is known once every bar of the newest patch has a scale.
        whole = known[:, -self.backbone.config.patch :].all(dim=-1)
        vectors: Tensor = self.row(states, context, clock, symbol, mask & whole)
        return vectors


def export_onnx(model: EmbeddingModel, path: Path) -> Path:
    """Write the model as one self-contained ONNX file, proven equal to it, with a dynamic number of symbols `A`.

    Inputs of the graph: `bars [A, V, R]` float64 (`toto_ops.forecasting.series.VARIATES`, newest last, NaN before the first
    bar of a symbol) or, for backbones from elsewhere, `states [A, D]` float32 of the newest bar; `context [A, C]` float32 in the
    order its metadata names; `clock [6]` float32; `symbol [A]` int64, place in the `symbols` of the metadata or -1 for any other;
    `mask [A]` bool, whether the symbol is there. Output: `embeddings [A, E]` float32, NaN where nothing is known.

    Raises
    ------
    StorageError
        If the file is there and is no export, or the exported model differs from this one by more than `TOLERANCE`.
    """
    network, first, shape = _graph(model)
    network.eval()

    def write(staged: Path) -> None:
        symbols_axis = torch.export.Dim("A")
        write_onnx(
            network,
            _examples(model, shape, symbols=3, seed=0),
            staged,
            inputs=(first, "context", "clock", "symbol", "mask"),
            outputs=(OUTPUT,),
            dynamic_shapes=({0: symbols_axis}, {0: symbols_axis}, None, {0: symbols_axis}, {0: symbols_axis}),
            metadata=_metadata(model, first, shape),
        )
        for seed, symbols in enumerate(_CHECKED_SYMBOLS, start=1):
            _require_parity(network, staged, _examples(model, shape, symbols=symbols, seed=seed))

    return write_export(path, write, _is_onnx_export)


def _graph(model: EmbeddingModel) -> tuple[nn.Module, str, tuple[int, ...]]:
    """What is exported, its first input, and the shape of that for one symbol."""
    backbone, embedder = model.forecaster.backbone, model.embedder.network
    if isinstance(backbone, MarketBackbone):
        return _FromBars(backbone, embedder), "bars", (len(VARIATES), backbone.receptive_bars)
    return _Surrounded(embedder), "states", (backbone.width,)


def run_onnx(path: Path, *inputs: NDArray[np.generic]) -> NDArray[np.float32]:
    """Embeddings `[A, E]` by an exported model, on one CPU thread; inputs in the order of the graph."""
    session = open_session(path)
    named = {node.name: array for node, array in zip(session.get_inputs(), inputs, strict=True)}
    embedding: NDArray[np.float32] = session.run([OUTPUT], named)[0]
    return embedding


def _metadata(model: EmbeddingModel, first: str, shape: tuple[int, ...]) -> dict[str, str]:
    manifest = model.embedder.manifest
    return {
        KIND: EMBEDDINGS,
        "universe": manifest.universe,
        "backbone": model.forecaster.manifest.backbone,
        "takes": first,
        f"{first}_shape": ",".join(map(str, shape)),
        "variates": ",".join(VARIATES) if first == "bars" else "",
        "context": ",".join(manifest.context_names),
        "clock": ",".join(CLOCK_FEATURES),
        "symbols": ",".join(manifest.symbols),
        "model": model.identity,
        "knows_until": manifest.knows_until.isoformat(),
    }


def _examples(model: EmbeddingModel, shape: tuple[int, ...], *, symbols: int, seed: int) -> tuple[Tensor, ...]:
    """Random walks, or random states, of some symbols, of which the last is absent in the largest of the examples."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*size: int) -> Tensor:
        return torch.randn(symbols, *size, generator=generator)

    values = noise(*shape)
    if len(shape) == len(("variate", "bar")):
        values = values.double()
        values = torch.stack((0.02 * values[:, 0].cumsum(-1) + 3.0, (0.3 * values[:, 1] - 4.0).exp(), values[:, 2] + 12.0), dim=1)
        # A symbol that is too new for a state, and one just old enough for one.
        if symbols > 2:
            values[1, :, : shape[-1] - model.forecaster.backbone.minimum_bars] = torch.nan
            values[2, :, : shape[-1] - model.forecaster.backbone.minimum_bars + 1] = torch.nan
    known = len(model.embedder.manifest.symbols)
    return (
        values,
        noise(model.embedder.network.shape.context),
        torch.randn(len(CLOCK_FEATURES), generator=generator).clamp(-1.0, 1.0),
        torch.randint(-1, known, (symbols,), generator=generator),
        torch.arange(symbols) < max(_CHECKED_SYMBOLS) - 1,
    )


def _require_parity(network: nn.Module, path: Path, inputs: tuple[Tensor, ...]) -> None:
    with torch.no_grad():
        expected = network(*inputs).numpy()
    got = run_onnx(path, *(tensor.numpy() for tensor in inputs))
    difference = float(np.nanmax(np.abs(expected - got), initial=0.0))
    if not np.array_equal(np.isnan(expected), np.isnan(got)) or difference > TOLERANCE:
        raise StorageError(
            f"the ONNX model is not the embedding model: for {len(expected)} symbols numbers differ by up to {difference:.3g} "
            f"(allowed {TOLERANCE:g}), and {np.isnan(expected).sum()} of them are unknown here, {np.isnan(got).sum()} there",
            where=str(path),
            remedy="export as Parquet or npz, and report this with the model",
        )


def _is_onnx_export(path: Path) -> bool:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        properties = onnx.load(path, load_external_data=False).metadata_props
    except DecodeError:
        return False
    return any((entry.key, entry.value) == (KIND, EMBEDDINGS) for entry in properties)
