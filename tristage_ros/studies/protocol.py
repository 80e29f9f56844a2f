"""What was laid down before the reported episodes ran: their seeds, scenes and numbers, and what counts as no worse.

Free of torch, for the options of the command.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from tristage_ros.simulation.instructions import TABLE

FIRST_SEED = 20_000  # of the reported episodes
CHOOSING = range(7_000, 9_000)  # seeds on which settings are chosen and speeds are measured; none is reported
TRAINED_FROM = 5_000_000  # the first seed of training, as in config/training.yaml

MARGIN = 0.06  # of success: a row that may be worse by this much at most is not inferior

# Episodes of a row, shared evenly among the tasks of its family. The core:
MAIN, METHOD, CONTROL = 400, 200, 50
# What is beside it; of the first task alone where that is said so.
RATE = 40  # a method at another rate, or set otherwise
MODALITY = 50  # one modality by lot, at another rate
BLIND = 50  # without eyes or with the wrong words
DISTURBED = 40
WATCHED = 50  # of the expert, all tokens kept
STAGES = 40  # of the first task
SENSITIVITY = 20  # of the first task
DENOISED = 20  # of the first task
COURSE = 10  # of the first task, step by step
CONTINUOUS, CONTINUOUS_FEWER = 40, 15  # of the first task
CANDIDATE = 50  # of CHOOSING


@dataclass(frozen=True)
class Family:
    """Name scenes that a row meets: some tasks under one condition, of each as many episodes."""

    name: str
    label: str
    tasks: tuple[str, ...]
    condition: str = "plain"  # a key of CONDITIONS

    def share(self, episodes: int) -> int:
        """Return how many of a row's episodes every task has."""
        return ceil(episodes / len(self.tasks))


TRAINED = Family("trained", "the five on the table", tuple(TABLE))
BUTTON = Family("button", "the button of a colour", ("button", "button_blue"))
HIGHER = Family("higher", "the higher button", ("higher",))
STACK = Family("stack", "banana and plate on stands", ("stack",))
ELSEWHERE = Family("elsewhere", "the camera anywhere", ("banana", "button", "stack"), "elsewhere")
FAMILIES = (TRAINED, BUTTON, HIGHER, STACK, ELSEWHERE)
NEED = 100  # episodes of a row without one of its eyes
CONFLICTS = 60  # scenes of a family whose image and cloud contradict each other
ORACLE = 15  # episodes of a family in which every token is left out once
PRACTICE = 60  # of a camera that was knocked, exchanged or taken off
