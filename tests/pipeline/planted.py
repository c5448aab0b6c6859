"""A synthetic market with a planted signal: trends that last. Test only; it shows that what deserves promotion gets it.

Each symbol drifts up or down at a constant rate and turns at random, on average every `PERSISTENCE` days. A follower of
trends that is flat in falls earns most of the rises; equal weight earns next to nothing, since rises and falls cancel.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import yaml

from tests.pipeline.brief_forecasting import write_brief_forecasting
from toto_ops.configuration import PROJECT_ROOT

SYMBOLS = ("ALPHA", "BETA", "GAMMA", "DELTA")
START = datetime(2018, 1, 1, tzinfo=UTC)
PERSISTENCE = 60
DRIFT = 0.006
NOISE = 0.015

GATES = {"champion": {"sharpe_margin": 2.0}, "plausibility": {"maximum_excess_sharpe": 12.0}}
"""Followers of planted trends have Sharpe ratios around 6, up to 10 above equal weight: such trends are in no real market,
and the shipped margin and alarm are meant for ratios around 1."""


def write_market(folder: Path, days: int, seed: int = 7) -> None:
    """Write one CSV per symbol with `days` daily bars; a longer call extends the same history."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, symbol in enumerate(SYMBOLS):
        generator = np.random.default_rng([seed, number])
        uniform, noise, spread = generator.uniform(size=(4000,)), generator.normal(size=4000), generator.uniform(size=4000)
        direction = np.where(np.cumsum(uniform < 1 / PERSISTENCE) % 2 == number % 2, 1.0, -1.0)
        close = 100 * np.exp(np.cumsum(DRIFT * direction + NOISE * noise))[:days]
        opened = np.concatenate(([100.0], close[:-1]))
        reach = 1 + 0.004 * spread[:days]
        bars = pl.DataFrame(
            {
                "timestamp": [(START + timedelta(days=day)).strftime("%Y-%m-%dT%H:%M:%SZ") for day in range(days)],
                "open": opened,
                "high": np.maximum(opened, close) * reach,
                "low": np.minimum(opened, close) / reach,
                "close": close,
                "volume": 1e6 * (1 + uniform[:days]),
            }
        )
        bars.write_csv(folder / f"{symbol}.csv")


def write_config(folder: Path, bars: Path, **changes: object) -> Path:
    """A configuration folder whose only universe, `planted`, reads `bars`; the rest is as shipped."""
    folder.mkdir(parents=True, exist_ok=True)
    shipped = PROJECT_ROOT / "deploy" / "config"
    for name in ("strategy.yaml", "gates.yaml"):
        (folder / name).write_text((shipped / name).read_text())
    write_brief_forecasting(folder)
    training = yaml.safe_load((shipped / "training.yaml").read_text())
    training["lines"]["bc"]["seeds"] = [0]
    (folder / "training.yaml").write_text(yaml.safe_dump(training))
    crypto = yaml.safe_load((shipped / "universes.yaml").read_text())["universes"]["crypto"]
    entry = {**crypto, "description": "planted trends", "source": {"kind": "csv", "folder": str(bars)}, "gates": GATES, **changes}
    (folder / "universes.yaml").write_text(yaml.safe_dump({"schema_version": 1, "universes": {"planted": entry}}))
    return folder
