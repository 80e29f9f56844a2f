from __future__ import annotations

from pathlib import Path

import pytest

from tristage_ros.viewing.bag import play

SMALL_BAG = Path(__file__).parents[1] / "data" / "small_bag"


@pytest.fixture(scope="package")
def small_bag() -> Path:
    """Return the bag of a stretch of a run of the simulated cell."""
    return SMALL_BAG


@pytest.fixture(scope="package")
def logged():
    """Return what is logged of that bag, in order, and what is told."""
    records = []
    told = play(SMALL_BAG, records.append)
    return records, told
