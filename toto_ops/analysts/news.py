"""The news analyst reads published sentiment and abstains where nothing was published."""

from __future__ import annotations

import torch
from torch import Tensor

from toto_ops.analysts.opinion import Opinion, feature
from toto_ops.analysts.strategy import NewsConfig


def news_opinion(state: Tensor, config: NewsConfig) -> Opinion:
    """Opinion on `[..., 34]` states from `news_sentiment` and `macro_sentiment`.

    The confidence is the larger of both magnitudes: neutral or absent sentiment is no vote, rather than a vote for
    doing nothing.
    """
    news, macro = feature(state, "news_sentiment"), feature(state, "macro_sentiment")
    signal = torch.tanh(config.gain * (config.news_share * news + (1.0 - config.news_share) * macro))
    return Opinion(signal, torch.maximum(news.abs(), macro.abs()).clamp(0.0, 1.0))
