"""Several universes in one: whose bars a symbol has, and what its data follow."""

from __future__ import annotations

from pathlib import Path

import pytest

from toto_ops.configuration import parse_config
from toto_ops.errors import BarDataError, ConfigError, SymbolNameError
from toto_ops.market.sources import open_source, part_of
from toto_ops.market.universe_symbols import universe_symbols
from toto_ops.universes import UniverseFile

HEADER = "timestamp,open,high,low,close,volume\n"


def entry(folder: Path, **changes: object) -> dict[str, object]:
    return {
        "asset_class": "crypto",
        "source": {"kind": "csv", "folder": str(folder)},
        "calendar": "24/7",
        "periods_per_year": 365,
        "cadence": "0 6 1 * *",
        "costs": {"commission": 0.001},
        "volume_unit": "quote",
        "adjustment": "none",
        **changes,
    }


def both(**changes: object) -> dict[str, object]:
    return {
        "source": {"kind": "combined", "universes": ["coins", "shares"]},
        "periods_per_year": 617,
        "cadence": "0 6 1 * *",
        **changes,
    }


def write(folder: Path, *symbols: str) -> Path:
    folder.mkdir()
    for symbol in symbols:
        (folder / f"{symbol}.csv").write_text(f"{HEADER}2024-01-02,1,1,1,{len(symbol)},1\n")
    return folder


def parsed(entries: dict[str, object]) -> UniverseFile:
    return parse_config({"schema_version": 1, "universes": entries}, UniverseFile, Path("universes.yaml"))


@pytest.fixture
def universes(tmp_path: Path) -> UniverseFile:
    coins = entry(write(tmp_path / "coins", "BTC", "ETH"))
    shares = entry(write(tmp_path / "shares", "AAPL"), asset_class="stock", calendar="XNYS", costs={"commission": 0.0})
    return parsed({"both": both(max_bar_age_days=9.0), "coins": coins, "shares": shares})


def test_it_has_the_symbols_of_all_its_parts(universes: UniverseFile) -> None:
    together = universes.universe("both")
    assert universe_symbols(together, open_source(together)) == ("AAPL", "BTC", "ETH")


def test_a_symbol_is_read_from_the_universe_it_comes_from(universes: UniverseFile) -> None:
    together, coins = universes.universe("both"), universes.universe("coins")
    source = open_source(together)
    assert source.part("ETH") == "coins"
    assert source.read("ETH").equals(open_source(coins).read("ETH"))
    assert source.fingerprint("ETH") == open_source(coins).fingerprint("ETH")


def test_data_of_a_symbol_follow_its_part_under_the_name_of_the_whole(universes: UniverseFile) -> None:
    together = universes.universe("both")
    source = open_source(together)
    share = part_of(together, source, "AAPL")
    assert (share.name, share.calendar, share.asset_class, share.costs.rate) == ("both", "XNYS", "stock", 0.0)
    assert share.max_bar_age_days == 9.0
    assert part_of(together, source, "BTC").costs.rate == pytest.approx(0.001)


def test_a_universe_without_parts_is_its_own(universes: UniverseFile) -> None:
    coins = universes.universe("coins")
    assert part_of(coins, open_source(coins), "BTC") is coins


def test_a_symbol_that_two_parts_have_is_rejected_and_the_others_go_on(tmp_path: Path) -> None:
    coins, shares = write(tmp_path / "coins", "BTC", "COIN"), write(tmp_path / "shares", "COIN")
    together = parsed({"both": both(), "coins": entry(coins), "shares": entry(shares)}).universe("both")
    source = open_source(together)
    assert source.discover().symbols == ("BTC",)
    assert source.discover().rejected["COIN"] == "COIN is in coins and in shares"
    with pytest.raises(SymbolNameError, match="COIN is in coins and in shares"):
        source.read("COIN")


def test_an_unknown_symbol_names_the_parts(universes: UniverseFile) -> None:
    with pytest.raises(BarDataError, match="XRP is in none of coins, shares"):
        open_source(universes.universe("both")).read("XRP")


def test_what_comes_from_the_parts_cannot_be_said_again(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="both: calendar, costs of a combined universe come from its parts"):
        parsed({"both": both(calendar="24/7", costs={"commission": 0.0}), "coins": entry(tmp_path), "shares": entry(tmp_path)})


def test_a_universe_cannot_be_combined_with_itself(tmp_path: Path) -> None:
    twice = both(source={"kind": "combined", "universes": ["coins", "coins"]})
    with pytest.raises(ConfigError, match=r"both\.source\.combined\.universes`: names a universe twice"):
        parsed({"both": twice, "coins": entry(tmp_path)})


@pytest.mark.parametrize("name", ["nowhere", "both"])
def test_only_universes_of_their_own_are_combined(tmp_path: Path, name: str) -> None:
    source = {"kind": "combined", "universes": ["coins", name]}
    with pytest.raises(ConfigError, match=f"{name} is not a universe of its own"):
        parsed({"both": both(source=source), "coins": entry(tmp_path)})


def test_bars_of_different_length_are_not_combined(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bars of different length"):
        parsed({"both": both(), "coins": entry(tmp_path, bar="1h"), "shares": entry(tmp_path)})
