"""When to look: masks of a control step come from what was seen before the arm moved, unless it looks once more.

By key frames the view changes a good deal between two control steps. A look on arrival is of the very view that is
decided on, and the arm waits for it; the policy is idle while the arm moves, so that looks on the way cost no waiting.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from tristage_ros.studies.parts.core import OURS, STAGE_1_OFF, Core
from tristage_ros.studies.protocol import MAIN, METHOD
from tristage_ros.studies.variant import LOOKS, UNPRUNED, Variant


class Looking(Core):
    """Compare ours, with its first stage and without, by when it looks."""

    name = "looks"
    title = "Looks on arrival and on the way"
    takes = ()
    numbers: ClassVar[dict[Variant, int]] = {UNPRUNED: MAIN} | {
        replace(variant, looks=looks): METHOD for variant in (OURS, STAGE_1_OFF) for looks in LOOKS
    }
