"""A cross-validation as tables, for terminals and run metadata alike."""

from __future__ import annotations

from statistics import median

from toto_ops.evaluation.bootstrap import Estimate
from toto_ops.evaluation.cross_validation import CrossValidation

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
            "return": _figure(block.performance.total_return),
            "Sharpe": _figure(block.performance.sharpe),
            "drawdown": _figure(block.performance.max_drawdown),
            "equal weight": _figure(block.equal_weight.total_return),
        }
        for block in document.blocks
    ]


def path_rows(document: CrossValidation) -> list[Row]:
    """One row per path."""
    return [
        {
            "path": path.path + 1,
            "bars": len(path.equity),
            "return": _figure(path.figures.total_return),
            "Sharpe": _figure(path.figures.sharpe),
            "drawdown": _figure(path.figures.max_drawdown),
            "Sharpe of equal weight": _figure(path.equal_weight.sharpe),
            "Sharpe ahead of it": _figure(path.against_equal_weight.sharpe),
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


def _figure(estimate: Estimate) -> str:
    if estimate.value is None:
        return "-"
    interval = "" if estimate.low is None or estimate.high is None else f" [{estimate.low:.2f}, {estimate.high:.2f}]"
    return f"{estimate.value:.2f}{interval}"
