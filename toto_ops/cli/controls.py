"""`toto-ops controls`: is the judge to be believed? Markets whose right verdict is known, through the whole pipeline."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from toto_ops.cli.console import OUT, AsJson, errors_shown, print_json, print_table

if TYPE_CHECKING:
    from toto_ops.evaluation.controls.outcome import ControlOutcome, ControlsSummary, GateTally, Proportion

EXIT_NOT_MET = 2


def controls(
    null: Annotated[int, typer.Option("--null", min=0, help="Markets in which nothing can be known.")] = 300,
    planted: Annotated[int, typer.Option("--planted", min=0, help="Markets with trends that last.")] = 20,
    leaked: Annotated[int, typer.Option("--leaked", min=0, help="Markets whose next return is published.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same markets and the same verdicts.")] = 0,
    line: Annotated[str, typer.Option(help="Line of models to train.")] = "bc",
    profile: Annotated[
        str, typer.Option(help="How the line is trained: `shipped`, as configured, or `short`, from one seed.")
    ] = "shipped",
    universe: Annotated[
        list[str] | None, typer.Option(help="Whose costs, limits and gates hold; all with daily bars by default.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes; results do not depend on it.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Run the whole pipeline on markets that must, and that must not, lead to a promotion; what serves is untouched.

    Exit code 2 when a demand is not met. Interrupted, it goes on where it stopped.
    """
    from toto_ops.configuration import Settings

    with errors_shown(as_json=as_json):
        from toto_ops.pipeline.controls import ControlsRequest, reports_folder, run_controls

        settings = Settings()
        request = ControlsRequest(
            leaked=leaked,
            planted=planted,
            null=null,
            seed=seed,
            line=line,
            profile=profile,
            universes=tuple(universe or ()),
            workers=workers,
        )
        try:
            summary = run_controls(settings, request, _unseen if as_json else _show)
        except KeyboardInterrupt:
            OUT.print("interrupted; the markets judged so far are kept, and the same command goes on from there")
            raise
        reports = reports_folder(settings, summary.namespace)
    if as_json:
        print_json(summary.model_dump(mode="json") | {"met": summary.met, "reports": str(reports)})
    else:
        _print(summary)
        OUT.print(f"reports of what was not refused: {reports}", highlight=False, soft_wrap=True)
    if not summary.met:
        raise typer.Exit(EXIT_NOT_MET)


def _show(outcome: ControlOutcome, done: int, total: int) -> None:
    end = "\r" if sys.stdout.isatty() and done < total else "\n"
    told = f"{done:>4} of {total}  {outcome.name:<12} {outcome.made_of:<28} {outcome.verdict:<12} {outcome.seconds:5.1f} s"
    OUT.print(f"{told:<90}", end=end, highlight=False)


def _unseen(_outcome: ControlOutcome, _done: int, _total: int) -> None:
    """For output as JSON."""


def _print(summary: ControlsSummary) -> None:
    OUT.print(
        f"line [bold]{summary.line}[/], profile [bold]{summary.profile}[/], rules and gates of {', '.join(summary.universes)}, "
        f"seed {summary.seed}, {summary.seconds_per_market:.1f} s a market",
        highlight=False,
    )
    if summary.null is not None:
        null = summary.null
        rows = [
            {"null markets": "promoted", **_cells(null.promoted)},
            *({"null markets": f"promoted, {source}", **_cells(share)} for source, share in null.promoted_by_source.items()),
            {"null markets": "passed by the deflated Sharpe ratio alone", **_cells(null.passed_significance)},
            {"null markets": "passed by all other gates", **_cells(null.passed_all_but_significance)},
        ]
        print_table("nothing to be known", rows)
        print_table("gates on null markets", [_gate(tally) for tally in null.gates])
    if summary.planted is not None:
        print_table("gates on planted markets", [_gate(tally) for tally in summary.planted.gates])
        OUT.print(
            f"planted: the optimum reaches a Sharpe ratio of {summary.planted.oracle_sharpe:.2f}, in closed form "
            f"{summary.planted.expected_oracle_sharpe:.2f}; the policies {summary.planted.sharpe:.2f}",
            highlight=False,
        )
    print_table("what a believable system must show", [demand.model_dump() for demand in summary.demands])


def _cells(share: Proportion) -> dict[str, str]:
    return {"count": f"{share.count} of {share.of}", "95 % bounds": f"{share.low:.2%} to {share.high:.2%}"}


def _gate(tally: GateTally) -> dict[str, object]:
    return {
        "gate": tally.gate if tally.kind == "gate" else f"{tally.gate} (alarm)",
        "passed": tally.passed,
        "rejected": tally.rejected,
        "rejected by it alone": tally.rejected_alone,
        "no say": tally.insufficient,
    }
