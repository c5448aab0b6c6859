"""Promote, roll back, freeze and unfreeze by hand: what the command line and the Dagster jobs both call.

Each brings the lineage pages up to date when it is done. If only that fails, the error says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from toto_ops.errors import PromotionRefusedError
from toto_ops.pipeline.lineage import publish_lineage
from toto_ops.pipeline.project import Project
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from toto_ops.registry.events import RegistryEvent
    from toto_ops.registry.promotion import Promotion, Rollback


def promote_version(project: Project, universe: Universe, version: int | None, *, by: str, why: str) -> Promotion:
    """Promote a version, or the present challenger where none is named; the rules of `registry.promotion.promote` hold.

    Raises
    ------
    PromotionError, StorageError, BusyError
        As `registry.promotion.promote`; and where no version is named and there is no challenger.
    """
    from toto_ops.registry.promotion import promote

    number = version if version is not None else _challenger(project, universe)
    done = promote(project.registry, universe.name, number, by=by, why=why)
    publish_lineage(project, universe)
    return done


def roll_back(project: Project, universe: Universe, *, by: str, why: str) -> Rollback:
    """Withdraw the champion and serve what it replaced, or the fallback; raises as `registry.promotion.rollback`."""
    from toto_ops.registry.promotion import rollback

    done = rollback(project.registry, universe.name, by=by, why=why)
    publish_lineage(project, universe)
    return done


def freeze_promotions(project: Project, universe: Universe, *, by: str, why: str) -> RegistryEvent:
    """Let nothing be promoted until it is lifted; raises as `registry.freeze.freeze`."""
    from toto_ops.registry.freeze import freeze

    entry = freeze(project.registry, universe.name, by=by, why=why)
    publish_lineage(project, universe)
    return entry


def unfreeze_promotions(project: Project, universe: Universe, *, by: str, why: str) -> RegistryEvent:
    """Allow promotions again; raises as `registry.freeze.unfreeze`."""
    from toto_ops.registry.freeze import unfreeze

    entry = unfreeze(project.registry, universe.name, by=by, why=why)
    publish_lineage(project, universe)
    return entry


def _challenger(project: Project, universe: Universe) -> int:
    from toto_ops.registry.versions import CHALLENGER

    name = project.registry.serving_name(universe.name)
    number = project.registry.aliases(name).get(CHALLENGER)
    if number is None:
        raise PromotionRefusedError(
            "there is no challenger to promote", where=name, remedy=f"run `toto-ops retrain {universe.name}` first"
        )
    return number
