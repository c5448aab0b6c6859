"""What all pages share: where their templates are, and the filters that write figures in them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toto_ops.evaluation.findings.documents import Target
from toto_ops.evaluation.reports.figures import (
    WRITERS,
    Figure,
    aim,
    day,
    fine_percent,
    interval,
    measured,
    measured_interval,
    moment,
    optional,
    percent,
    price,
    ratio,
    required,
)
from toto_ops.evaluation.statistics.bootstrap import Estimate

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"

PARTS = TEMPLATES / "parts"
"""Templates that pages include."""


def page_environment(*folders: Path) -> Environment:
    """Where the templates of `folders` and of the reports are rendered, with the parts and the filters they share."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader((*folders, TEMPLATES)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= _FILTERS
    return environment


def _value(estimate: Estimate, figure: Figure) -> str:
    return optional(figure.write)(estimate.value)


def _interval(estimate: Estimate, figure: Figure) -> str:
    return interval(estimate.low, estimate.high, figure.write)


def _bounds(estimate: Estimate, written_as: str) -> str:
    """The interval of an estimate that is no figure of a performance."""
    return interval(estimate.low, estimate.high, percent if written_as == "percent" else ratio)


def _target_value(target: Target) -> str:
    return optional(WRITERS[target.unit])(target.measured.value)


def _target_interval(target: Target) -> str:
    return interval(target.measured.low, target.measured.high, WRITERS[target.unit])


def _embedded(image: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(image).decode("ascii")


_FILTERS: dict[str, Callable[..., Any]] = {
    "value": _value,
    "interval": _interval,
    "bounds": _bounds,
    "percent": optional(percent),
    "fine_percent": optional(fine_percent),
    "ratio": optional(ratio),
    "day": day,
    "moment": moment,
    "price": price,
    "measured": measured,
    "measured_interval": measured_interval,
    "required": required,
    "aim": aim,
    "target_value": _target_value,
    "target_interval": _target_interval,
    "embedded": _embedded,
}
