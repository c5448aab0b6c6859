"""A small market: three symbols over ten daily bars, one of them ended and one quarantined."""

from datetime import timedelta
from pathlib import Path

import numpy as np

from tests.unit.registry.registry_samples import START, W_MAX
from toto_ops.features.panel import Panel
from toto_ops.features.state import MARKET_FEATURES
from toto_ops.market.snapshot import Snapshot, SnapshotEntry
from toto_ops.universes import Costs, CsvSource, Limits, Universe

BARS = 10
LAST_CLOSE = START + timedelta(days=BARS)


def universe(**changes) -> Universe:
    settings = {
        "name": "serve",
        "asset_class": "crypto",
        "source": CsvSource(folder=Path("bars")),
        "calendar": "24/7",
        "periods_per_year": 365,
        "cadence": "0 6 1 * *",
        "costs": Costs(commission=0.001),
        "limits": Limits(symbol_cap=W_MAX, may_short=True),
        "volume_unit": "base",
        "adjustment": "none",
        "max_bar_age_days": 2.0,
    }
    return Universe(**settings | changes)


def panel(seed: int = 0) -> Panel:
    """`AAA` and `BBB` have every bar, `CCC` ended after seven; features are random, health in (0, 1)."""
    random = np.random.default_rng(seed)
    open_time = np.datetime64(START.replace(tzinfo=None), "us") + np.arange(BARS) * np.timedelta64(1, "D")
    mask = np.ones((BARS, 3), dtype=bool)
    mask[7:, 2] = False
    features = random.normal(size=(BARS, 3, len(MARKET_FEATURES))).astype(np.float32)
    features[:, :, MARKET_FEATURES.index("data_health")] = random.uniform(size=(BARS, 3))
    features[~mask] = 0
    prices = np.where(mask, 100.0, np.nan)
    return Panel.of_prices(
        symbols=("AAA", "BBB", "CCC"),
        feature_names=MARKET_FEATURES,
        open_time=open_time,
        close_time=open_time + np.timedelta64(1, "D"),
        features=features,
        mask=mask,
        open=prices,
        close=prices,
        ended=np.array([False, False, True]),
    )


def snapshot() -> Snapshot:
    def included(symbol, last, **more):
        return SnapshotEntry(symbol=symbol, status="included", bars="b", inputs_hash="i", last_close=last, **more)

    return Snapshot(
        universe="serve",
        retrain_id="retrain-1",
        as_of=LAST_CLOSE,
        config_hash="config",
        entries=(
            included("AAA", LAST_CLOSE, warnings=("volume is odd",)),
            included("BBB", LAST_CLOSE),
            included("CCC", START + timedelta(days=7), ended=True),
            SnapshotEntry(symbol="DDD", status="quarantined", reasons=("3 bars have negative prices",)),
            included("NEW", LAST_CLOSE),
        ),
    )
