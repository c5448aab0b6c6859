"""A cross-validation as tables, for terminals and run metadata alike."""

from __future__ import annotations

from statistics import median

from toto_ops.evaluation.backtests.cross_validation import CrossValidation
from toto_ops.evaluation.reports.figures import cell, percent, ratio

Row = dict[str, str | int]


def block_rows(document: CrossValidation) -> list[Row]:
    """One row per policy and block."""
    return [
        {
            "fold": block.fold + 1,
            "path": block.path + 1,
            "from": f"{block.span.after:%Y-%m-%d}",
            "to": f"{block.span.until:%Y-%m-%d}",
            "bars": block.bars,
            "return": cell(block.performance.total_return, percent),
            "Sharpe": cell(block.performance.sharpe, ratio),
            "drawdown": cell(block.performance.max_drawdown, percent),
            "equal weight": cell(block.equal_weight.total_return, percent),
        }
        for block in document.blocks
    ]


def path_rows(document: CrossValidation) -> list[Row]:
    """One row per path."""
    return [
        {
            "path": path.path + 1,
            "bars": len(path.equity),
            "return": cell(path.figures.total_return, percent),
            "Sharpe": cell(path.figures.sharpe, ratio),
            "drawdown": cell(path.figures.max_drawdown, percent),
            "Sharpe of equal weight": cell(path.equal_weight.sharpe, ratio),
            "Sharpe ahead of it": cell(path.against_equal_weight.sharpe, ratio),
        }
        for path in document.paths
    ]


def distribution(document: CrossValidation) -> str:
    """How the Sharpe ratios of the paths scatter, in a sentence."""
    sharpes = document.sharpes
    if not sharpes:
        return "no path has a Sharpe ratio: no policy traded"
    if len(sharpes) == 1:
        return f"Sharpe ratio of the stitched path: {sharpes[0]:.2f}"
    return (
        f"Sharpe ratios of {len(sharpes)} paths: {sharpes[0]:.2f} to {sharpes[-1]:.2f}, median {median(sharpes):.2f}; "
        f"{sum(sharpe > 0 for sharpe in sharpes)} above 0"
    )
