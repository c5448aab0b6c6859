"""Sentiment counts from its publication on, for as long as configured, and only if it can be understood."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from tests.unit.features.bar_histories import DAILY, START, bars_of
from toto_ops.errors import BarDataError
from toto_ops.features.compute import FeatureConfig, compute_features
from toto_ops.features.sentiment import SENTIMENT_SCHEMA, SentimentConfig, read_sentiment, with_sentiment

DAY = timedelta(days=1)
HEADER = "published_at,news_sentiment,macro_sentiment\n"
BARS = pl.concat([bars_of("AA", np.full(40, 5.0)), bars_of("BB", np.full(40, 6.0))])


@pytest.fixture
def file(tmp_path):
    def write(text: str | bytes):
        (tmp_path / "AA.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_sentiment(tmp_path, "AA")

    return write


def published(*words: tuple[str, datetime, float | None, float | None]) -> pl.DataFrame:
    return pl.DataFrame(list(words), schema=SENTIMENT_SCHEMA, orient="row")


def joined(*words: tuple[str, datetime, float | None, float | None], config: SentimentConfig | None = None) -> pl.DataFrame:
    return with_sentiment(BARS, published(*words), config or SentimentConfig())


def news(table: pl.DataFrame, symbol: str = "AA") -> list[float]:
    return table.filter(pl.col("symbol") == symbol)["news_sentiment"].to_list()


def test_a_word_counts_at_the_first_close_after_it_and_not_before() -> None:
    third_close = START + 3 * DAY
    assert news(joined(("AA", third_close, 0.5, None)))[:4] == [0, 0, 0.5, 0.5]
    assert news(joined(("AA", third_close + timedelta(microseconds=1), 0.5, None)))[:4] == [0, 0, 0, 0.5]


def test_the_latest_word_counts_and_other_symbols_hear_nothing() -> None:
    table = joined(("AA", START, 0.5, None), ("AA", START + 2 * DAY, -0.25, None))
    assert news(table)[:4] == [0.5, -0.25, -0.25, -0.25]
    assert set(news(table, "BB")) == {0}


def test_news_and_macro_age_and_arrive_apart() -> None:
    table = joined(("AA", START, 0.5, None), ("AA", START + DAY, None, -1.0)).head(3)
    assert table["news_sentiment"].to_list() == [0.5, 0.5, 0.5]
    assert table["macro_sentiment"].to_list() == [-1.0, -1.0, -1.0]


def test_old_words_are_forgotten() -> None:
    table = joined(("AA", START + DAY, 0.5, None), config=SentimentConfig(max_age_days=2))
    assert news(table)[:5] == [0.5, 0.5, 0.5, 0, 0]
    assert table["has_sentiment"].to_list()[:5] == [True, True, True, False, False]


def test_bars_keep_their_order_and_columns() -> None:
    table = joined(("BB", START, 0.1, 0.2))
    assert table.select(BARS.columns).equals(BARS)
    assert table.columns == [*BARS.columns, "news_sentiment", "macro_sentiment", "has_sentiment"]


def test_without_any_sentiment_all_is_zero() -> None:
    table = with_sentiment(BARS, None, SentimentConfig())
    assert table["news_sentiment"].sum() == table["macro_sentiment"].sum() == 0
    assert not table["has_sentiment"].any()


def test_a_neutral_word_is_not_silence() -> None:
    assert joined(("AA", START, 0.0, None))["has_sentiment"][0]


def test_known_sentiment_raises_data_health() -> None:
    words = published(("AA", START, 0.0, 0.0))
    health = compute_features(BARS, DAILY, words, FeatureConfig()).group_by("symbol").agg(pl.col("data_health").head(1))
    heard, unheard = (health.filter(pl.col("symbol") == symbol)["data_health"].explode().item() for symbol in ("AA", "BB"))
    assert heard == pytest.approx(1.0)
    assert unheard == pytest.approx(0.9)


def test_a_file_is_read_and_sorted(file) -> None:
    table = file(HEADER + "2022-01-05T12:00:00Z, 0.5,\n2022-01-04T12:00:00Z,,-1\n")
    assert table.schema == SENTIMENT_SCHEMA
    assert table.rows() == [
        ("AA", datetime(2022, 1, 4, 12, tzinfo=UTC), None, -1.0),
        ("AA", datetime(2022, 1, 5, 12, tzinfo=UTC), 0.5, None),
    ]


def test_of_two_words_at_one_moment_the_later_line_counts(file) -> None:
    words = file(HEADER + "2022-01-03T12:00:00Z,0.5,0\n2022-01-03T12:00:00Z,-0.5,0\n")
    assert news(with_sentiment(BARS, words, SentimentConfig()))[0] == -0.5


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (HEADER + "2022-01-04,1.5,0\n", r"line 2, column news_sentiment: '1.5' is no sentiment"),
        (HEADER + "2022-01-04,0,0\n2022-01-05,0,good\n", r"line 3, column macro_sentiment: 'good'"),
        (HEADER + "2022-01-04,nan,0\n", r"column news_sentiment: 'nan'"),
        (HEADER + "yesterday,0,0\n", r"line 2, column timestamp: 'yesterday'"),
        (HEADER, "has no rows"),
        ("published_at,news\n2022-01-04,0\n", "lacks the columns news_sentiment, macro_sentiment"),
        (b"\x00\xff\xfe\x01", "AA.csv"),
        ("", "cannot be read"),
    ],
)
def test_what_cannot_be_understood_is_refused_by_name(file, text: str | bytes, complaint: str) -> None:
    with pytest.raises(BarDataError, match=complaint):
        file(text)


def test_a_missing_file_is_refused(tmp_path) -> None:
    with pytest.raises(BarDataError, match=r"ZZ\.csv: cannot be read"):
        read_sentiment(tmp_path, "ZZ")
