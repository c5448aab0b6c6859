"""Walk the two user interfaces as a newcomer would, check that each page says what it should, and photograph it.

`make screenshots` runs it over the history of `make run` and writes the pictures the README and docs show. A page that
lacks what it is visited for ends the walk with its name: the pictures can only be of pages that work.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from playwright.sync_api import Page, ViewportSize, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from toto_ops.configuration import PROJECT_ROOT, Settings
from toto_ops.pipeline.lineage import page_of_incumbent
from toto_ops.pipeline.project import Project

IMAGES = PROJECT_ROOT / "docs" / "images"
WINDOW = ViewportSize(width=1440, height=900)
START_SECONDS = 120
PAGE_MILLISECONDS = 30_000
OFFERS = ("Try it now", "Close")
"""Buttons that put away what MLflow lays over its pages."""
DRAWING_MILLISECONDS = 2_500
"""Charts and graphs are drawn after their text is there."""


@dataclass(frozen=True)
class Stop:
    """One page of the walk.

    Attributes
    ----------
    name
        Of the picture, without suffix; None for a page that is only checked.
    path
        Below the root of the interface.
    says
        Texts that must be visible.
    opens
        Name of the row whose Markdown, a picture, is opened before looking.
    scroll_to
        Text to bring into view before the picture is taken.
    """

    name: str | None
    path: str
    says: tuple[str, ...]
    opens: str | None = None
    scroll_to: str | None = None


def dagster_stops(universe: str, symbol: str) -> tuple[Stop, ...]:
    """What a newcomer looks at in Dagster, in order."""
    return (
        Stop("graph", "/locations/deploy.definitions/asset-groups/market", ("bars", "features", "panel", "Great Expectations")),
        Stop("partitions", f"/assets/{universe}/bars?view=partitions&partition={symbol}", (symbol, "status", "content_hash")),
        Stop("coverage", f"/assets/{universe}/bars?view=checks", ("quality", "coverage", "of the symbols take part")),
        Stop(
            "forecasting",
            "/locations/deploy.definitions/asset-groups/forecasting",
            ("forecaster", "specialist_forecaster", "embeddings", "forecast_evaluation"),
        ),
        Stop("fans", f"/assets/{universe}/forecast_evaluation?view=events", ("policies", "validation"), opens=f"fans_{symbol}"),
        Stop(
            "embedding_space",
            f"/assets/{universe}/embeddings?view=partitions&partition={symbol}",
            (symbol, "rows_computed", "knows_until"),
            opens="by_trend_regime",
        ),
        Stop("gates", f"/assets/{universe}/evaluation_report?view=checks", ("gates", "Sharpe ratio", "maximum drawdown")),
        Stop("equity", f"/assets/{universe}/evaluation_report?view=events", ("verdict", "challenger"), opens="equity"),
        Stop("champion", f"/assets/{universe}/champion?view=events", ("decision", "serving", "report_of_this_retraining")),
        Stop(None, f"/assets/{universe}/challenger?view=events", ("in_mlflow", "inputs_hash")),
        Stop("automation", "/automation", (f"{universe}_retrain", f"{universe}_new_symbols", "settle_unfinished_runs")),
        Stop("jobs", "/jobs", (f"{universe}_retrain", f"{universe}_promote", f"{universe}_rollback", f"{universe}_freeze")),
        Stop(None, "/runs", (f"{universe}_retrain",)),
    )


def mlflow_stops(universe: str) -> tuple[Stop, ...]:
    """What a link from Dagster leads to."""
    project = Project(Settings())
    lineage = page_of_incumbent(project, project.universe(universe)).url
    root = f"{project.settings.mlflow_interface}/"
    return (
        Stop("lineage", lineage.removeprefix(root.rstrip("/")), (f"toto-{universe}", "lineage.html")),
        Stop("models", f"/#/models/toto-{universe}", ("challenger", "fallback")),
    )


def walk(root: str, stops: tuple[Stop, ...], page: Page) -> None:
    """Visit every stop and photograph those that have a name."""
    for stop in stops:
        page.goto(f"{root}{stop.path}", wait_until="domcontentloaded")
        for text in stop.says:
            try:
                page.get_by_text(text).first.wait_for(state="visible", timeout=PAGE_MILLISECONDS)
            except PlaywrightTimeoutError as error:
                page.screenshot(path=str(IMAGES / "failed.png"))
                raise SystemExit(f"{stop.path} does not show {text!r}; see {IMAGES / 'failed.png'}") from error
        for offer in OFFERS:
            if page.get_by_role("button", name=offer, exact=True).first.is_visible():
                page.get_by_role("button", name=offer, exact=True).first.click()
        if stop.opens:
            page.get_by_role("row").filter(has=page.get_by_text(stop.opens, exact=True)).get_by_text("[Show Markdown]").click()
        if stop.scroll_to:
            page.get_by_text(stop.scroll_to).first.scroll_into_view_if_needed()
        if stop.name:
            page.wait_for_timeout(DRAWING_MILLISECONDS)
            page.screenshot(path=str(IMAGES / f"{stop.name}.png"))
        print(f"{stop.path} says {', '.join(stop.says)}")


@contextmanager
def server(command: str, port: int, ready: str) -> Iterator[str]:
    """Run `toto-ops <command>` on a port until the block ends; gives the root address once it answers."""
    program = Path(sys.executable).with_name("toto-ops")
    process = subprocess.Popen(
        [str(program), command, "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=PROJECT_ROOT,
    )
    root = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(f"{root}{ready}"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"`toto-ops {command}` did not come up within {START_SECONDS} s")
            time.sleep(1)
        yield root
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).ok
    except requests.ConnectionError:
        return False


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Walk both interfaces."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--universe", default="stocks")
    parser.add_argument("--symbol", default="AAPL")
    parser.add_argument("--browser", default=shutil.which("chromium") or shutil.which("google-chrome"), help="Chromium to use")
    asked = parser.parse_args()
    IMAGES.mkdir(parents=True, exist_ok=True)
    mlflow_port = free_port()
    os.environ["TOTO_MLFLOW_UI_URL"] = f"http://127.0.0.1:{mlflow_port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=asked.browser, args=["--no-sandbox"])
        with server("dev", free_port(), "/server_info") as dagster:
            walk(dagster, dagster_stops(asked.universe, asked.symbol), browser.new_page(viewport=WINDOW))
        with server("mlflow", mlflow_port, "/health") as mlflow:
            walk(mlflow, mlflow_stops(asked.universe), browser.new_page(viewport=WINDOW))
        browser.close()


if __name__ == "__main__":
    main()
