"""New symbols: one and a hundred in the library, one through Dagster, and a look of the sensor at 2,000 symbols.

Every measurement runs in a process of its own over a home of its own. Symbols are made of the bundled bars of one coin
under other names. "Fresh process" counts what one command would, imports included; the sensor and later symbols of one
process find them done.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from toto_ops.configuration import PROJECT_ROOT, Settings
from toto_ops.market.sources import SAMPLE_FOLDER
from toto_ops.pipeline.project import Project
from toto_ops.universes import Universe

NEW_SYMBOL_S, THROUGH_DAGSTER_S, TICK_S = 5.0, 45.0, 1.0
"""What is required of one new symbol in the library and through Dagster, and of a tick of the sensor: at most."""

MANY, HUNDRED = 2000, 100
TICKS = 5
COIN = SAMPLE_FOLDER / "daily_crypto" / "ETHUSD.csv"
RESULT = Path("build/benchmarks/operations.json")


@dataclass(frozen=True)
class Took:
    """How long something took, s: by the clock, and of the processor, which a busy machine does not lengthen."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Figure:
    """What was measured, s, against what is required by the clock, where something is."""

    name: str
    wall: float
    cpu: float
    required: float | None = None

    @classmethod
    def of(cls, name: str, took: Took, required: float | None = None) -> Figure:
        return cls(name, took.wall, took.cpu, required)

    @property
    def met(self) -> bool:
        return self.required is None or self.wall < self.required


class Stopwatch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> Took:
        return Took(time.perf_counter() - self._wall, time.process_time() - self._cpu)


@dataclass(frozen=True)
class Bench:
    """A home and a folder of further coins beside the bundled ones."""

    home: Path
    added: Path

    @classmethod
    def at(cls, folder: Path) -> Bench:
        bench = cls(folder / "home", folder / "added")
        bench.added.mkdir()
        shutil.copytree(PROJECT_ROOT / "deploy" / "config", folder / "config")
        universes = folder / "config" / "universes.yaml"
        universes.write_text(universes.read_text().replace("deploy/bars/crypto", str(bench.added)))
        return bench

    @property
    def settings(self) -> Settings:
        return Settings(home=str(self.home), config_dir=self.added.parent / "config", env="local")

    @property
    def project(self) -> Project:
        return Project(self.settings)

    @property
    def universe(self) -> Universe:
        return self.project.universe("crypto")

    def add(self, number: int, prefix: str = "NEW") -> None:
        for one in range(number):
            shutil.copyfile(COIN, self.added / f"{prefix}{one:04}.csv")


def serve_everything(bench: Bench) -> None:
    """Publish the market of all symbols there are, as a retraining does before it trains."""
    from toto_ops.pipeline.market_steps import ingest
    from toto_ops.pipeline.new_symbols import find_new_symbols

    project, universe = bench.project, bench.universe
    retraining = project.retraining(universe, "whole")
    ingest(project, retraining, universe, find_new_symbols(project, universe).members, None)
    _publish(bench, "whole")


def join(bench: Bench) -> Took:
    """From looking for new symbols to serving them."""
    from toto_ops.pipeline.market_steps import ingest_symbols
    from toto_ops.pipeline.new_symbols import find_new_symbols
    from toto_ops.serving.market_view import served_snapshot

    stopwatch = Stopwatch()
    project, universe = bench.project, bench.universe
    new = find_new_symbols(project, universe).to_add
    ingest_symbols(project, project.retraining(universe, "some"), universe, new)
    _publish(bench, "some")
    took = stopwatch.read()
    served = served_snapshot(project.store, universe.name)
    if served is None or not new or not set(new) <= set(served.symbols):
        raise AssertionError(f"{new} did not join")
    return took


def serve_many_on_paper(bench: Bench) -> None:
    """A source of 2,000 symbols more and a served market that has them all; nobody reads their bars."""
    from datetime import UTC, datetime

    from toto_ops.market.snapshot import Snapshot, SnapshotEntry
    from toto_ops.market.sources import open_source
    from toto_ops.serving.market_view import publish_market
    from toto_ops.storage.store import ArtefactKey, ArtefactRef

    bench.add(MANY)
    moment = datetime(2021, 7, 7, tzinfo=UTC)
    entries = tuple(
        SnapshotEntry(symbol=symbol, status="included", bars="b", inputs_hash="i", first_close=moment, last_close=moment)
        for symbol in open_source(bench.universe).discover().symbols
    )
    snapshot = Snapshot(universe="crypto", retrain_id="whole", as_of=moment, config_hash="c", entries=entries)
    publish_market(bench.project.store, snapshot, ArtefactRef(ArtefactKey("crypto", "panel"), "p", "i"))


def ticks(bench: Bench) -> list[Took]:
    """Each tick of the sensor; the first adds every symbol as a partition."""
    import dagster as dg

    from assets.resources import TotoOps
    from sensors.new_symbols import new_symbols_sensor

    sensor = new_symbols_sensor(bench.universe, dg.DefaultSensorStatus.STOPPED)
    toto = TotoOps(home=str(bench.home), config_dir=str(bench.settings.config_dir), env="local")
    folder = bench.home / "dagster"
    folder.mkdir(parents=True)
    took = []
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        for _ in range(1 + TICKS):
            with dg.build_sensor_context(instance, resources={"toto": toto}) as context:
                stopwatch = Stopwatch()
                answer = sensor.evaluate_tick(context)
                took.append(stopwatch.read())
            if "nothing new" not in (answer.skip_message or ""):
                raise AssertionError(answer)
    return took


def one_symbol() -> list[Figure]:
    """A fresh process is one that has not validated anything yet."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench.at(Path(folder))
        subprocess.run([sys.executable, __file__, "--serve", folder], check=True)
        bench.add(1)
        fresh = join(bench)
        bench.add(1, "ANOTHER")
        shutil.rmtree(bench.home / "live" / "crypto" / "retrainings" / "some")
        warm = join(bench)
    return [
        Figure.of("one new symbol among 8, fresh process", fresh, NEW_SYMBOL_S),
        Figure.of("one more symbol in the same process", warm, NEW_SYMBOL_S),
    ]


def a_hundred_symbols() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench.at(Path(folder))
        serve_everything(bench)
        bench.add(HUNDRED)
        return [Figure.of("a hundred new symbols at once", join(bench))]


def through_dagster() -> list[Figure]:
    """The command as it is typed: a process that starts, finds the symbol and has Dagster run five steps in a new instance."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench.at(Path(folder))
        serve_everything(bench)
        bench.add(1)
        environment = os.environ | {"TOTO_HOME": str(bench.home), "TOTO_CONFIG_DIR": str(bench.settings.config_dir)}
        command = [sys.executable, "-c", "from toto_ops.cli import app; app()", "backfill", "crypto", "--json"]
        stopwatch, before = Stopwatch(), resource.getrusage(resource.RUSAGE_CHILDREN)
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment, cwd=PROJECT_ROOT)
        wall, after = stopwatch.read().wall, resource.getrusage(resource.RUSAGE_CHILDREN)
    if [row["status"] for row in json.loads(answer.stdout)["symbols"]] != ["joined"]:
        raise AssertionError(answer.stdout)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [Figure.of("one new symbol through `toto-ops backfill`", Took(wall, cpu), THROUGH_DAGSTER_S)]


def the_sensor() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench.at(Path(folder))
        serve_many_on_paper(bench)
        first, *later = ticks(bench)
    return [
        Figure.of(f"the slowest tick of the sensor, {MANY:,} symbols", max(later, key=lambda tick: tick.wall), TICK_S),
        Figure.of(f"its first tick, which makes {MANY:,} partitions", first),
    ]


MEASUREMENTS: dict[str, Callable[[], list[Figure]]] = {
    "one symbol": one_symbol,
    "a hundred": a_hundred_symbols,
    "through Dagster": through_dagster,
    "sensor": the_sensor,
}


def _publish(bench: Bench, retrain_id: str) -> None:
    from toto_ops.pipeline.feature_steps import make_features, make_panel
    from toto_ops.pipeline.serving_steps import publish_served_market

    project, universe = bench.project, bench.universe
    retraining = project.retraining(universe, retrain_id)
    make_features(project, retraining, universe)
    make_panel(project, retraining, universe)
    publish_served_market(project, retraining, universe)


def _in_own_process(measurement: str) -> list[Figure]:
    command = [sys.executable, __file__, "--measure", measurement]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [Figure(**figure) for figure in json.loads(finished.stdout.splitlines()[-1])]


def main() -> None:
    """Take every measurement, or the one that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", choices=MEASUREMENTS)
    parser.add_argument("--serve", type=Path)
    chosen = parser.parse_args()
    if chosen.serve:
        serve_everything(Bench(chosen.serve / "home", chosen.serve / "added"))
        return
    if chosen.measure:
        sys.stdout.write(json.dumps([asdict(figure) for figure in MEASUREMENTS[chosen.measure]()]) + "\n")
        return
    figures = [figure for measurement in MEASUREMENTS for figure in _in_own_process(measurement)]
    for figure in figures:
        required = "" if figure.required is None else f" (required {figure.required:g}): {'met' if figure.met else 'MISSED'}"
        sys.stdout.write(f"  {figure.name}: {figure.wall:.2f} s, {figure.cpu:.2f} s of the processor{required}\n")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps([asdict(figure) | {"met": figure.met} for figure in figures], indent=1))
    sys.stdout.write(f"written to {RESULT}\n")


if __name__ == "__main__":
    main()
