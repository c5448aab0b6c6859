"""What a backtest is asked for: the same fields on the command line and in the launchpad of Dagster."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from toto_ops.capital import Capital
from toto_ops.configuration import StrictModel
from toto_ops.errors import SymbolNameError
from toto_ops.universes import checked_symbol

ALL_SYMBOLS = "all"


class BacktestRequest(StrictModel):
    """One backtest.

    Attributes
    ----------
    model, strategy_path
        Who decides: a registered model, or the analysts' ensemble with the numbers of a strategy file. With both, both are
        run beside each other; with neither, what serves now.
    start_date, end_date
        First and last day, UTC, both included. A bar belongs to the day on which it ends. By default from the first day
        that nobody in it knows, to the newest bar.
    """

    universe: str
    symbols: tuple[str, ...] | None = Field(default=None, description="None: every symbol of the data")
    model: str | None = None
    strategy_path: Path | None = None
    start_date: date | None = None
    end_date: date | None = Field(default=None, lt=date.max)
    initial_capital: Capital | None = Field(default=None, description="money; None: the universe's capital")
    select_symbols: int | None = Field(default=None, ge=1, description="how many symbols to choose, on the validation span")
    process_data: bool = Field(default=False, description="read, validate and process `raw_data_dir` first")
    raw_data_dir: Path | None = None
    processed_data_dir: Path | None = Field(default=None, description="alone: what was processed there before")

    @field_validator("symbols", mode="before")
    @classmethod
    def _list_of_symbols(cls, symbols: Any) -> Any:
        """`all`, or names separated by commas; a list of names stays one."""
        if isinstance(symbols, str):
            symbols = [part.strip() for part in symbols.split(",")]
        if symbols is None or symbols == [ALL_SYMBOLS]:
            return None
        try:
            return tuple(dict.fromkeys(checked_symbol(str(name)) for name in symbols))
        except SymbolNameError as error:
            raise ValueError(f"{error.problem}: {error.remedy}") from error

    @field_validator("symbols")
    @classmethod
    def _some_symbol(cls, symbols: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if symbols is not None and not symbols:
            raise ValueError(f"name symbols separated by commas, or {ALL_SYMBOLS}")
        return symbols

    @model_validator(mode="after")
    def _belongs_together(self) -> BacktestRequest:
        if self.start_date and self.end_date and self.start_date > self.end_date:
            raise ValueError(f"start_date {self.start_date} lies after end_date {self.end_date}")
        if self.process_data and (self.raw_data_dir is None or self.processed_data_dir is None):
            raise ValueError("process_data needs raw_data_dir, with CSV files, and processed_data_dir, for what comes of them")
        if self.raw_data_dir is not None and not self.process_data:
            raise ValueError("raw_data_dir is only read with process_data")
        if self.select_symbols is not None and self.symbols is not None and self.select_symbols > len(self.symbols):
            raise ValueError(f"select_symbols asks for {self.select_symbols} of {len(self.symbols)} symbols")
        return self

    @property
    def after(self) -> datetime | None:
        """The moment before the first bar: a bar that ends at midnight belongs to the day it ended."""
        return None if self.start_date is None else datetime.combine(self.start_date, time(0), UTC)

    @property
    def until(self) -> datetime | None:
        """Close of the last bar that may be looked at."""
        return None if self.end_date is None else datetime.combine(self.end_date + timedelta(days=1), time(0), UTC)
