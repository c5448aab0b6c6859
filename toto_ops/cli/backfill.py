"""`toto-ops backfill`: take new symbols into the served market, without training anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from toto_ops.cli.console import ERR, EXIT_ERROR, OUT, AsJson, errors_shown, print_json, print_table
from toto_ops.cli.progress import StepDisplay, unseen
from toto_ops.cli.symbols import symbol_row
from toto_ops.errors import SymbolNameError

if TYPE_CHECKING:
    from deploy.launch import Backfill
    from toto_ops.pipeline.project import Project
    from toto_ops.pipeline.symbol_states import SymbolState
    from toto_ops.universes import Universe


def backfill(
    universe: Annotated[str, typer.Argument(help="Universe whose new symbols are taken in.")],
    symbols: Annotated[
        list[str] | None,
        typer.Option("--symbols", help="Symbols, repeated or separated by commas; every new one by default.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take new symbols into the served market and say what became of each; the next retraining trains on them.

    Symbols that are named are tried again even if their source has not changed. Exit code 0 means the pipeline worked,
    whether or not every symbol could join.
    """
    from toto_ops.configuration import Settings
    from toto_ops.pipeline.project import Project

    with errors_shown(as_json=as_json):
        project = Project(Settings())
        chosen = project.universe(universe)
        named = None if symbols is None else _named(symbols)
        try:
            done = _launch(project, chosen, named, quiet=as_json)
        except KeyboardInterrupt:
            ERR.print("interrupted; what had joined stays, all else is as it was. Run it again to go on.", soft_wrap=True)
            raise
        states = _states(project, chosen, done)
    if as_json:
        print_json(_content(chosen, done, states))
    else:
        _print(chosen, done, states)
    if done.status == "failed":
        raise typer.Exit(EXIT_ERROR)


def _named(parts: list[str]) -> list[str]:
    """Symbols as typed. None at all is a variable of a script that was empty, and must not pass for "nothing new"."""
    names = [name.strip() for part in parts for name in part.split(",") if name.strip()]
    if not names:
        raise SymbolNameError("--symbols names no symbol", remedy="name one, or leave --symbols out to take in every new one")
    return names


def _launch(project: Project, universe: Universe, named: list[str] | None, *, quiet: bool) -> Backfill:
    from deploy import launch

    if quiet:
        return launch.backfill(project, universe, named, unseen)
    with StepDisplay(universe) as display:
        return launch.backfill(project, universe, named, display.show)


def _states(project: Project, universe: Universe, done: Backfill) -> list[SymbolState]:
    from toto_ops.pipeline.symbol_states import symbol_states

    return [state for state in symbol_states(project, universe, done.symbols) if state.symbol in done.symbols]


def _content(universe: Universe, done: Backfill, states: list[SymbolState]) -> dict[str, Any]:
    return {
        "universe": universe.name,
        "status": done.status,
        "runs": list(done.runs),
        "failures": list(done.failures),
        "symbols": [
            {**state.model_dump(mode="json", exclude={"partition", "status"}), "status": _became(state, done)} for state in states
        ],
    }


def _print(universe: Universe, done: Backfill, states: list[SymbolState]) -> None:
    if done.status == "failed":
        OUT.print(f"[bold red]{universe.name}: the pipeline failed[/]; what serves is as it was, but for symbols that joined")
        for failure in done.failures:
            OUT.print(f"  {failure}", markup=False, highlight=False, soft_wrap=True)
        OUT.print(f"stack traces: `make dev`, run {', '.join(done.runs)}", highlight=False)
    elif done.status == "nothing_new":
        OUT.print(f"[green]{universe.name} has nothing new to take in.[/] No run was started.")
    if states:
        rows = [symbol_row(state) | {"status": _became(state, done)} for state in states]
        print_table(f"symbols of {universe.name}", rows)


def _became(state: SymbolState, done: Backfill) -> str:
    """Its status now, told from before: what this launch took in joined."""
    if state.status == "served":
        return "joined" if state.symbol in done.tried else "served already"
    return state.status
