"""Which backbone serves: the first of the preference list that can be used, and why those before it could not."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch

from toto_ops.configuration import StrictModel
from toto_ops.errors import BackboneUnavailableError, ConfigError
from toto_ops.forecasting.backbones.chronos import chronos_backbone
from toto_ops.forecasting.backbones.contract import Backbone
from toto_ops.forecasting.backbones.market import MarketBackbone
from toto_ops.forecasting.backbones.statistical import StatisticalBackbone
from toto_ops.forecasting.backbones.toto import TotoBackbone
from toto_ops.forecasting.config import (
    ChronosConfig,
    ForecastingConfig,
    MarketConfig,
    StatisticalConfig,
    TotoConfig,
)
from toto_ops.forecasting.forecaster import PassedOver
from toto_ops.learning.seeds import seeded

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A backbone that can be used.

    Attributes
    ----------
    section
        Its section of `forecasting.yaml`: with it `make_backbone` makes it again.
    passed_over
        Backbones that were preferred to it.
    """

    backbone: Backbone
    section: StrictModel
    passed_over: tuple[PassedOver, ...]


def choose_backbone(config: ForecastingConfig, fit_bars: int, seed: int) -> Loaded:
    """Load the first backbone of the preference list that can be used.

    Parameters
    ----------
    fit_bars
        Bars of the longest symbol in the span that weights are fitted on.
    seed
        Untrained weights are drawn from it.

    Raises
    ------
    ConfigError
        If none can be used: it says why not, of each.
    """
    passed_over: list[PassedOver] = []
    for kind in config.preference:
        section: StrictModel = getattr(config, kind)
        try:
            _check_history(kind, config, fit_bars)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seeded(seed, 0))
                backbone = make_backbone(kind, section, config.horizon, config.pretraining.hidden)
        except BackboneUnavailableError as error:
            LOGGER.warning("forecasting backbone %s is passed over: %s", kind, error)
            passed_over.append(PassedOver(backbone=kind, reason=str(error)))
        else:
            return Loaded(backbone, section, tuple(passed_over))
    raise ConfigError(
        "no backbone can be used: " + "; ".join(one.reason for one in passed_over),
        where="preference",
        remedy="add `statistical` to the preference list in forecasting.yaml: it needs neither weights nor packages",
    )


def make_backbone(kind: str, section: StrictModel, horizon: int, head_hidden: int) -> Backbone:
    """Make one backbone: with its published weights, or untrained where it is trained here.

    Parameters
    ----------
    section
        Its section of `forecasting.yaml`.
    horizon, head_hidden
        Of the quantile head, where the backbone owns one.

    Raises
    ------
    BackboneUnavailableError
        If its package or weights are not there or do not fit.
    """
    match section:
        case TotoConfig() if kind == "toto":
            return TotoBackbone(section)
        case ChronosConfig() if kind == "chronos":
            return chronos_backbone(section)
        case MarketConfig() if kind == "market":
            return MarketBackbone(section, horizon, head_hidden)
        case StatisticalConfig() if kind == "statistical":
            return StatisticalBackbone(section)
        case _:
            raise ValueError(f"{type(section).__name__} is not the section of a backbone called {kind!r}")


def _check_history(kind: str, config: ForecastingConfig, fit_bars: int) -> None:
    if kind == "market" and fit_bars < config.pretraining.window:
        raise BackboneUnavailableError(
            f"the {fit_bars} bars to fit on are fewer than those that count in one training window ({config.pretraining.window})",
            where="market",
            remedy="add history, or lower pretraining.window in forecasting.yaml",
        )
