"""What may be asked of a backtest."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from toto_ops.configuration import parse_config
from toto_ops.errors import ConfigError
from toto_ops.pipeline.backtest_request import BacktestRequest


def asked(**fields: object) -> BacktestRequest:
    return parse_config({"universe": "stocks", **fields}, BacktestRequest, Path("command line"))


@pytest.mark.parametrize(
    ("symbols", "meant"),
    [("all", None), (None, None), ("AAPL", ("AAPL",)), ("aapl, MSFT,AAPL", ("AAPL", "MSFT")), (["msft"], ("MSFT",))],
    ids=["all", "nothing", "one", "several", "a list"],
)
def test_symbols_are_all_or_a_list(symbols: object, meant: tuple[str, ...] | None) -> None:
    assert asked(symbols=symbols).symbols == meant


def test_both_days_are_included() -> None:
    request = asked(start_date="2024-01-02", end_date="2024-01-31")
    assert request.after == datetime(2024, 1, 2, tzinfo=UTC)
    assert request.until == datetime(2024, 2, 1, tzinfo=UTC), "a bar that ends at midnight belongs to the day that ended"


def test_open_ends_stay_open() -> None:
    assert (asked().after, asked().until, asked().initial_capital) == (None, None, None)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"symbols": "../etc"}, "is not a symbol"),
        ({"symbols": "AAPL,,MSFT"}, "is not a symbol"),
        ({"start_date": "2024-02-01", "end_date": "2024-01-01"}, "lies after"),
        ({"start_date": "yesterday"}, "start_date"),
        ({"end_date": "9999-12-31"}, "end_date"),
        ({"initial_capital": 0}, "`initial_capital`: Input should be greater than or equal to 0.000001"),
        ({"initial_capital": -5}, "greater than or equal to 0.000001"),
        ({"initial_capital": 1e300}, "less than or equal to 1000000000000000"),
        ({"initial_capital": float("inf")}, "finite"),
        ({"initial_capital": float("nan")}, "finite"),
        ({"process_data": True, "raw_data_dir": "raw"}, "process_data needs raw_data_dir"),
        ({"raw_data_dir": "raw"}, "only read with process_data"),
        ({"symbols": "AAPL,MSFT", "select_symbols": 3}, "asks for 3 of 2"),
        ({"select_symbols": 0}, "greater than or equal to 1"),
        ({"strategy": "strategy.yaml"}, "`strategy` is unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_makes_no_sense_is_refused(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        asked(**fields)
