"""`toto-ops registry …`: what is registered and what serves; promote, roll back, freeze, and the diary of all that."""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toto_ops.cli.console import OUT, AsJson, errors_shown, print_facts, print_json
from toto_ops.cli.registry_text import print_diary, print_version, print_versions

if TYPE_CHECKING:
    from toto_ops.registry.events import RegistryEvent

app = typer.Typer(help="Registered models: list, show, promote, roll back, freeze; and who did so.", no_args_is_help=True)

UniverseArgument = Annotated[str, typer.Argument(help="Universe, as in universes.yaml.")]
Why = Annotated[str, typer.Option(help="The reason, for those who ask later.")]
By = Annotated[str | None, typer.Option(help="Who asks for it; this user on this machine by default.")]


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
        rows = registry_table(project.registry, names)
    print_json([row.model_dump(mode="json") for row in rows]) if as_json else print_versions(rows)


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
    print_json(detail.model_dump(mode="json")) if as_json else print_version(detail)


@app.command("promote")
def promote(
    universe: UniverseArgument,
    why: Why,
    version: Annotated[int | None, typer.Option(min=1, help="Version number; the challenger by default.")] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Make a version that passed its gates the champion."""
    from toto_ops.configuration import Settings
    from toto_ops.pipeline.project import Project
    from toto_ops.pipeline.registry_operations import promote_version

    with errors_shown(as_json=as_json):
        project = Project(Settings())
        done = promote_version(project, project.universe(universe), version, by=by or _this_user(), why=why)
    if as_json:
        print_json({"outcome": done.outcome, "serving": done.champion.label, "replaced": done.replaced})
    elif done.outcome == "unchanged":
        OUT.print(f"{done.champion.label} serves already", highlight=False)
    else:
        replaced = f", replacing version {done.replaced}" if done.replaced else ""
        OUT.print(f"{done.champion.label} ({done.champion.line}) serves{replaced}", highlight=False)


@app.command("rollback")
def rollback(universe: UniverseArgument, why: Why, by: By = None, as_json: AsJson = False) -> None:
    """Withdraw the champion and serve what it replaced, or the fallback."""
    from toto_ops.configuration import Settings
    from toto_ops.pipeline.project import Project
    from toto_ops.pipeline.registry_operations import roll_back

    with errors_shown(as_json=as_json):
        project = Project(Settings())
        done = roll_back(project, project.universe(universe), by=by or _this_user(), why=why)
    if as_json:
        print_json({"withdrawn": done.withdrawn.label, "serving": done.incumbent.label, "line": done.incumbent.line})
    else:
        OUT.print(f"{done.withdrawn.label} is withdrawn; {done.incumbent.label} ({done.incumbent.line}) serves", highlight=False)


@app.command("freeze")
def freeze(universe: UniverseArgument, why: Why, by: By = None, as_json: AsJson = False) -> None:
    """Let nothing be promoted, by schedule or by hand, until it is unfrozen; a rollback stays possible."""
    from toto_ops.configuration import Settings
    from toto_ops.pipeline.project import Project
    from toto_ops.pipeline.registry_operations import freeze_promotions

    with errors_shown(as_json=as_json):
        project = Project(Settings())
        entry = freeze_promotions(project, project.universe(universe), by=by or _this_user(), why=why)
    _print_switch(entry, "frozen", as_json=as_json)


@app.command("unfreeze")
def unfreeze(universe: UniverseArgument, why: Why, by: By = None, as_json: AsJson = False) -> None:
    """Allow promotions again."""
    from toto_ops.configuration import Settings
    from toto_ops.pipeline.project import Project
    from toto_ops.pipeline.registry_operations import unfreeze_promotions

    with errors_shown(as_json=as_json):
        project = Project(Settings())
        entry = unfreeze_promotions(project, project.universe(universe), by=by or _this_user(), why=why)
    _print_switch(entry, "free again", as_json=as_json)


@app.command("events")
def events(universe: UniverseArgument, as_json: AsJson = False) -> None:
    """Show the diary: every promotion, rollback and freeze that was tried, by whom, why, and what became of it."""
    from toto_ops.configuration import Settings
    from toto_ops.pipeline.project import Project
    from toto_ops.registry.events import events as read_events

    with errors_shown(as_json=as_json):
        project = Project(Settings())
        name = project.universe(universe).name
        diary = read_events(project.registry, name)
    if as_json:
        print_json([event.model_dump(mode="json", exclude={"schema_version"}) for event in diary])
    else:
        print_diary(f"diary of {name}", diary)


@app.command("lineage")
def lineage(
    universe: UniverseArgument,
    version: Annotated[int | None, typer.Option(min=1, help="Version number; what serves by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the page to this file and leave MLflow alone.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make the lineage page of a version: data, code, gates, what it replaced, how to reproduce it and to roll back."""
    from toto_ops.configuration import Settings
    from toto_ops.pipeline.lineage import publish_lineage, publish_page, write_page
    from toto_ops.pipeline.project import Project
    from toto_ops.registry.history import require_incumbent

    with errors_shown(as_json=as_json):
        project = Project(Settings())
        chosen = project.universe(universe)
        number = version or require_incumbent(project.registry, chosen.name).version
        if out is not None:
            write_page(project, chosen, number, out)
            content = {"universe": chosen.name, "version": number, "path": str(out.absolute())}
        else:
            page = publish_page(project, chosen, version) if version else publish_lineage(project, chosen)
            content = page.model_dump(mode="json")
    print_json(content) if as_json else print_facts({name.replace("_", " "): value for name, value in content.items()})


def _this_user() -> str:
    """User and machine, as the diary names who asked at a terminal."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def _print_switch(entry: RegistryEvent, state: str, *, as_json: bool) -> None:
    if as_json:
        print_json(entry.model_dump(mode="json", exclude={"schema_version"}))
    else:
        OUT.print(f"promotions of {entry.universe} are {state}, {entry.signed}", markup=False, highlight=False)
