"""Two symbols of the planted market up to their panel, with forecasting that is fitted in a moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import polars as pl
import yaml

from tests.pipeline.planted import START, write_config, write_market
from toto_ops.configuration import Settings
from toto_ops.features.panel import Panel
from toto_ops.learning.splits import Span
from toto_ops.pipeline.feature_steps import make_features, make_panel, panel_of
from toto_ops.pipeline.market_steps import ingest
from toto_ops.pipeline.project import Project
from toto_ops.storage.retraining import Retraining
from toto_ops.universes import Universe

SYMBOLS = ("ALPHA", "BETA")
DAYS = 1000
HORIZONS = (1, 5)

SECTIONS = {
    "statistical": {"season": 5, "span": 10, "look_back": 33},
    "pretraining": {"epochs": 1, "hidden": 16, "window": 64, "stride": 64},
    "specialists": {"steps": 2},
    "embeddings": {"epochs": 1, "width": 16, "heads": 2},
}


@dataclass(frozen=True)
class SmallMarket:
    """A project whose only universe is retrained up to its panel."""

    project: Project
    universe: Universe
    retraining: Retraining

    @property
    def panel(self) -> Panel:
        return panel_of(self.retraining)[0]


Rewrite = Callable[[pl.DataFrame], pl.DataFrame]


def small_market(folder: Path, rewrite: Rewrite = lambda bars: bars) -> SmallMarket:
    """A market in `folder`, the bars of each of whose files were rewritten before it was read."""
    bars = folder / "bars"
    write_market(bars, DAYS)
    for path in bars.glob("*.csv"):
        if path.stem in SYMBOLS:
            rewrite(pl.read_csv(path)).write_csv(path)
        else:
            path.unlink()
    config = write_config(folder / "config", bars)
    path = config / "forecasting.yaml"
    content = yaml.safe_load(path.read_text()) | {"horizon": HORIZONS[-1], "horizons": list(HORIZONS)}
    for section, changes in SECTIONS.items():
        content[section] |= changes
    path.write_text(yaml.safe_dump(content))
    project = Project(Settings(home=str(folder / "home"), env="local", config_dir=config))
    universe = project.universe("planted")
    retraining = project.retraining(universe, "last")
    ingest(project, retraining, universe, SYMBOLS, START + timedelta(days=DAYS))
    make_features(project, retraining, universe)
    make_panel(project, retraining, universe)
    return SmallMarket(project, universe, retraining)


def with_other_prices(bars: pl.DataFrame, *spans: Span) -> pl.DataFrame:
    """The bars of a file that close within some spans 5 % higher, their range three times as wide."""
    close_time = pl.col("timestamp").str.to_datetime(time_zone="UTC") + timedelta(days=1)
    inside = pl.any_horizontal((close_time > span.after) & (close_time <= span.until) for span in spans)
    factors = {"open": 1.05, "high": 1.10, "low": 1.00, "close": 1.05}
    return bars.with_columns(
        pl.when(inside).then(factor * pl.col(name)).otherwise(name).alias(name) for name, factor in factors.items()
    ).with_columns(high=pl.max_horizontal("open", "high", "low", "close"), low=pl.min_horizontal("open", "high", "low", "close"))
