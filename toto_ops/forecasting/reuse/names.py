"""Names of tensors: one name for what different layouts of a transformer call differently.

Wrappers around a model leave their names in front of those of its tensors, and what a block or a projection is called
changes from author to author. Two tensors are the same part of a model if their names are equal once both are canonical.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

WRAPPERS = frozenset(
    {"module", "_orig_mod", "model", "network", "net", "backbone", "encoder", "transformer", "transformer_encoder"}
)
"""Left in front of a name by data parallelism, by compilation, and by models that hold the one in question."""

_ANYWHERE = frozenset({"module", "_orig_mod"})
"""Left wherever a part alone was wrapped."""

OLDER_NAMES: tuple[tuple[str, str], ...] = (
    (r"added_head|quantile_head|output_head|prediction_head|forecast_head", "head"),
    (r"(?:blocks?|layer|h)(?=\.\d)", "layers"),
    (r"self_attn|attn|self_attention", "attention"),
    (r"ffn|ff|feed_forward|feedforward", "mlp"),
    # torch.nn.MultiheadAttention has its fused projection without a module of its own.
    (r"(?<=attention\.)in_proj_weight", "qkv.weight"),
    (r"(?<=attention\.)in_proj_bias", "qkv.bias"),
    (r"(?<=attention\.)(?:in_proj|c_attn|Wqkv|query_key_value)", "qkv"),
    (r"(?<=attention\.)(?:q_proj|query|wq|to_q)", "q"),
    (r"(?<=attention\.)(?:k_proj|key|wk|to_k)", "k"),
    (r"(?<=attention\.)(?:v_proj|value|wv|to_v)", "v"),
    (r"(?<=attention\.)(?:out_proj|o_proj|c_proj|proj|wo|to_out\.0|to_out|o)", "out"),
    # torch.nn.TransformerEncoderLayer has its two linear layers beside the attention.
    (r"(?:mlp\.)?(?:linear1|fc1|c_fc|up_proj)", "mlp.up"),
    (r"(?:mlp\.)?(?:linear2|fc2|down_proj)|mlp\.(?:c_proj|out)", "mlp.down"),
    (r"mlp\.gate_proj", "mlp.gate"),
    (r"mlp\.(?:gate_up_proj|gate_and_value)", "mlp.gate_up"),
    (r"ln_?1|attention_norm|attn_norm|norm_attention|input_layernorm", "norm1"),
    (r"ln_?2|ffn_norm|mlp_norm|norm_mlp|post_attention_layernorm", "norm2"),
    (r"^(?:ln_f|norm_f|final_norm|final_layer_norm)", "norm"),
    (r"^(?:patch_embed|patch_embedding|embedding|input_embedding|input_projection|input_proj|tokens?)", "embed"),
    (r"gamma$", "weight"),
    (r"beta$", "bias"),
)
"""What other layouts call a part, as a pattern of whole segments of a name, and what it is called here. Applied in order."""

# A pattern begins at a segment and ends with one.
_OLDER_NAMES = tuple((re.compile(rf"(?<![^.])(?:{pattern})(?![^.])"), name) for pattern, name in OLDER_NAMES)
_FUSED = (
    (re.compile(r"(?P<front>.*(?<![^.])attention\.)qkv(?P<back>\.(?:weight|bias))"), ("q", "k", "v")),
    (re.compile(r"(?P<front>.*(?<![^.])mlp\.)gate_up(?P<back>\.(?:weight|bias))"), ("gate", "up")),
)
"""Canonical names of projections that are one tensor, and the parts its rows are, in their order."""


def canonical(name: str) -> str:
    """The name a tensor goes by, whatever it was wrapped in and whichever layout it is of.

    Examples
    --------
    >>> canonical("module.encoder.blocks.0.self_attn.q_proj.weight")
    'layers.0.attention.q.weight'
    """
    segments = [segment for segment in name.split(".") if segment not in _ANYWHERE]
    while len(segments) > 1 and segments[0] in WRAPPERS:
        segments = segments[1:]
    plain = ".".join(segments) or name
    for pattern, replacement in _OLDER_NAMES:
        plain = pattern.sub(replacement, plain)
    return plain


@dataclass(frozen=True, eq=False)
class Piece:
    """A tensor, or the rows of a fused one that are a part of the model in their own right.

    Attributes
    ----------
    whole
        Name of the tensor as it is stored.
    name
        Canonical name of the part.
    tensor
        A view: writing to it writes to the whole.
    """

    whole: str
    name: str
    tensor: Tensor


def pieces(tensors: Mapping[str, Tensor]) -> Iterator[Piece]:
    """The parts that tensors hold, in their order.

    A fused projection, `[3 D, ...]` of an attention or `[2 H, ...]` of a gated MLP, is the parts that its rows are.
    """
    for whole, tensor in tensors.items():
        name = canonical(whole)
        for fused, parts in _FUSED:
            found = fused.fullmatch(name)
            if found is not None and tensor.ndim and tensor.shape[0] % len(parts) == 0:
                for part, rows in zip(parts, tensor.chunk(len(parts)), strict=True):
                    yield Piece(whole, f"{found['front']}{part}{found['back']}", rows)
                break
        else:
            yield Piece(whole, name, tensor)


def unambiguous(found: Iterable[Piece]) -> dict[str, Piece]:
    """Pieces by canonical name, without those of one name."""
    by_name: dict[str, list[Piece]] = {}
    for piece in found:
        by_name.setdefault(piece.name, []).append(piece)
    return {name: same[0] for name, same in by_name.items() if len(same) == 1}
