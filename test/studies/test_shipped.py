"""The minis that ship do their tasks, unpruned and pruned, and are small enough for the repository."""

from collections.abc import Iterator

import pytest

from tristage_ros.resources import MINI, MINI_CONTINUOUS, resource
from tristage_ros.studies.attempt import Attempts
from tristage_ros.studies.cell import Cell, Job
from tristage_ros.studies.variant import UNPRUNED, Variant

SEEDS = range(9_500, 9_506)
VARIANTS = {"unpruned": UNPRUNED, "robot": Variant("tristage", 0.7, True, "robot")}
LEAST = {"banana": 4, "box": 5, "laptop": 5, "fridge": 4, "umbrella": 2}  # of as many seeds


@pytest.fixture(scope="module")
def attempts() -> Iterator[Attempts]:
    made = Attempts(str(resource(*MINI)))
    yield made
    made.close()


def test_they_are_small() -> None:
    assert sum(resource(*checkpoint).stat().st_size for checkpoint in (MINI, MINI_CONTINUOUS)) < 25e6


@pytest.mark.parametrize(
    ("task", "variant"),
    [
        pytest.param(
            task, variant, id=f"{task}-{name}", marks=[] if (task, name) == ("banana", "robot") else [pytest.mark.long]
        )
        for task in LEAST
        for name, variant in VARIANTS.items()
    ],
)
def test_it_does_its_tasks(attempts: Attempts, task: str, variant: Variant) -> None:
    records = [attempts.run(Job(Cell(task, variant), seed)) for seed in SEEDS]
    done = sum(record.success for record in records)
    assert done >= LEAST[task], [record.fault for record in records if not record.success]


@pytest.mark.long
def test_one_of_them_is_led_in_a_closed_loop() -> None:
    attempts = Attempts(str(resource(*MINI_CONTINUOUS)))
    try:
        cells = [Cell(task, variant, "continuous") for task in ("banana", "box") for variant in VARIANTS.values()]
        records = [attempts.run(Job(cell, seed)) for cell in cells for seed in SEEDS[:3]]
    finally:
        attempts.close()
    assert sum(record.success for record in records) >= 8, [record.fault for record in records if not record.success]
