"""Tiny random models of the real packages, written to disk the way those write theirs."""

from __future__ import annotations

from pathlib import Path

import torch


def save_toto(folder: Path) -> None:
    from toto2 import Toto2Model, Toto2ModelConfig

    config = Toto2ModelConfig(
        patch_size=32,
        d_model=32,
        num_heads=2,
        num_layers=4,
        layer_group_size=2,
        num_variate_layers_per_group=1,
        variate_layer_first=True,
        residual_attn_ratio=Toto2ModelConfig.compute_residual_attn_ratio(512, 32),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        Toto2Model(config).save_pretrained(folder)


def save_bolt(folder: Path) -> None:
    from chronos.chronos_bolt import ChronosBoltModelForForecasting
    from transformers import T5Config

    config = T5Config(
        d_model=32,
        d_kv=16,
        d_ff=64,
        num_layers=2,
        num_decoder_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
        pad_token_id=0,
        initializer_factor=0.2,
        architectures=["ChronosBoltModelForForecasting"],
        chronos_config={
            "context_length": 256,
            "prediction_length": 32,
            "input_patch_size": 16,
            "input_patch_stride": 16,
            "quantiles": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
            "use_reg_token": True,
        },
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ChronosBoltModelForForecasting(config).save_pretrained(folder)


def save_chronos_2(folder: Path) -> None:
    from chronos import Chronos2Model
    from chronos.chronos2.config import Chronos2CoreConfig

    config = Chronos2CoreConfig(
        d_model=32,
        d_kv=16,
        d_ff=64,
        num_layers=2,
        num_heads=2,
        initializer_factor=0.2,
        architectures=["Chronos2Model"],
        chronos_config={
            "context_length": 256,
            "output_patch_size": 16,
            "input_patch_size": 16,
            "input_patch_stride": 16,
            "quantiles": [0.01, *(twentieth / 20 for twentieth in range(1, 20)), 0.99],
            "use_reg_token": True,
            "use_arcsinh": True,
            "max_output_patches": 4,
        },
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        Chronos2Model(config).save_pretrained(folder)
