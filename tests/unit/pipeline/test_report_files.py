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
        (ReportFiles(text=Path("file.txt/report.txt")), "file.txt is not a folder this user can write to"),
        (ReportFiles(html=Path("report"), trades=Path("report")), "two reports would be this file"),
    ],
    ids=["a folder", "below a file", "twice the same"],
)
def test_what_cannot_be_written_is_refused_beforehand(
    files: ReportFiles, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=says):
        files.checked()


def test_a_disk_that_refuses_is_told_of_with_the_name_of_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, _: bytes) -> None:
        raise StorageError("no space is left on the disk", where=f"{path.parent}/.a1b2c3.tmp", remedy="free some space")

    monkeypatch.setattr(report_files, "replace_file", refused)
    with pytest.raises(StorageError, match=r"report\.html: the report cannot be written: no space is left"):
        ReportFiles(html=tmp_path / "report.html").write(report())
