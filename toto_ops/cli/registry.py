"""`toto-ops registry list | show | rollback`: what is registered, what serves, and how to put the old one back."""

from __future__ import annotations

from typing import Annotated

import typer

from toto_ops.cli.console import OUT, AsJson, errors_shown, print_json, print_table

app = typer.Typer(help="Registered models: list, show, roll back.", no_args_is_help=True)

UniverseArgument = Annotated[str, typer.Argument(help="Universe, as in universes.yaml.")]


@app.command("list")
def list_versions(
    universe: Annotated[str | None, typer.Argument(help="One universe; all by default.")] = None, as_json: AsJson = False
) -> None:
    """List every version offered to serve, newest first."""
    from toto_ops.configuration import Settings
    from toto_ops.pipeline.project import Project
    from toto_ops.registry.history import registry_table

    with errors_shown(as_json=as_json):
        project = Project(Settings())
        names = [project.universe(universe).name] if universe else list(project.universes.universes)
        rows = [row.model_dump(mode="json") for row in registry_table(project.registry, names)]
    if as_json:
        print_json(rows)
        return
    columns = ("model", "version", "line", "aliases", "serves", "gates", "created_at", "knows_until")
    print_table("registered versions", [{column: _shown(row[column]) for column in columns} for row in rows])


@app.command("show")
def show(
    universe: UniverseArgument,
    version: Annotated[int | None, typer.Option(min=1, help="Version number; what serves by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show one version: data, code, configuration, gates passed, what it replaced."""
    from toto_ops.configuration import Settings
    from toto_ops.errors import StorageError
    from toto_ops.pipeline.project import Project
    from toto_ops.registry.history import incumbent, version_detail

    with errors_shown(as_json=as_json):
        project = Project(Settings())
        name = project.universe(universe).name
        serving = incumbent(project.registry, name)
        number = version or (serving.version if serving else None)
        if number is None:
            raise StorageError("nothing is registered", where=name, remedy=f"run `toto-ops retrain {name}`")
        detail = version_detail(project.registry, name, number)
    if as_json:
        print_json(detail.model_dump(mode="json"))
        return
    content = detail.model_dump(mode="json")
    print_table(
        f"{detail.row.model} version {number}", [{"field": key, "value": _shown(value)} for key, value in content["row"].items()]
    )
    print_table(
        "gates",
        [
            {key: row[key] for key in ("name", "relation", "required", "measured", "verdict", "note")}
            for row in content["criteria"]
        ],
    )
    print_table("provenance", [{"field": key, "value": value} for key, value in content["provenance"].items()])
    print_table("events", content["events"])


@app.command("rollback")
def rollback(universe: UniverseArgument, as_json: AsJson = False) -> None:
    """Withdraw the champion and serve what it replaced, or the fallback."""
    from toto_ops.configuration import Settings
    from toto_ops.pipeline.project import Project
    from toto_ops.registry.promotion import rollback as roll_back

    with errors_shown(as_json=as_json):
        project = Project(Settings())
        done = roll_back(project.registry, project.universe(universe).name)
    if as_json:
        print_json({"withdrawn": done.withdrawn.label, "serving": done.incumbent.label, "line": done.incumbent.line})
    else:
        OUT.print(f"{done.withdrawn.label} is withdrawn; {done.incumbent.label} ({done.incumbent.line}) serves", highlight=False)


def _shown(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
