"""The mini that ships does its task, unpruned and pruned, and is small enough for the repository."""

from collections.abc import Iterator

import pytest

from tristage_ros.evaluation.episodes.attempt import Attempts
from tristage_ros.evaluation.episodes.cell import Cell, Job
from tristage_ros.evaluation.episodes.variant import UNPRUNED, Variant
from tristage_ros.resources import MINI, resource

SEEDS = range(9_500, 9_508)


@pytest.fixture(scope="module")
def attempts() -> Iterator[Attempts]:
    made = Attempts(str(resource(*MINI)))
    yield made
    made.close()


def test_it_is_small() -> None:
    assert resource(*MINI).stat().st_size < 25e6


@pytest.mark.parametrize("variant", [UNPRUNED, Variant("tristage", 0.7, True, "robot")], ids=["unpruned", "robot"])
def test_it_puts_the_banana_on_the_plate(attempts: Attempts, variant: Variant) -> None:
    records = [attempts.run(Job(Cell("banana", variant), seed)) for seed in SEEDS]
    done = sum(record.success for record in records)
    assert done >= len(SEEDS) - 2, [record.fault for record in records if not record.success]
