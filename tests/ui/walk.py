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
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toto_ops.configuration import PROJECT_ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

IMAGES = PROJECT_ROOT / "docs" / "images"
WINDOW = {"width": 1440, "height": 900}
START_SECONDS = 120
PAGE_MILLISECONDS = 30_000


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
    follow
        Text to click on before looking.
    scroll_to
        Text to bring into view before the picture is taken.
    """

    name: str | None
    path: str
    says: tuple[str, ...]
    follow: str | None = None
    scroll_to: str | None = None


def dagster_stops(universe: str, symbol: str) -> tuple[Stop, ...]:
    """What a newcomer looks at in Dagster, in order."""
    return (
        Stop("lineage-graph", f"/locations/deploy.definitions/asset-groups/market", ("bars", "features", "panel")),
        Stop("bars-partitions", f"/assets/{universe}/bars?view=partitions&partition={symbol}", (symbol, "status", "content_hash")),
        Stop("bars-checks", f"/assets/{universe}/bars?view=checks", ("quality", "coverage")),
        Stop("evaluation-report", f"/assets/{universe}/evaluation_report?view=events", ("verdict", "gates"), scroll_to="equity"),
        Stop("champion", f"/assets/{universe}/champion?view=events", ("decision", "serving", "lineage")),
        Stop("automation", "/automation", (f"{universe}_retrain", f"{universe}_new_symbols")),
        Stop("jobs", "/jobs", (f"{universe}_retrain", f"{universe}_promote", f"{universe}_rollback")),
        Stop(None, "/runs", (f"{universe}_retrain",)),
    )


def walk(root: str, stops: tuple[Stop, ...], page: Page) -> None:
    """Visit every stop and photograph those that have a name."""
    for stop in stops:
        page.goto(f"{root}{stop.path}", wait_until="domcontentloaded")
        if stop.follow:
            page.get_by_text(stop.follow, exact=False).first.click()
        for text in stop.says:
            try:
                page.get_by_text(text, exact=False).first.wait_for(state="visible", timeout=PAGE_MILLISECONDS)
            except Exception:
                page.screenshot(path=str(IMAGES / "failed.png"))
                print(f"{stop.path} does not show {text!r}; see {IMAGES / 'failed.png'}")
                raise
        if stop.scroll_to:
            page.get_by_text(stop.scroll_to, exact=False).first.scroll_into_view_if_needed()
        if stop.name:
            page.wait_for_timeout(1500)  # charts and graphs draw after their text
            page.screenshot(path=str(IMAGES / f"{stop.name}.png"))
            print(f"{stop.name}: {stop.path}")


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
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Walk both interfaces."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--universe", default="crypto")
    parser.add_argument("--symbol", default="BTCUSD")
    parser.add_argument("--browser", default=shutil.which("chromium") or shutil.which("google-chrome"), help="Chromium to use")
    asked = parser.parse_args()
    IMAGES.mkdir(parents=True, exist_ok=True)
    mlflow_port = free_port()
    os.environ["TOTO_MLFLOW_UI_URL"] = f"http://127.0.0.1:{mlflow_port}"
    with sync_playwright() as playwright, server("dev", free_port(), "/server_info") as dagster:
        browser = playwright.chromium.launch(executable_path=asked.browser, args=["--no-sandbox"])
        walk(dagster, dagster_stops(asked.universe, asked.symbol), browser.new_page(viewport=WINDOW))
        browser.close()


if __name__ == "__main__":
    main()
