"""`toto-ops symbols list | remove`: how every symbol stands, and letting go of one that left its universe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from toto_ops.cli.console import OUT, AsJson, errors_shown, print_json, print_table

if TYPE_CHECKING:
    from toto_ops.pipeline.symbol_states import SymbolState

app = typer.Typer(help="Symbols of the universes: list, remove.", no_args_is_help=True)

WAIT_SECONDS = 600.0


@app.command("list")
def list_symbols(
    universe: Annotated[str | None, typer.Argument(help="One universe; all by default.")] = None, as_json: AsJson = False
) -> None:
    """List every symbol: served, ended, quarantined, waiting, new or removed, and why."""
    from deploy import symbols
    from toto_ops.configuration import Settings
    from toto_ops.pipeline.project import Project

    with errors_shown(as_json=as_json):
        project = Project(Settings())
        chosen = [project.universe(universe)] if universe else list(project.universes.universes.values())
        states = {one.name: symbols.list_symbols(project, one) for one in chosen}
    if as_json:
        print_json({name: [state.model_dump(mode="json") for state in found] for name, found in states.items()})
        return
    for name, found in states.items():
        print_table(f"symbols of {name}", [symbol_row(state) | {"partition": state.partition} for state in found])


@app.command("remove")
def remove(
    universe: Annotated[str, typer.Argument(help="Universe the symbol left.")],
    symbol: Annotated[str, typer.Argument(help="Symbol that is no member any more.")],
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for runs of this universe to end.")] = WAIT_SECONDS,
    as_json: AsJson = False,
) -> None:
    """Remove the partition of a symbol that left its universe; what is stored of it stays."""
    from deploy import symbols
    from toto_ops.configuration import Settings
    from toto_ops.pipeline.project import Project

    with errors_shown(as_json=as_json):
        project = Project(Settings())
        folder = symbols.remove_symbol(project, project.universe(universe), symbol, wait)
    if as_json:
        print_json({"universe": universe, "removed": symbol.upper(), "data": folder})
    else:
        OUT.print(
            f"{symbol.upper()} is no partition of {universe} any more; its data stays in {folder}",
            highlight=False,
            soft_wrap=True,
        )


def symbol_row(state: SymbolState) -> dict[str, Any]:
    """One symbol as a row of a table."""
    return {
        "symbol": state.symbol,
        "status": state.status,
        "bars": state.bars,
        "first close": None if state.first_close is None else f"{state.first_close:%Y-%m-%d}",
        "last close": None if state.last_close is None else f"{state.last_close:%Y-%m-%d}",
        "reason": state.reason,
    }
