"""Close the box."""

from __future__ import annotations

from tristage_ros.simulation.furniture import BOX, BOX_ASIDE, BOX_LID, FRIDGE_ASIDE
from tristage_ros.simulation.tasks.lid import CloseLid


class Box(CloseLid):
    """Push the lid of a cardboard box over from the side it hangs on, and press it down."""

    name = "box"
    pieces = (BOX,)
    companies = ((BOX_ASIDE, FRIDGE_ASIDE),)
    body, lid = "box", BOX_LID
