"""Kill retrainings at random moments and require that nothing was harmed and the next one completes without help.

`make crash` runs it; `python -m tests.reliability.crash --help` says how to ask for other kills.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.reliability.crash_report import CrashReport, Trial, print_report, write_into_page
from tests.reliability.kills import Kill, Target, draw_kills, measure_durations, strike
from tests.reliability.leftovers import leftovers
from tests.reliability.planted_home import UNIVERSE, PlantedHome, Scenario
from tests.reliability.registry_faults import Serving, registry_faults, serving_now, settled_faults
from tests.reliability.resumption import CheckpointWatch, Resumption
from tests.reliability.retrain_command import PATIENCE_SECONDS, POLL_SECONDS, RetrainCommand
from tests.reliability.stored_faults import stored_faults
from toto_ops.pipeline.retraining_decision import assess, last_retraining

SAYS_WHO_ASKED = frozenset({"data_docs", "evaluation_report"})
"""Artefacts that carry the retraining's id or moment: the same work of another retraining is another content."""


@dataclass(frozen=True)
class Reference:
    """One undisturbed retraining, which every recovery must equal.

    Attributes
    ----------
    served_before
        What served when it began.
    artefacts
        Content hash by artefact.
    durations
        Seconds each target of a kill takes.
    """

    served_before: Serving | None
    serving: Serving
    artefacts: Mapping[str, str]
    durations: Mapping[Target, float]


@dataclass(frozen=True)
class CrashPlan:
    """Which kills are asked for.

    Attributes
    ----------
    kills
        How many.
    seed, scenarios
        What they are drawn from.
    first
        Number of the first one, so that one kill of a run can be repeated.
    """

    kills: int
    seed: int
    scenarios: tuple[Scenario, ...] = tuple(Scenario)
    first: int = 0


def crash(planted: PlantedHome, plan: CrashPlan, on_trial: Callable[[Trial], None]) -> CrashReport:
    """Kill retrainings, each in a home set up anew, and judge each recovery.

    A retraining that ends before the moment drawn for its kill does not count: another is drawn.
    """
    references = _references(planted, plan.scenarios)
    draw = draw_kills(plan.seed, plan.scenarios)
    trials: list[Trial] = []
    for number in range(plan.first, plan.first + 3 * plan.kills):
        if len(trials) == plan.kills:
            break
        kill = draw(number)
        trial = _attempt(planted, kill, references[kill.scenario], number)
        if trial is not None:
            trials.append(trial)
            on_trial(trial)
    return CrashReport(seed=plan.seed, asked_for=plan.kills, trials=tuple(trials))


def _references(planted: PlantedHome, scenarios: Sequence[Scenario]) -> dict[Scenario, Reference]:
    """Retrain undisturbed. The first retraining leaves the home that a successor begins in."""
    needed = [scenario for scenario in Scenario if scenario is Scenario.FIRST or scenario in scenarios]
    references = {}
    for scenario in needed:
        planted.set_up(scenario)
        references[scenario] = _undisturbed(planted, scenario)
        if scenario is Scenario.FIRST and Scenario.SUCCESSOR in needed:
            planted.keep_champion()
    return references


def _undisturbed(planted: PlantedHome, scenario: Scenario) -> Reference:
    before = serving_now(planted)
    with RetrainCommand(planted, scenario, planted.folder / f"reference-{scenario}.log") as command:
        durations = measure_durations(planted, command)
    serving = serving_now(planted)
    faults = [*stored_faults(planted), *registry_faults(planted, before), *leftovers(planted)]
    if command.exit_code() != 0 or serving is None or serving == before or faults or set(durations) != set(Target):
        raise AssertionError(f"the undisturbed {scenario} retraining promoted nothing or left faults {faults}:\n{command.output}")
    return Reference(before, serving, _artefacts(planted), durations)


def _artefacts(planted: PlantedHome) -> dict[str, str]:
    project = planted.project()
    last = last_retraining(project, project.universe(UNIVERSE))
    refs = last.refs() if last else ()
    return {str(ref.key): ref.content_hash for ref in refs if ref.key.asset not in SAYS_WHO_ASKED}


def _attempt(planted: PlantedHome, kill: Kill, reference: Reference, number: int) -> Trial | None:
    """Kill one retraining and let the next one recover; None if it ended before it could be killed."""
    planted.set_up(kill.scenario)
    watch = CheckpointWatch(planted)
    with RetrainCommand(planted, kill.scenario, planted.folder / f"killed-{number}.log") as command:
        if not strike(planted, command, kill, reference.durations):
            return None
        after = command.elapsed
    harmed = [*stored_faults(planted), *registry_faults(planted, reference.served_before)]
    with RetrainCommand(planted, kill.scenario, planted.folder / f"recovery-{number}.log") as recovery:
        resumption = _follow(recovery, watch)
        seconds = recovery.elapsed
    unrecovered = _recovery_faults(planted, recovery, reference)
    trial = Trial(
        number=number,
        scenario=kill.scenario,
        target=kill.target,
        scope=kill.scope,
        killed_after_s=round(after, 2),
        during=", ".join(command.steps_under_way()) or "no step",
        resumable=resumption.resumable,
        resumed=resumption.resumed,
        training=resumption.in_words,
        recovered_in_s=round(seconds, 1),
        harmed=tuple(harmed),
        unrecovered=tuple(unrecovered),
    )
    if trial.faults:
        planted.put_aside(f"home-of-trial-{number}")
    return trial


def _follow(recovery: RetrainCommand, watch: CheckpointWatch) -> Resumption:
    """Wait for the recovery to end, watching its checkpoints.

    What an orphan of the killed command wrote counts as found: it has been ended once the first step starts.
    """
    found = 0
    written_from: int | None = None
    while recovery.running and recovery.elapsed < PATIENCE_SECONDS:
        watch.look()
        if written_from is None and recovery.says("started", "bars"):
            written_from, found = len(watch.epochs), max(watch.epochs, default=0)
        time.sleep(POLL_SECONDS)
    watch.look()
    return Resumption(found, tuple(watch.epochs[len(watch.epochs) if written_from is None else written_from :]))


def _recovery_faults(planted: PlantedHome, recovery: RetrainCommand, reference: Reference) -> list[str]:
    try:
        code = recovery.exit_code()
    except TimeoutError as error:
        return [str(error), *leftovers(planted)]
    if code != 0:
        return [f"the next retraining ended with exit code {code}: {recovery.output.strip()[-2000:]}", *leftovers(planted)]
    project = planted.project()
    verdict = assess(project, project.universe(UNIVERSE))
    faults = [f"the universe is still stale: {verdict.reason}"] if verdict.stale else []
    artefacts, serving = _artefacts(planted), serving_now(planted)
    faults += [
        f"{name} is {artefacts.get(name)}, undisturbed it is {content}"
        for name, content in reference.artefacts.items()
        if artefacts.get(name) != content
    ]
    if serving is None or serving.weights != reference.serving.weights:
        faults.append(f"{serving} serves instead of the weights of {reference.serving}")
    faults += stored_faults(planted) + registry_faults(planted, reference.served_before)
    return faults + settled_faults(planted) + leftovers(planted)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the kills, print the table; exit code 1 if anything was harmed or did not recover."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--first", type=int, default=0, help="number of the first kill, to repeat one of the same seed")
    parser.add_argument("--scenario", type=Scenario, choices=list(Scenario), action="append", help="both unless given")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder, removed if all went well")
    parser.add_argument("--json", type=Path, help="also write every trial to this file")
    parser.add_argument("--report", type=Path, help="also put the figures into this page")
    options = parser.parse_args(arguments)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="toto-ops-crash-"))
    print(f"working in {folder}", flush=True)
    plan = CrashPlan(options.kills, options.seed, tuple(options.scenario or Scenario), options.first)
    report = crash(PlantedHome.prepare(folder), plan, on_trial=lambda trial: print(trial.line, flush=True))
    print_report(report)
    if options.json:
        options.json.write_text(report.model_dump_json(indent=1) + "\n")
    if options.report:
        write_into_page(report, options.report)
    if report.passed and options.folder is None:
        shutil.rmtree(folder)
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
