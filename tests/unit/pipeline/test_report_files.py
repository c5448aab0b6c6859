"""Files of a report: what cannot be written is refused before anything is run, and named."""

from pathlib import Path

import pytest

from tests.unit.evaluation.reports.backtest_report_samples import report
from toto_ops.errors import ConfigError, StorageError
from toto_ops.pipeline import report_files
from toto_ops.pipeline.report_files import ReportFiles


def test_what_is_wanted_is_written_where_it_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = ReportFiles(html=Path("new/report.html"), trades=Path("trades.csv")).checked()
    assert list(tmp_path.iterdir()) == [], "checking writes nothing"
    assert files.write(report()) == (tmp_path / "new" / "report.html", tmp_path / "trades.csv")
    assert (tmp_path / "new" / "report.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (ReportFiles(html=Path()), "is a folder"),
        (ReportFiles(html=Path("report.csv")), r"the page must end with \.html or \.htm"),
        (ReportFiles(text=Path("report")), r"the text report must end with \.txt"),
        (ReportFiles(trades=Path("trades.txt")), r"the table of trades must end with \.csv"),
        (ReportFiles(text=Path("file.txt/report.txt")), "file.txt is not a folder this user can write to"),
        (ReportFiles(html=Path("no/such/report.html")), "no does not exist, and only the last folder is made"),
    ],
    ids=["a folder", "no page", "no text", "no table", "below a file", "two folders to make"],
)
def test_what_cannot_be_written_is_refused_beforehand(
    files: ReportFiles, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=says):
        files.checked()


@pytest.mark.parametrize(
    ("files", "content"),
    [
        (ReportFiles(html=Path("index.html")), "<!DOCTYPE html><title>my page</title>"),
        (ReportFiles(text=Path("notes.txt")), "to buy: milk\n"),
        (ReportFiles(trades=Path("AAPL.csv")), "timestamp,open,high,low,close,volume\n"),
    ],
    ids=["page", "text", "table"],
)
def test_a_file_that_is_no_report_of_ours_is_not_replaced(
    files: ReportFiles, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (path,) = files.wanted
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"is there already .* it would be lost"):
        files.checked()
    assert path.read_text() == content
    path.write_text("")
    assert files.checked().wanted == (tmp_path / path,), "an empty file holds nothing that could be lost"


def test_an_earlier_report_is_replaced(tmp_path: Path) -> None:
    files = ReportFiles(html=tmp_path / "report.HTM", text=tmp_path / "report.txt", trades=tmp_path / "trades.csv")
    written = files.checked().write(report())
    before = [path.read_text() for path in written]
    assert files.checked().write(report()) == written
    assert [path.read_text() for path in written] == before


def test_a_disk_that_refuses_is_told_of_with_the_name_of_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, _: bytes) -> None:
        raise StorageError("no space is left on the disk", where=f"{path.parent}/.a1b2c3.tmp", remedy="free some space")

    monkeypatch.setattr(report_files, "replace_file", refused)
    with pytest.raises(StorageError, match=r"report\.html: the report cannot be written: no space is left"):
        ReportFiles(html=tmp_path / "report.html").write(report())
