"""What the forecaster of the last settled retraining says now about one symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime

from toto_ops.configuration import StrictModel
from toto_ops.errors import InsufficientDataError, StorageError
from toto_ops.features.moments import to_aware
from toto_ops.market.bars import load_bars
from toto_ops.pipeline.forecasting_steps import FORECASTER, SPECIALISTS, forecaster_of, specialists_of
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import last_retraining
from toto_ops.serving.market_view import served_snapshot
from toto_ops.serving.servable import require_fresh, servable, serving_moment
from toto_ops.storage.retraining import Retraining
from toto_ops.universes import Universe, checked_symbol

if TYPE_CHECKING:
    from toto_ops.forecasting.series import BarSeries
    from toto_ops.forecasting.specialists.specialists import Specialists
    from toto_ops.market.snapshot import Snapshot


class ForecastStep(StrictModel):
    """What is expected of the close some bars ahead.

    Attributes
    ----------
    ahead
        Bars.
    by
        Whether the specialist of the symbol says it, or the forecaster of all symbols.
    returns
        Log return from now, by level of the quantile.
    prices
        The same as prices.
    up
        Probability that the close is higher than now.
    """

    ahead: int
    by: Literal["specialist", "generic"]
    up: float
    returns: dict[str, float]
    prices: dict[str, float]


class ForecastAnswer(StrictModel):
    """A forecast, and what it rests on."""

    universe: str
    symbol: str
    bar_close: AwareDatetime
    close: float
    steps: tuple[ForecastStep, ...]
    backbone: str
    passed_over: dict[str, str]
    """Backbones that were preferred, and why they could not be used."""
    knows_until: AwareDatetime
    possibly_knows_until: AwareDatetime | None
    retrain_id: str
    trained_on_symbol: bool
    """Whether the symbol was among those the forecaster was fitted on; it foretells others by what it learnt of those."""


def retraining_with(project: Project, universe: Universe, *assets: str) -> Retraining:
    """The run whose models answer: that of the served market, which new bars do not change, else the last settled one.

    Parameters
    ----------
    assets
        What it must have made.

    Raises
    ------
    StorageError
        If there is none.
    """
    last = last_retraining(project, universe)
    if last is None:
        raise StorageError("was never retrained", where=universe.name, remedy=f"run `toto-ops retrain {universe.name}` first")
    served = project.retraining(universe, served_market(project, universe).retrain_id)
    found = next((one for one in (served, last) if all(one.has(asset) for asset in assets)), None)
    if found is None:
        raise StorageError(
            f"retraining {last.retrain_id} made no {' and '.join(assets)}",
            where=universe.name,
            remedy=f"if an earlier release made it, run `toto-ops retrain {universe.name} --force`; if its bars were too few, as "
            "the asset `forecaster` then says, wait for more",
        )
    return found


def served_market(project: Project, universe: Universe) -> Snapshot:
    """Which bars are served.

    Raises
    ------
    StorageError
        If none are.
    """
    snapshot = served_snapshot(project.store, universe.name)
    if snapshot is None:
        raise StorageError("has no market data yet", where=universe.name, remedy=f"run `toto-ops retrain {universe.name}` first")
    return snapshot


def forecast(project: Project, universe: Universe, symbol: str, horizon: int) -> ForecastAnswer:
    """Foretell the next `horizon` closes of a symbol from its newest served bar.

    Raises
    ------
    SymbolNameError, BarDataError, StaleBarsError
        If the symbol is unknown, quarantined, or without new bars: see `toto_ops.serving.servable`.
    InsufficientDataError
        If it has too few bars, or the forecaster does not look ahead so far.
    StorageError
        If nothing was retrained yet.
    """
    from toto_ops.forecasting.series import series_of

    name = checked_symbol(symbol)
    snapshot = served_market(project, universe)
    entry = servable(universe, snapshot, name)
    retraining = retraining_with(project, universe, FORECASTER, SPECIALISTS)
    forecaster, _ = forecaster_of(retraining)
    if horizon > forecaster.head.horizon:
        raise InsufficientDataError(
            f"forecasts reach {forecaster.head.horizon} bars ahead, not {horizon}",
            where=universe.name,
            remedy="raise `horizon` in forecasting.yaml and retrain",
        )
    series = series_of(name, load_bars(project.store, snapshot.bars_ref(name)))
    close = to_aware(series.close_time[-1:])[0]
    require_fresh(universe, entry.symbol, close, serving_moment(universe, snapshot))
    manifest = forecaster.manifest
    return ForecastAnswer(
        universe=universe.name,
        symbol=name,
        bar_close=close,
        close=_close(series),
        steps=_steps(specialists_of(retraining, forecaster), series, horizon),
        backbone=manifest.backbone,
        passed_over={one.backbone: one.reason for one in manifest.passed_over},
        knows_until=manifest.knows_until,
        possibly_knows_until=manifest.possibly_knows_until,
        retrain_id=retraining.retrain_id,
        trained_on_symbol=name in manifest.symbols,
    )


def _steps(specialists: Specialists, series: BarSeries, horizon: int) -> tuple[ForecastStep, ...]:
    import numpy as np
    import torch

    from toto_ops.forecasting.quantiles import LEVELS, probability_above
    from toto_ops.forecasting.scaling import CausalScale
    from toto_ops.forecasting.series import stacked

    backbone = specialists.forecaster.backbone
    if len(series) < backbone.minimum_bars:
        raise InsufficientDataError(
            f"has {len(series)} bars, a forecast needs {backbone.minimum_bars}", where=series.symbol, remedy="wait for more bars"
        )
    x = stacked([series])
    with torch.no_grad():
        quantiles = specialists.quantiles(backbone.latest_states(x, 1), [series.symbol])
    scale = CausalScale.of(x)
    returns = scale.at(slice(-1, None)).returns(quantiles, tuple(range(1, horizon + 1)))[0, 0].double()
    up = probability_above(returns)
    own = set(specialists.manifest.horizons) if series.symbol in specialists.manifest.kept else set()
    close = _close(series)
    return tuple(
        ForecastStep(
            ahead=ahead,
            by="specialist" if ahead in own else "generic",
            up=float(up[ahead - 1]),
            returns={f"{level:g}": float(value) for level, value in zip(LEVELS, row, strict=True)},
            prices={f"{level:g}": float(close * np.exp(float(value))) for level, value in zip(LEVELS, row, strict=True)},
        )
        for ahead, row in enumerate(returns, start=1)
    )


def _close(series: BarSeries) -> float:
    import numpy as np

    from toto_ops.forecasting.series import CLOSE

    return float(np.exp(series.values[-1, CLOSE]))
