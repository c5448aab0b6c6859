"""A universe `coins` over a folder of CSV files, with a served market that was never trained on."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from toto_ops.configuration import PROJECT_ROOT, Settings
from toto_ops.market.snapshot import Snapshot, SnapshotEntry
from toto_ops.pipeline.project import Project
from toto_ops.serving.market_view import publish_market
from toto_ops.storage.store import ArtefactKey, ArtefactRef
from toto_ops.universes import Universe

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)
MINIMUM_BARS = 60
HEADER = "timestamp,open,high,low,close,volume\n"


class Coins:
    """One project with the universe `coins`, whose bars are in `<folder>/bars`."""

    def __init__(self, folder: Path) -> None:
        self.bars = folder / "bars"
        self.bars.mkdir()
        config = folder / "config"
        shutil.copytree(PROJECT_ROOT / "deploy" / "config", config)
        self.settings = Settings(home=str(folder / "home"), config_dir=config, env="local")
        self.configure()

    def configure(self, **changes: object) -> None:
        """Write the entry of `coins` with some keys changed."""
        path = self.settings.config_dir / "universes.yaml"
        content = yaml.safe_load(path.read_text())
        crypto = {key: value for key, value in content["universes"]["crypto"].items() if key != "symbols"}
        source = {"kind": "csv", "folder": str(self.bars)}
        content["universes"]["coins"] = {**crypto, "source": source, "minimum_bars": MINIMUM_BARS, **changes}
        path.write_text(yaml.safe_dump(content))

    @property
    def project(self) -> Project:
        return Project(self.settings)

    @property
    def universe(self) -> Universe:
        return self.project.universe("coins")

    def write(self, *symbols: str, bars: int = 2 * MINIMUM_BARS, until: datetime = AS_OF) -> None:
        """Write files of `bars` daily bars, the last of which closes at `until`."""
        stamps = [until - timedelta(days=day) for day in range(bars, 0, -1)]
        rows = "".join(f"{stamp:%Y-%m-%d},1,2,1,{1 + number % 2},10\n" for number, stamp in enumerate(stamps))
        for symbol in symbols:
            (self.bars / f"{symbol}.csv").write_text(HEADER + rows)

    def serve(self, *symbols: str, quarantined: tuple[str, ...] = ()) -> None:
        """Publish a market of `symbols`, as a retraining at `AS_OF` leaves it."""
        included = [SnapshotEntry(symbol=one, status="included", bars="b", inputs_hash="i") for one in symbols]
        refused = [SnapshotEntry(symbol=one, status="quarantined", reasons=("odd",)) for one in quarantined]
        snapshot = Snapshot(universe="coins", retrain_id="whole", as_of=AS_OF, config_hash="c", entries=(*included, *refused))
        publish_market(self.project.store, snapshot, ArtefactRef(ArtefactKey("coins", "panel"), "p", "i"))
