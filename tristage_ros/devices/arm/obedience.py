"""Whether the arm acts on what is asked of it on this bus: by its own account, and by what its joints do."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.unheard import Unheard
from tristage_ros.devices.arm.values import CAN_CONTROL, ArmFeedback

_TAKES_CONTROL = 0.5  # s, in which the arm has to say that it obeys this bus


class Obedience:
    """Watch one arm from when it was asked to obey; times are s on the monotonic clock."""

    def __init__(self) -> None:
        """Begin with an arm that was asked for nothing."""
        self.asked_at = math.inf  # s, when it was asked to obey this bus
        self.ended = False  # by its own account it obeys no longer
        self._obeyed = False
        self._unheard = Unheard()

    def begin(self, now: float) -> None:
        """Ask it to obey from now on."""
        self.asked_at, self.ended, self._obeyed = now, False, False
        self._unheard.forget()

    def complaint(self, now: float, arm: ArmFeedback) -> str:
        """Return why the arm does not act on this bus's targets by its own account, "" while it does."""
        if arm.control_mode == CAN_CONTROL:
            self._obeyed = True
        elif self._obeyed:
            self.ended = True
            return "the arm has left CAN control: it is in standby"
        elif now - self.asked_at > _TAKES_CONTROL:
            self.ended = True
            return f"the arm did not take CAN control within {_TAKES_CONTROL} s"
        if other := self._unheard.mode(arm.move_mode):
            self.ended = True
        return other

    def look(self, now: float, setpoint: NDArray[np.float64], arm: ArmFeedback, standing: NDArray[np.float64]) -> str:
        """Return why its joints obey somebody else, "" while they do not; see `Unheard.look`."""
        return self._unheard.look(now, setpoint, arm, standing)
