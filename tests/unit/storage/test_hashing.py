"""Hashes: the same values, the same hash; anything else, another."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toto_ops.storage.hashing import folder_hash, table_hash, value_hash
from toto_ops.universes import Costs

TABLE = pl.DataFrame(
    {"t": [datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)], "x": [1.0, 2.0], "s": ["a", "b"]}
)


def test_a_value_hash_ignores_key_order_and_sees_values() -> None:
    assert value_hash({"a": 1, "b": [1, 2]}) == value_hash({"b": [1, 2], "a": 1})
    assert value_hash({"a": 1}) != value_hash({"a": 2})
    assert value_hash(Costs(commission=0.1)) != value_hash(Costs(commission=0.2))


def test_nan_cannot_be_hashed_as_configuration() -> None:
    with pytest.raises(ValueError, match="JSON"):
        value_hash({"a": float("nan")})


@pytest.mark.parametrize(
    "changed",
    [
        TABLE.with_columns(x=pl.Series([1.0, 2.5])),
        TABLE.with_columns(x=pl.Series([1.0, None])),
        TABLE.with_columns(s=pl.Series(["a", "c"])),
        TABLE.rename({"x": "y"}),
        TABLE.reverse(),
        TABLE.head(1),
        TABLE.with_columns(x=pl.col("x").cast(pl.Float32)),
    ],
)
def test_a_table_hash_sees_every_difference(changed: pl.DataFrame) -> None:
    assert table_hash(changed) != table_hash(TABLE)


def test_a_null_is_not_a_zero() -> None:
    assert table_hash(pl.DataFrame({"x": [0.0]})) != table_hash(pl.DataFrame({"x": [None]}, schema={"x": pl.Float64}))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=20))
def test_a_table_hash_survives_parquet(values: list[float]) -> None:
    import io

    table = pl.DataFrame({"x": values}, schema={"x": pl.Float64})
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    buffer.seek(0)
    assert table_hash(pl.read_parquet(buffer)) == table_hash(table)


def test_a_folder_hash_sees_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = folder_hash(tmp_path)
    (tmp_path / "a").write_text("2")
    assert folder_hash(tmp_path) != first
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "b").write_text("1")
    assert folder_hash(tmp_path) != first
