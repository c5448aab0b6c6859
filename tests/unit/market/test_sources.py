"""Sources list what they hold, refuse what must not become a path, and never pass for an empty universe."""

from __future__ import annotations

import os

import pytest

from toto_ops.errors import BarDataError, SourceError, SymbolNameError
from toto_ops.market.sources import SAMPLE_FOLDER, CsvFolders, open_source, source_mark
from toto_ops.market.universe_symbols import universe_symbols
from toto_ops.universes import CsvSource, Membership, SampleSource

HEADER = "timestamp,open,high,low,close,volume\n"


def bar(day: int, close: float = 2.0) -> str:
    return f"2024-01-{day:02d},1,3,0.5,{close},100\n"


def write(path, *bars: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + "".join(bars))
    return path


@pytest.mark.parametrize(("name", "count"), [("stocks", 7), ("crypto", 8)])
def test_a_universe_over_the_sample_has_the_bundled_symbols(bundled_universes, name, count):
    universe = bundled_universes[name]
    source = open_source(universe)
    assert source.discover().rejected == {}
    assert source.discover().symbols == universe_symbols(universe, source)
    assert len(source.discover().symbols) == count


def test_a_csv_folder_is_read_in_the_zone_of_its_source(bundled_universes, tmp_path):
    write(tmp_path / "aapl.csv", "2024-01-02 09:30,1,3,0.5,2,100\n")
    source = open_source(
        bundled_universes["stocks"].model_copy(update={"source": CsvSource(folder=tmp_path, timezone="America/New_York")})
    )
    assert source.discover().symbols == ("AAPL",)
    assert str(source.read("AAPL")["timestamp"][0]) == "2024-01-02 14:30:00+00:00"


def test_symbols_are_upper_cased_and_other_files_left_alone(tmp_path):
    for name in ("brk.b.csv", "BTC-USD.CSV", "x_1.csv"):
        write(tmp_path / name, bar(2))
    (tmp_path / "README.md").write_text("not bars")
    (tmp_path / "more.csv").mkdir()
    assert CsvFolders.open(tmp_path).discover().symbols == ("BRK.B", "BTC-USD", "X_1")


@pytest.mark.parametrize(
    "name", ["..x.csv", ".hidden.csv", "a b.csv", "A..B.csv", "._AAPL.csv", "é.csv", "A" * 25 + ".csv", ".csv"]
)
def test_names_not_fit_for_a_path_are_rejected_and_the_others_go_on(tmp_path, name):
    write(tmp_path / name, bar(2))
    write(tmp_path / "GOOD.csv", bar(2))
    found = CsvFolders.open(tmp_path).discover()
    assert found.symbols == ("GOOD",)
    assert "is not a symbol" in found.rejected[name]


@pytest.mark.parametrize("symbol", ["../x", "..", "/etc/passwd", "a/b", "", "A\x00B"])
def test_no_symbol_reaches_outside_the_folder(tmp_path, symbol):
    write(tmp_path / "in" / "GOOD.csv", bar(2))
    write(tmp_path / "x.csv", bar(2))
    source = CsvFolders.open(tmp_path / "in")
    with pytest.raises(SymbolNameError):
        source.read(symbol)
    with pytest.raises(SymbolNameError):
        source.fingerprint(symbol)


def test_files_that_collide_once_upper_cased_are_all_rejected(tmp_path):
    write(tmp_path / "aapl.csv", bar(2))
    write(tmp_path / "AAPL.csv", bar(2))
    write(tmp_path / "MSFT.csv", bar(2))
    if len(os.listdir(tmp_path)) < 3:  # noqa: PTH208
        pytest.skip("this file system does not tell cases apart")
    source = CsvFolders.open(tmp_path)
    assert source.discover().symbols == ("MSFT",)
    assert set(source.discover().rejected) == {"aapl.csv", "AAPL.csv"}
    with pytest.raises(SymbolNameError, match=r"AAPL\.csv and aapl\.csv are all AAPL once upper-cased"):
        source.read("AAPL")


def test_a_collision_in_one_half_rejects_the_symbol_whole(tmp_path):
    for name in ("train/AAPL.csv", "test/aapl.csv", "test/AAPL.csv", "train/MSFT.csv", "test/msft.csv"):
        write(tmp_path / name, bar(2))
    source = CsvFolders.open(tmp_path)
    assert source.discover().symbols == ("MSFT",)
    assert "train/AAPL.csv" in source.discover().rejected


def test_a_missing_folder_is_no_empty_universe(tmp_path):
    with pytest.raises(SourceError, match="cannot be listed"):
        CsvFolders.open(tmp_path / "gone")


def test_a_file_is_no_folder(tmp_path):
    with pytest.raises(SourceError, match="cannot be listed"):
        CsvFolders.open(write(tmp_path / "AAPL.csv", bar(2)))


def test_a_folder_without_bars_is_no_empty_universe(tmp_path):
    (tmp_path / "README.md").write_text("not bars")
    with pytest.raises(SourceError, match="holds no CSV file"):
        CsvFolders.open(tmp_path)


def test_an_absent_symbol_concerns_itself_alone(tmp_path):
    write(tmp_path / "GOOD.csv", bar(2))
    source = CsvFolders.open(tmp_path)
    with pytest.raises(BarDataError, match="there is no file for GONE"):
        source.read("GONE")
    assert len(source.read("good")) == 1


def test_a_file_that_vanished_since_listing_concerns_itself_alone(tmp_path):
    gone = write(tmp_path / "GONE.csv", bar(2))
    source = CsvFolders.open(tmp_path)
    gone.unlink()
    with pytest.raises(BarDataError, match="cannot be read"):
        source.read("GONE")
    with pytest.raises(BarDataError, match="cannot be read"):
        source.fingerprint("GONE")


def test_the_fingerprint_follows_the_content_alone(tmp_path):
    path = write(tmp_path / "AAPL.csv", bar(2))
    before = CsvFolders.open(tmp_path).fingerprint("AAPL")
    os.utime(path, (0, 0))
    assert CsvFolders.open(tmp_path).fingerprint("AAPL") == before
    write(path, bar(2), bar(3))
    assert CsvFolders.open(tmp_path).fingerprint("AAPL") != before


class TestTrainAndTestFolders:
    def test_test_follows_train(self, tmp_path):
        write(tmp_path / "train" / "AAPL.csv", bar(2), bar(3))
        write(tmp_path / "test" / "aapl.csv", bar(4), bar(5))
        source = CsvFolders.open(tmp_path)
        assert source.read("AAPL")["timestamp"].dt.day().to_list() == [2, 3, 4, 5]

    def test_bars_in_both_count_once(self, tmp_path):
        write(tmp_path / "train" / "AAPL.csv", bar(2), bar(3))
        write(tmp_path / "test" / "AAPL.csv", bar(3), bar(4))
        assert CsvFolders.open(tmp_path).read("AAPL")["timestamp"].dt.day().to_list() == [2, 3, 4]

    def test_bars_in_both_must_be_the_same(self, tmp_path):
        write(tmp_path / "train" / "AAPL.csv", bar(2), bar(3))
        write(tmp_path / "test" / "AAPL.csv", bar(3, close=20.0), bar(4))
        with pytest.raises(BarDataError, match="1 bars disagree with those of train/, first 2024-01-03"):
            CsvFolders.open(tmp_path).read("AAPL")

    def test_test_does_not_fill_gaps_of_train(self, tmp_path):
        write(tmp_path / "train" / "AAPL.csv", bar(2), bar(4))
        write(tmp_path / "test" / "AAPL.csv", bar(3), bar(5))
        with pytest.raises(BarDataError, match="1 bars disagree"):
            CsvFolders.open(tmp_path).read("AAPL")

    def test_missing_numbers_agree_with_missing_numbers(self, tmp_path):
        write(tmp_path / "train" / "AAPL.csv", "2024-01-03,1,3,,2,100\n")
        write(tmp_path / "test" / "AAPL.csv", "2024-01-03,1,3,nan,2,100\n", bar(4))
        assert len(CsvFolders.open(tmp_path).read("AAPL")) == 2

    def test_a_symbol_may_be_in_one_of_them_alone(self, tmp_path):
        write(tmp_path / "train" / "OLD.csv", bar(2))
        write(tmp_path / "test" / "NEW.csv", bar(4))
        source = CsvFolders.open(tmp_path)
        assert source.discover().symbols == ("NEW", "OLD")
        assert len(source.read("OLD")) == len(source.read("NEW")) == 1

    def test_the_fingerprint_covers_both(self, tmp_path):
        write(tmp_path / "train" / "AAPL.csv", bar(2))
        write(tmp_path / "test" / "AAPL.csv", bar(3))
        before = CsvFolders.open(tmp_path).fingerprint("AAPL")
        write(tmp_path / "test" / "AAPL.csv", bar(3), bar(4))
        assert CsvFolders.open(tmp_path).fingerprint("AAPL") != before

    def test_one_without_the_other_is_refused(self, tmp_path):
        write(tmp_path / "train" / "AAPL.csv", bar(2))
        with pytest.raises(SourceError, match="has no test/"):
            CsvFolders.open(tmp_path)

    def test_files_beside_them_are_refused(self, tmp_path):
        for name in ("train/A.csv", "test/A.csv", "A.csv"):
            write(tmp_path / name, bar(2))
        with pytest.raises(SourceError, match="beside train/ and test/"):
            CsvFolders.open(tmp_path)


class TestBarsBesideTheSample:
    @pytest.fixture
    def open_beside(self, bundled_universes, tmp_path):
        """Coins with `tmp_path` as the folder of further files."""

        def opened():
            universe = bundled_universes["crypto"]
            return open_source(universe.model_copy(update={"source": SampleSource(folder="daily_crypto", added=tmp_path)}))

        return opened

    def test_a_file_more_is_a_symbol_more(self, open_beside, tmp_path):
        before = open_beside()
        (tmp_path / "README.md").write_text("what goes here")
        write(tmp_path / "xmrusd.csv", bar(2), bar(3))
        source = open_beside()
        assert set(source.discover().symbols) - set(before.discover().symbols) == {"XMRUSD"}
        assert len(source.read("XMRUSD")) == 2
        assert source.fingerprint("BTCUSD") == before.fingerprint("BTCUSD")

    def test_a_file_for_a_bundled_symbol_continues_it(self, open_beside, tmp_path):
        before = open_beside()
        bundled = before.read("BTCUSD")
        mark = before.fingerprint("BTCUSD")
        lines = (SAMPLE_FOLDER / "daily_crypto" / "BTCUSD.csv").read_text().splitlines(keepends=True)
        write(tmp_path / "BTCUSD.csv", *lines[-2:], "2021-07-07T00:00:00Z,34235.19,35000,34000,34500,2.6e10\n")
        source = open_beside()
        assert len(source.read("BTCUSD")) == len(bundled) + 1
        assert source.fingerprint("BTCUSD") != mark
        assert source.last_train_stamp("BTCUSD") is None, "nothing is kept apart: the split is the configuration's"

    def test_it_may_not_rewrite_the_bundled_history(self, open_beside, tmp_path):
        write(tmp_path / "BTCUSD.csv", "2021-07-06,1,3,0.5,2,100\n", bar(2))
        with pytest.raises(BarDataError, match="1 bars disagree with those of daily_crypto/, first 2021-07-06"):
            open_beside().read("BTCUSD")

    def test_two_files_for_one_symbol_reject_it_and_are_named_in_full(self, open_beside, tmp_path):
        write(tmp_path / "xmrusd.csv", bar(2))
        write(tmp_path / "XMRUSD.csv", bar(2))
        if len(os.listdir(tmp_path)) < 2:  # noqa: PTH208
            pytest.skip("this file system does not tell cases apart")
        found = open_beside().discover()
        assert "XMRUSD" not in found.symbols
        assert set(found.rejected) == {str(tmp_path / "xmrusd.csv"), str(tmp_path / "XMRUSD.csv")}

    def test_a_missing_folder_is_an_error_and_not_a_folder_without_files(self, open_beside, tmp_path):
        tmp_path.rmdir()
        with pytest.raises(SourceError, match="cannot be listed"):
            open_beside()


def test_the_mark_of_what_cannot_be_read_says_why(tmp_path):
    write(tmp_path / "GOOD.csv", bar(2))
    write(tmp_path / "twice.csv", bar(2))
    write(tmp_path / "TWICE.csv", bar(2))
    source = CsvFolders.open(tmp_path)
    assert source_mark(source, "GOOD") == source.fingerprint("GOOD")
    assert source_mark(source, "GONE") == "unreadable: there is no file for GONE"
    if len(os.listdir(tmp_path)) == 3:  # noqa: PTH208
        assert source_mark(source, "TWICE").startswith("unreadable: TWICE cannot be read")


class TestUniverseSymbols:
    def test_configured_symbols_stay_listed_without_a_file(self, bundled_universes, tmp_path):
        write(tmp_path / "AAPL.csv", bar(2))
        universe = bundled_universes["stocks"].model_copy(update={"symbols": {"MSFT": Membership(), "AAPL": Membership()}})
        assert universe_symbols(universe, CsvFolders.open(tmp_path)) == ("AAPL", "MSFT")

    def test_without_configuration_the_source_decides(self, bundled_universes, tmp_path):
        write(tmp_path / "tsla.csv", bar(2))
        assert universe_symbols(bundled_universes["stocks"].model_copy(update={"symbols": None}), CsvFolders.open(tmp_path)) == (
            "TSLA",
        )

    def test_nothing_but_rejected_files_is_no_empty_universe(self, bundled_universes, tmp_path):
        write(tmp_path / "..x.csv", bar(2))
        with pytest.raises(SourceError, match=r"no usable symbol \(\.\.x\.csv: '\.\.x' is not a symbol"):
            universe_symbols(bundled_universes["stocks"].model_copy(update={"symbols": None}), CsvFolders.open(tmp_path))
