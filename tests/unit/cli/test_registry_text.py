"""What the registry and a cross-validation tell fits a terminal of 80 columns, with no word or number broken."""

from datetime import UTC, datetime

import pytest

from toto_ops.cli.console import OUT, print_facts, print_records
from toto_ops.cli.registry_text import print_diary, print_versions
from toto_ops.registry.events import RegistryEvent
from toto_ops.registry.history import RegistryRow

AT = datetime(2026, 11, 21, 16, 45, tzinfo=UTC)
REFUSED = RegistryEvent(
    number=3,
    universe="stocks",
    at=AT,
    kind="promotion",
    version=4,
    instead_of=3,
    by="ann@desk",
    why="[as agreed] " + "on the telephone with everybody " * 4,
    outcome="refused",
    detail="did not pass its gates: Sharpe ratio 0.40 (required ≥ 1.00)",
)


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OUT, "width", 80)


def version(number: int, **changes: object) -> RegistryRow:
    content = {
        "universe": "stocks",
        "model": "toto-stocks",
        "version": number,
        "line": "fallback",
        "aliases": (),
        "serves": False,
        "gates": "quarantined",
        "created_at": AT,
        "promoted_at": None,
        "rolled_back_at": None,
        "replaced": None,
        "knows_until": AT,
        "retrain_id": "r",
        "data_hash": "d",
        "inputs_hash": "i",
        "code_version": "1",
        "frozen": None,
    }
    return RegistryRow.model_validate(content | changes)


def told(capsys: pytest.CaptureFixture[str]) -> str:
    output = capsys.readouterr().out
    assert all(len(line) <= 80 for line in output.splitlines())
    return output


def test_an_entry_of_the_diary_is_a_block_that_keeps_what_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    print_diary("diary of stocks", [REFUSED])
    title, head, *rest = told(capsys).splitlines()
    assert title == "diary of stocks"
    assert head == "3    2026-11-21 16:45 UTC  promotion, version 4 instead of 3: refused"
    assert all(line.startswith("     ") for line in rest)
    assert " ".join(" ".join(rest).split()) == f"by ann@desk: {REFUSED.why.strip()} {REFUSED.detail}"


def test_an_entry_about_no_version_names_none(capsys: pytest.CaptureFixture[str]) -> None:
    print_diary("events", [REFUSED.model_copy(update={"kind": "freeze", "version": None, "instead_of": None, "outcome": "done"})])
    assert "UTC  freeze: done" in told(capsys)
    print_diary("events", [])
    assert told(capsys) == "events: none\n"


def test_versions_are_a_table_per_model_that_says_what_serves(capsys: pytest.CaptureFixture[str]) -> None:
    frozen = {"frozen": "on 2026-11-21 16:45 UTC by ann@desk: audit"}
    serving = version(11, aliases=("challenger", "champion", "previous"), serves=True, **frozen)
    print_versions([serving, version(10, **frozen), version(1, model="toto-crypto", universe="crypto", knows_until=None)])
    output = told(capsys)
    assert "toto-stocks: version 11 serves" in output
    assert "toto-crypto: none serves" in output
    assert output.count("promotions of stocks were frozen on 2026-11-21 16:45 UTC by ann@desk: audit") == 1
    for word in ("challenger,", "champion,", "previous", "quarantined", "2026-11-21", "knows until"):
        assert word in output
    print_versions([])
    assert told(capsys) == "registered versions: none\n"


def test_a_record_is_headed_by_what_identifies_it_and_keeps_its_figures_whole(capsys: pytest.CaptureFixture[str]) -> None:
    figures = dict.fromkeys(("return", "Sharpe", "drawdown"), "-65.0% [-116.0% … 149.0%]")
    print_records("blocks", [{"fold": 1, "from": "2019-03-04"} | figures], ("fold", "from"))
    output = told(capsys)
    assert output.splitlines()[:2] == ["blocks", "fold 1, from 2019-03-04"]
    assert all(f"{name} {figure}" in output for name, figure in figures.items())


def test_a_fact_is_a_line_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    address = "http://desk:5000/#/" + "experiments/" * 10
    print_facts({"toto.lineage": address, "why": "[audit]", "serves": True, "replaced": None})
    assert capsys.readouterr().out.splitlines() == [
        f"toto.lineage  {address}",
        "why           [audit]",
        "serves        yes",
        "replaced      -",
    ]
