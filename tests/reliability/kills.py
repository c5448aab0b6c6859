"""When a retraining is killed: at random, but drawn so that training, registration and promotion get their share."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tests.reliability.planted_home import PlantedHome, Scenario
from tests.reliability.retrain_command import POLL_SECONDS, RetrainCommand, Scope, diary_entries


class Target(StrEnum):
    """The part of a retraining a kill falls into."""

    TRAINING = "training"
    PROMOTION = "promotion"
    """From the moment the attempt is in the diary of the registry."""
    ANYWHERE = "anywhere"
    """From the first instruction of the command to its last."""
    REGISTRATION = "registration"
    START = "start"
    """Until the first step: imports, and in an empty home the making of databases."""


@dataclass(frozen=True)
class Kill:
    """One kill that is to happen.

    Attributes
    ----------
    share
        How much of the target's duration, as measured undisturbed, passes before it; 0 to 1.
    """

    scenario: Scenario
    target: Target
    scope: Scope
    share: float


def draw_kills(seed: int, scenarios: tuple[Scenario, ...]) -> Callable[[int], Kill]:
    """The kill of each number from 0 on; the same seed draws the same kills.

    Targets, scopes and scenarios take turns so that every combination comes up.
    """

    def kill(number: int) -> Kill:
        generator = random.Random(f"{seed}-{number}")
        turn, which = divmod(number, len(Target))
        target = list(Target)[which]
        scope = list(Scope)[(which // 2 + turn) % len(Scope)]
        scenario = scenarios[(which + turn // len(Scope)) % len(scenarios)]
        # What a promotion moves, it moves within milliseconds of noting it: most kills belong there.
        share = generator.random() ** (4 if target is Target.PROMOTION else 1)
        return Kill(scenario, target, scope, share)

    return kill


@dataclass
class Stopwatch:
    """Measures when each target begins and ends in a command that runs."""

    planted: PlantedHome
    command: RetrainCommand
    _entries_before: int = field(init=False)

    def __post_init__(self) -> None:
        self._entries_before = diary_entries(self.planted)

    def begun(self, target: Target) -> bool:
        match target:
            case Target.ANYWHERE | Target.START:
                return True
            case Target.TRAINING:
                return self.command.says("started", "bc_policy")
            case Target.REGISTRATION:
                return self.command.says("started", "challenger")
            case Target.PROMOTION:
                registered = self.command.says("succeeded", "challenger")
                return registered and diary_entries(self.planted) > self._entries_before

    def ended(self, target: Target) -> bool:
        match target:
            case Target.ANYWHERE:
                return not self.command.running
            case Target.START:
                return self.command.says("started", "bars")
            case Target.TRAINING:
                return self.command.says("succeeded", "bc_policy")
            case Target.REGISTRATION:
                return self.command.says("succeeded", "challenger")
            case Target.PROMOTION:
                return self.command.says("succeeded", "champion")


def measure_durations(planted: PlantedHome, command: RetrainCommand) -> Mapping[Target, float]:
    """Seconds each target takes in an undisturbed retraining, which is followed to its end."""
    stopwatch = Stopwatch(planted, command)
    begun: dict[Target, float] = {}
    durations: dict[Target, float] = {}
    running = True
    while running:
        running = command.running
        for target in Target:
            if target not in begun and stopwatch.begun(target):
                begun[target] = command.elapsed
            if target in begun and target not in durations and stopwatch.ended(target):
                durations[target] = command.elapsed - begun[target]
        time.sleep(POLL_SECONDS)
    return durations


def strike(planted: PlantedHome, command: RetrainCommand, kill: Kill, durations: Mapping[Target, float]) -> bool:
    """Kill the command at the moment drawn; False if it had ended before."""
    stopwatch = Stopwatch(planted, command)
    while not stopwatch.begun(kill.target):
        if not command.running:
            return False
        time.sleep(POLL_SECONDS)
    time.sleep(kill.share * durations[kill.target])
    if not command.running:
        return False
    command.kill(kill.scope)
    return True
