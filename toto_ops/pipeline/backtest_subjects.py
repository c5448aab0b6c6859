"""Who decides in a backtest: a registered model, the analysts with the numbers of a strategy file, or what serves now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toto_ops.configuration import read_config
from toto_ops.errors import StorageError, SymbolNameError
from toto_ops.pipeline.evaluation_steps import FALLBACK_LINE
from toto_ops.pipeline.offline_steps import money_settings
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.stored_policies import read_policy
from toto_ops.pipeline.versions import DECISIONS_VERSION
from toto_ops.storage.hashing import value_hash
from toto_ops.training.lines import LINES
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from toto_ops.evaluation.backtests.subject import Subject
    from toto_ops.pipeline.backtest_market import BacktestMarket
    from toto_ops.pipeline.backtest_request import BacktestRequest
    from toto_ops.registry.versions import RegisteredVersion


def subjects_of(project: Project, universe: Universe, market: BacktestMarket, request: BacktestRequest) -> tuple[Subject, ...]:
    """The policies a request names, the model before the strategy.

    Raises
    ------
    ConfigError
        If the model is not one of this universe, or the strategy file does not fit.
    StorageError
        If there is no such version, or nothing is registered.
    """
    subjects = []
    if request.model is not None or request.strategy_path is None:
        subjects.append(_registered(_version(project, universe, request.model), project))
    if request.strategy_path is not None:
        subjects.append(_strategy(universe, market, request.strategy_path))
    return tuple(subjects)


def known_symbols(
    subjects: tuple[Subject, ...], held: tuple[str, ...], asked: tuple[str, ...] | None
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The symbols of a backtest: those asked for, else all that the data hold and every subject knows.

    Returns
    -------
    symbols
        In the order of the data.
    left_out
        Symbols of the data that some subject does not know, and why, where none was asked for by name.

    Raises
    ------
    SymbolNameError
        If the data do not hold one that was asked for, a subject was not made for it, or nothing is left.
    """
    unknown = {
        symbol: f"was not known to {subject.origin}"
        for subject in subjects
        for symbol in held
        if symbol not in subject.manifest.symbols
    }
    if asked is None:
        if len(unknown) == len(held):
            raise SymbolNameError(
                "the model knows none of the symbols of these data", remedy="train it on them, or give data of its own symbols"
            )
        return tuple(symbol for symbol in held if symbol not in unknown), unknown
    for symbol in asked:
        if symbol not in held:
            raise SymbolNameError(f"{symbol} is not in the data", remedy=f"choose from {', '.join(held)}")
        if symbol in unknown:
            raise SymbolNameError(f"{symbol} {unknown[symbol]}", remedy="retrain the universe, or leave it out")
    return tuple(symbol for symbol in held if symbol in asked), {}


def _version(project: Project, universe: Universe, uri: str | None) -> RegisteredVersion:
    from toto_ops.registry.history import require_incumbent
    from toto_ops.registry.model_uris import ModelUri, version_at
    from toto_ops.registry.tracking import is_unmade

    parsed = None if uri is None else ModelUri.parse(uri)
    if is_unmade(project.settings.tracking_uri):
        raise StorageError(
            "nothing was ever registered",
            where=universe.name,
            remedy=f"run `toto-ops retrain {universe.name}`, or give a strategy file",
        )
    if parsed is None:
        return require_incumbent(project.registry, universe.name)
    return version_at(project.registry, universe.name, (*(line.name for line in LINES), FALLBACK_LINE), parsed)


def _registered(version: RegisteredVersion, project: Project) -> Subject:
    from toto_ops.evaluation.backtests.subject import Subject
    from toto_ops.evaluation.judgement.evidence import EVIDENCE_FILE
    from toto_ops.registry.promotion import evidence_of

    policy, manifest = read_policy(project.registry.files(version))
    judged = EVIDENCE_FILE in version.files
    return Subject(
        name=manifest.line,
        origin=version.label,
        policy=policy.eval(),
        manifest=manifest,
        selected_until=evidence_of(project.registry, version).splits.test.until if judged else None,
    )


def _strategy(universe: Universe, market: BacktestMarket, path: Path) -> Subject:
    """The analysts' ensemble. It fits nothing; whoever chose its numbers knew bars up to `chosen_until`."""
    from toto_ops.analysts.ensemble import EnsemblePolicy
    from toto_ops.analysts.strategy import StrategyConfig
    from toto_ops.evaluation.backtests.subject import Subject
    from toto_ops.policies.contract import PolicyManifest
    from toto_ops.simulation.rules import TradingRules

    strategy = read_config(path, StrategyConfig)
    policy = EnsemblePolicy.of(strategy, TradingRules.of(universe)).eval()
    manifest = PolicyManifest(
        kind=EnsemblePolicy.kind,
        line=FALLBACK_LINE,
        universe=universe.name,
        symbols=market.view.panel.symbols,
        architecture=policy.architecture,
        config=strategy.model_dump(mode="json"),
        inputs_hash=value_hash({"strategy": strategy, "money": money_settings(universe), "version": DECISIONS_VERSION}),
        data_hash=market.view.snapshot.data_hash,
        code_version=DECISIONS_VERSION,
        knows_until=strategy.chosen_until,
    )
    return Subject(name="strategy", origin=str(path), policy=policy, manifest=manifest)
