"""Close the laptop."""

from __future__ import annotations

from tristage_ros.simulation.furniture import FRIDGE_ASIDE, LAPTOP, LAPTOP_ASIDE, LAPTOP_LID
from tristage_ros.simulation.tasks.lid import CloseLid


class Laptop(CloseLid):
    """Push the screen over from behind, and press it down on the keyboard."""

    name = "laptop"
    pieces = (LAPTOP,)
    companies = ((LAPTOP_ASIDE, FRIDGE_ASIDE),)
    body, lid = "laptop", LAPTOP_LID
