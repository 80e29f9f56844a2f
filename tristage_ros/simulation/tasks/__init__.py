"""The tasks of the simulated cell, by name."""

from tristage_ros.simulation.buttons import NAMES
from tristage_ros.simulation.tasks.banana import Banana
from tristage_ros.simulation.tasks.fridge import Fridge
from tristage_ros.simulation.tasks.lids import Box, Laptop
from tristage_ros.simulation.tasks.press import Button, Higher
from tristage_ros.simulation.tasks.stack import Stack
from tristage_ros.simulation.tasks.task import KeyFrame, Task
from tristage_ros.simulation.tasks.umbrella import Umbrella

_PRESSED = (Button("button", NAMES[0]), Button("button_blue", NAMES[1]), Higher())
TASKS: dict[str, Task] = {
    task.name: task for task in (Banana(), Box(), Laptop(), Fridge(), Umbrella(), *_PRESSED, Stack())
}


def task_called(name: str) -> Task:
    """Return a task by its name.

    Raises:
        ValueError: there is none; the message lists those that there are.
    """
    if name not in TASKS:
        raise ValueError(f"no task is called {name!r}; there are: {', '.join(TASKS)}")
    return TASKS[name]


__all__ = ["TASKS", "KeyFrame", "Task", "task_called"]
