"""Data Docs: the validation results of one run as pages that open from any folder, without a server or a network.

Great Expectations renders each result; the page around it is ours, because its own loads styles and scripts from half a
dozen hosts and links to pages of a site that is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from toto_ops.market.quality import QualityReport
from toto_ops.universes import checked_symbol

INDEX = "index.html"
TEMPLATES = Path(__file__).parent / "templates"


def write_data_docs(reports: Sequence[QualityReport], folder: Path, *, universe: str) -> None:
    """Write an index and one page per symbol.

    Parameters
    ----------
    reports
        Verdicts of one run, in any order.
    folder
        An existing folder; `index.html` and `<SYMBOL>.html` are written there.

    Raises
    ------
    SymbolNameError
        If the symbol of a report is not fit for the name of a file.
    """
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    environment.filters["moment"] = _moment
    ordered = sorted(reports, key=lambda report: report.symbol)
    page = environment.get_template("data_docs_symbol.html.jinja")
    for report in ordered:
        html = page.render(report=report, universe=universe, sections=_sections(report.gx_results))
        (folder / f"{checked_symbol(report.symbol)}.html").write_text(html, encoding="utf-8")
    html = environment.get_template("data_docs_index.html.jinja").render(reports=ordered, universe=universe)
    (folder / INDEX).write_text(html, encoding="utf-8")


def _sections(gx_results: dict[str, Any] | None) -> Markup | None:
    """What was expected of each column and what was found, as Great Expectations renders it."""
    if gx_results is None:
        return None
    from great_expectations.core import expectationSuiteValidationResultSchema
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView

    view: Any = DefaultJinjaPageView(custom_views_directory=str(TEMPLATES))
    document = ValidationResultsPageRenderer().render(expectationSuiteValidationResultSchema.load(gx_results))
    html: str = view.render(document, template="data_docs_sections.jinja")
    # Its content is column names, numbers, stamps and ratios: nothing a source could smuggle markup through.
    return Markup("\n".join(line for line in html.splitlines() if line.strip()))  # noqa: S704


def _moment(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}" if moment else "none"
