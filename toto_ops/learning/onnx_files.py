"""Modules as ONNX files, and ONNX files as something that runs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toto_ops.errors import StorageError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from torch import Tensor, nn


def write_onnx(
    module: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic_shapes: tuple[Any, ...],
    metadata: Mapping[str, str],
) -> None:
    """Write a module as one self-contained ONNX file. It names no folder of this machine: the same module gives the same file.

    Parameters
    ----------
    module
        On the CPU, in evaluation mode.
    example
        Inputs whose dynamic axes are above one and unequal: torch.export takes others for constants.
    dynamic_shapes
        As `torch.onnx.export` takes them, one for each input.

    Raises
    ------
    StorageError
        If the exporter returns nothing.
    """
    import torch
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    with _without_exporter_chatter(), torch.no_grad():
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dynamic_shapes,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise StorageError("torch.onnx.export returned nothing", where=str(path), remedy="report this with the model")
    # Stack traces of the exporting machine: they would name its folders, and give the same module another hash elsewhere.
    ClearMetadataAndDocStringPass()(program.model)
    program.model.metadata_props.update(metadata)
    program.save(path, external_data=False)


def open_session(path: Path) -> InferenceSession:
    """An ONNX Runtime session on one CPU thread: networks this small lose time to hand-overs between threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])


@contextmanager
def _without_exporter_chatter() -> Iterator[None]:
    """The exporter warns of absent optional packages and of its own deprecations; real failures are exceptions."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="# The axis name", category=UserWarning)
            warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
            yield
    finally:
        logger.setLevel(level)
