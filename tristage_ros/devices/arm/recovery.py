"""What only a person may ask of an arm, step by step: a reset, and the gripper's homing and zero."""

from __future__ import annotations

import time

from tristage_ros.devices.arm.controller import ArmController
from tristage_ros.devices.arm.piper import PiperDriver, PiperError

_SOONEST, _LATEST = 1.0, 30.0  # s between the two requests that make a reset or a new zero


class Confirmation:
    """Ask for the same request twice: soon, but not by accident."""

    def __init__(self) -> None:
        """Wait for a first request."""
        self._asked = -_LATEST

    def given(self, now: float) -> bool:
        """Tell whether this request, at `now` s, confirms the one before; else it counts as the first."""
        waited = now - self._asked
        confirmed = _SOONEST <= waited <= _LATEST
        self._asked = -_LATEST if confirmed else now
        return confirmed


class Recovery:
    """Walk a person through a reset, the only way out of an emergency stop, a collision or a motor error."""

    def __init__(self, controller: ArmController) -> None:
        """Begin at the first step."""
        self._controller = controller
        self._confirmation = Confirmation()

    def step(self, now: float) -> tuple[bool, str]:
        """Take the next step at `now` s, monotonic clock; return success and what to do next."""
        complaint = self._controller.complaint()
        if not complaint:
            return False, "the arm reports nothing that needs a reset; use /arm/clear_fault, then /arm/enable"
        if not self._confirmation.given(now):
            return True, (
                f"{complaint}. 1. Release the emergency stop. 2. Hold the arm with both hands: the reset cuts the "
                f"motors' power and it FALLS. 3. Call this again, {_SOONEST:g} to {_LATEST:g} s from now"
            )
        done, reason = self._controller.at_rest(_reset, reset=True)
        if not done:
            return False, f"the reset failed: {reason}"
        return True, "reset; keep holding the arm, call /arm/clear_fault and /arm/enable, let go once it holds itself"


class GripperCare:
    """Home the gripper and set its zero, with the arm not enabled."""

    def __init__(self, controller: ArmController) -> None:
        """Begin at the first step."""
        self._controller = controller
        self._confirmation = Confirmation()

    def home(self) -> tuple[bool, str]:
        """Clear the gripper's errors and let it close as far as it goes; return success and a reason."""
        done, reason = self._controller.at_rest(PiperDriver.home_gripper)
        return done, reason or "closing; it opens again with the first command to the arm"

    def zero(self, now: float) -> tuple[bool, str]:
        """Take the next step towards a new zero at `now` s; return success and what to do next."""
        if not self._confirmation.given(now):
            done, reason = self._controller.at_rest(PiperDriver.release_gripper)
            return done, reason or (
                "the gripper has no power: close it by hand until the fingers touch, then call this again, "
                f"{_SOONEST:g} to {_LATEST:g} s from now"
            )
        done, reason = self._controller.at_rest(PiperDriver.set_gripper_zero)
        return done, reason or "this opening is 0 from now on"


def _reset(driver: PiperDriver) -> None:
    driver.reset()
    deadline = time.monotonic() + 2.0
    while complaint := driver.read().complaint(motors_off=False):
        if time.monotonic() > deadline:
            raise PiperError(f"{complaint} after the reset, too: release the emergency stop, check the joints")
        time.sleep(0.02)
