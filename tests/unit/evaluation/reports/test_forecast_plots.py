from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest

from toto_ops.errors import InsufficientDataError
from toto_ops.evaluation.forecasts.fans import Fans
from toto_ops.evaluation.reports.forecast_plots import MOST_POINTS, embedding_plot, fan_plot, principal_components, trend_regimes

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def fans(count: int) -> Fans:
    generator = np.random.default_rng(0)
    close = 100.0 * np.exp(np.cumsum(generator.normal(0, 0.01, 120)))
    origins = np.linspace(0, 100, count).astype(np.intp)
    spread = np.linspace(0.95, 1.05, 9) ** np.sqrt(np.arange(1, 11))[:, None]
    moments = np.datetime64("2020-01-01", "us") + np.arange(120) * np.timedelta64(1, "D")
    return Fans("AAPL", moments, close, origins, close[origins][:, None, None] * spread)


def pixels(png: bytes) -> np.ndarray:
    from matplotlib.image import imread

    return imread(BytesIO(png), format="png")


def test_fans_are_drawn_the_same_every_time_and_each_shows():
    one = fan_plot(fans(3))
    assert one.startswith(PNG_SIGNATURE)
    assert one == fan_plot(fans(3))
    assert not np.array_equal(pixels(one), pixels(fan_plot(fans(2))))


def test_principal_components_are_the_eigenvectors_of_the_covariance():
    points = np.random.default_rng(0).normal(size=(50, 6)) * np.arange(1, 7)
    found, shares = principal_components(points)
    variances, axes = np.linalg.eigh(np.cov(points.T))
    assert np.abs(found) == pytest.approx(np.abs((points - points.mean(axis=0)) @ axes[:, [-1, -2]]))
    assert shares == pytest.approx(variances[[-1, -2]] / variances.sum())
    assert np.array_equal(found, principal_components(points.copy())[0])


def test_mirrored_points_have_a_mirrored_picture():
    points = np.random.default_rng(1).normal(size=(20, 4))
    assert principal_components(-points)[0] == pytest.approx(-principal_components(points)[0])


@pytest.mark.parametrize("points", [np.zeros((5, 3)), np.arange(5.0)[:, None]], ids=["all-the-same", "one-dimension"])
def test_points_that_fill_no_plane_have_a_picture_all_the_same(points):
    found, shares = principal_components(points)
    assert found.shape == (5, 2)
    assert np.isfinite(found).all()
    assert shares[1] == 0.0
    assert embedding_plot(points, ["up"] * 5).startswith(PNG_SIGNATURE)


def test_what_is_not_known_is_left_out_and_not_drawn_as_zero():
    generator = np.random.default_rng(2)
    embeddings, regimes = generator.normal(size=(30, 8)), ["up", "down", "flat"] * 10
    unknown = np.full((3, 8), np.nan)
    assert embedding_plot(embeddings, regimes) == embedding_plot(np.vstack([unknown, embeddings]), ["up"] * 3 + regimes)
    with pytest.raises(InsufficientDataError, match="0 of 3 embeddings are known"):
        embedding_plot(unknown, ["up"] * 3)


def test_every_embedding_needs_its_regime():
    with pytest.raises(ValueError, match="3 embeddings have 2 regimes"):
        embedding_plot(np.ones((3, 2)), ["up", "down"])


def test_of_many_points_evenly_spaced_ones_are_drawn():
    embeddings = np.random.default_rng(3).normal(size=(2 * MOST_POINTS, 3)).astype(np.float32)
    assert embedding_plot(embeddings, ["up"] * len(embeddings)) == embedding_plot(embeddings[::2], ["up"] * MOST_POINTS)


def test_trend_regimes_are_named_and_those_not_known_yet_are_called_so():
    one_hot = np.vstack([np.eye(4), np.full((1, 4), np.nan), np.zeros((1, 4))])
    assert trend_regimes(one_hot) == ["bull", "bear", "volatile", "sideways", "unknown", "unknown"]
