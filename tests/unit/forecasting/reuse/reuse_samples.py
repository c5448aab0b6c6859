"""A small transformer of the project's own layout, and the same one as others would have stored it."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from toto_ops.forecasting.backbones.market import MarketBackbone
from toto_ops.forecasting.config import MarketConfig
from toto_ops.forecasting.forecaster import Forecaster, ForecasterManifest, Network
from toto_ops.forecasting.forecaster_files import save_forecaster

WIDTH = 16


def market(seed: int = 0, *, width: int = WIDTH, layers: int = 2, hidden: int = 8, horizon: int = 3) -> Network:
    """An untrained market network, but for its head, which is drawn from the seed too."""
    torch.manual_seed(seed)
    network = Network(MarketBackbone(MarketConfig(width=width, layers=layers, heads=2, patch=4, window=4), horizon, hidden))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    return network


def drawn(module: nn.Module, seed: int) -> dict[str, Tensor]:
    """The tensors of a module, drawn from a seed."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(tensor.shape, generator=generator) for name, tensor in module.state_dict().items()}


class SeparateAttention(nn.Module):
    """Attention with a projection each for queries, keys, values and output."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.o_proj = nn.Linear(width, width)


class SeparateBlock(nn.Module):
    """A block that names its parts as many do now."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.attention = SeparateAttention(width)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 2 * width), "fc2": nn.Linear(2 * width, width)})


class SeparateTransformer(nn.Module):
    """What `torch.nn.TransformerEncoder` computes, laid out another way."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(SeparateBlock(width) for _ in range(layers))


def torch_transformer(width: int, layers: int) -> nn.TransformerEncoder:
    """PyTorch's own: queries, keys and values are one tensor."""
    layer = nn.TransformerEncoderLayer(width, 2, 2 * width, batch_first=True)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


def stored_forecaster(folder: Path, seed: int, **changes: Any) -> Forecaster:
    """A forecaster as a retraining stores it."""
    network = market(seed)
    backbone = network.backbone
    assert isinstance(backbone, MarketBackbone)
    content: dict[str, Any] = {
        "universe": "stocks",
        "backbone": backbone.kind,
        "backbone_config": {"width": WIDTH, "layers": 2, "heads": 2, "patch": 4, "window": 4, "dropout": 0.1},
        "backbone_identity": backbone.identity,
        "head": {"width": WIDTH, "hidden": 8, "horizon": 3},
        "symbols": ("AAA", "BBB"),
        "config": {"epochs": 3, "augmentation": {"jitter": 0.2}},
        "inputs_hash": f"inputs-{seed}",
        "data_hash": "data",
        "code_version": "1",
        "seed": seed,
        "metrics": {"validation_loss": 0.2},
    }
    forecaster = Forecaster(network, ForecasterManifest.model_validate(content | changes))
    folder.mkdir(parents=True)
    save_forecaster(forecaster, folder)
    return forecaster
