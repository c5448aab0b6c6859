"""Embeddings, specialists and pretraining at the profile that is delivered, each in a process of its own.

The states of the market backbone are taken from one pass, and beside that from a window for each bar, in the same process
and in turn; seconds are those of the processor there, and elsewhere those of the clock with the processor's beside them.
Toto is measured in the environment that has its package (`make backbones`). Run it with `make bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from toto_ops.configuration import PROJECT_ROOT

WINDOW_TIMES, DAY_S, SPECIALISTS_S, PRETRAINING_S = 20.0, 3.0, 30.0, 60.0
"""What is required: at least so many times the bars a second of a window for each bar; at most so many seconds for a day of 500
symbols, for the specialists of a universe, and for pretraining on the bundled stocks, on two cores."""

ROUNDS = 5
HISTORY = 1250
"""Bars of each of the 500 symbols: five years of a stock exchange."""

BACKBONES = PROJECT_ROOT / "build" / "backbones" / "bin" / "python"
"""Python of the environment that has the packages of Toto and Chronos."""

RESULT = Path("build/benchmarks/forecasting.json")


@dataclass(frozen=True)
class Figure:
    """What was measured, in words and as a number, against what is required of it, where something is."""

    name: str
    measured: float
    unit: str
    required: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool:
        if self.required is None:
            return True
        return self.measured >= self.required if self.at_least else self.measured < self.required

    def __str__(self) -> str:
        line = f"{self.name}: {self.measured:,.2f} {self.unit}"
        if self.required is None:
            return line
        bound = "at least" if self.at_least else "under"
        return f"{line} (required {bound} {self.required:g}): {'met' if self.met else 'MISSED'}"


class Stopwatch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def figures(self, name: str, required: float | None = None) -> list[Figure]:
        """Seconds by the clock, which are what is required, and of the processor, which a busy machine lengthens less."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return [Figure(name, wall, "s", required), Figure(f"{name}, of the processor", cpu, "s")]


def one_pass_or_windows() -> list[Figure]:
    """Bars a second by each way to their states; ratios are taken within a round."""
    import torch
    from forecasting_contenders import (
        bundled_stocks,
        check_same_states,
        of_one_pass,
        of_windows,
        of_windows_together,
        shipped,
        spans_of,
        untrained,
    )

    from toto_ops.forecasting.series import stacked

    torch.set_num_threads(1)
    config, series = shipped(), bundled_stocks()
    backbone = untrained(config, spans_of(series, config), series).backbone
    x = stacked(series)
    difference = check_same_states(backbone, x)
    everybody = (of_one_pass(backbone, x), of_windows(backbone, x), of_windows_together(backbone, x))
    speeds: dict[str, list[float]] = {contender.name: [] for contender in everybody}
    for number in range(ROUNDS + 1):
        for contender in everybody:
            start = time.process_time()
            contender.states()
            if number > 0:
                speeds[contender.name].append(contender.bars / (time.process_time() - start))
    whole, alone, together = speeds.values()
    ratio, batched = (
        statistics.median(ours / theirs for ours, theirs in zip(whole, other, strict=True)) for other in (alone, together)
    )
    return [
        *(Figure(name, statistics.median(measured), "bars/s") for name, measured in speeds.items()),
        Figure("one pass, against a window for each bar", ratio, "times the bars/s", WINDOW_TIMES, at_least=True),
        Figure("one pass, against windows in a batch", batched, "times the bars/s", WINDOW_TIMES, at_least=True),
        Figure("largest difference between their states", difference, ""),
    ]


def a_new_day() -> list[Figure]:
    """One day more of 500 symbols: what is stored is read, what is new is made and stored; bars and panel come from disk."""
    from forecasting_contenders import MANY, embedding_model, many_bars, many_series, shipped, yesterday

    from toto_ops.features.compute import FeatureConfig, compute_features
    from toto_ops.features.moments import to_aware
    from toto_ops.features.panel_builder import build_panel, load_panel, save_panel
    from toto_ops.forecasting.embeddings.update import update_embeddings
    from toto_ops.forecasting.series import series_of
    from toto_ops.market.bars import load_bars, store_bars
    from toto_ops.storage.store import ArtefactStore

    bars, config = many_bars(HISTORY), shipped()
    panel = build_panel(compute_features(bars, MANY.universe(), None, FeatureConfig()), MANY.names)
    before = panel.between(None, to_aware(panel.close_time)[-2])
    model = embedding_model(config, many_series(yesterday(bars)), before)
    with tempfile.TemporaryDirectory() as folder:
        store, panel_folder = ArtefactStore(folder), Path(folder) / "panel"
        panel_folder.mkdir()
        save_panel(panel, panel_folder)
        tables = {table["symbol"][0]: table.drop("symbol") for table in bars.partition_by("symbol", maintain_order=True)}
        refs = {symbol: store_bars(store, "bench", symbol, table).ref for symbol, table in tables.items()}
        first = Stopwatch()
        update_embeddings(store, "bench", model, before, many_series(yesterday(bars)))
        figures = first.figures(f"the history of {MANY.symbols} symbols, {before.rows:,} rows")
        read = Stopwatch()
        series = tuple(series_of(symbol, load_bars(store, ref)) for symbol, ref in refs.items())
        today = load_panel(panel_folder)
        reading = read.figures("before it, reading all their bars and the panel")
        update = Stopwatch()
        updated = update_embeddings(store, "bench", model, today, series)
        updating = update.figures(f"one day more of {MANY.symbols} symbols, computed and stored", DAY_S)
        if updated.rows_computed != 1:
            raise AssertionError(f"{updated.rows_computed} rows were computed for one day")
    return [*updating, *reading, *figures]


def the_specialists() -> list[Figure]:
    """Specialists of the bundled stocks, and of 500 symbols with as many bars, in one batch each."""
    from forecasting_contenders import bundled_stocks, many_bars, many_series, shipped, spans_of, untrained

    from toto_ops.forecasting.specialists.fitting import fit_specialists

    config, figures = shipped(), []
    for series in (bundled_stocks(), many_series(many_bars(2000))):
        spans = spans_of(series, config)
        forecaster = untrained(config, spans, series)
        stopwatch = Stopwatch()
        fit_specialists(forecaster, series, spans, config, seed=0)
        figures += stopwatch.figures(f"specialists of {len(series)} symbols", SPECIALISTS_S)
    return figures


def the_pretraining() -> list[Figure]:
    """Pretraining on the bundled stocks, as in a retraining: from untrained weights until validation stops it."""
    from forecasting_contenders import bundled_stocks, pretraining_inputs, shipped

    from toto_ops.forecasting.pretraining.pretrain import pretrain

    inputs = pretraining_inputs(shipped(), bundled_stocks())
    with tempfile.TemporaryDirectory() as folder:
        stopwatch = Stopwatch()
        made = pretrain(inputs, Path(folder))
        figures = stopwatch.figures("pretraining on the bundled stocks", PRETRAINING_S)
    return [*figures, Figure("of it, epochs", made.manifest.metrics["epochs"], "")]


def with_toto() -> list[Figure]:
    """Bars a second of Toto in its smallest published size: 32 phases of each pass, whatever a state depends on."""
    import torch
    from forecasting_contenders import bundled_stocks, toto_4m

    from toto_ops.forecasting.series import stacked

    torch.set_num_threads(1)
    contender, weights = toto_4m(stacked(bundled_stocks()[:1]))
    speeds = []
    for _ in range(2):
        start = time.process_time()
        contender.states()
        speeds.append(contender.bars / (time.process_time() - start))
    return [Figure(f"{contender.name} ({weights:,})", max(speeds), "bars/s")]


MEASUREMENTS: dict[str, Callable[[], list[Figure]]] = {
    "states": one_pass_or_windows,
    "a new day": a_new_day,
    "specialists": the_specialists,
    "pretraining": the_pretraining,
    "toto": with_toto,
}


def _in_own_process(measurement: str, python: str) -> list[Figure]:
    command = [python, __file__, "--measure", measurement]
    # The second environment sees the packages of the first, but not what is installed there in place.
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return [Figure(**figure) for figure in json.loads(finished.stdout.splitlines()[-1])]


def main() -> None:
    """Take every measurement, or the one that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", choices=MEASUREMENTS)
    parser.add_argument("--backbones", type=Path, default=BACKBONES, help="Python of the environment that has toto-2")
    chosen = parser.parse_args()
    if chosen.measure:
        sys.stdout.write(json.dumps([asdict(figure) for figure in MEASUREMENTS[chosen.measure]()]) + "\n")
        return
    figures = []
    for measurement in MEASUREMENTS:
        python = str(chosen.backbones) if measurement == "toto" else sys.executable
        if not Path(python).exists():
            sys.stdout.write(f"  {measurement}: not measured, there is no {python}; `make backbones` installs it\n")
            continue
        for figure in _in_own_process(measurement, python):
            sys.stdout.write(f"  {figure}\n")
            figures.append(figure)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps([asdict(figure) | {"met": figure.met} for figure in figures], indent=1))
    sys.stdout.write(f"written to {RESULT}\n")


if __name__ == "__main__":
    main()
