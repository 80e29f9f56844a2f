"""What only a person may ask of an arm, step by step: a reset, and the gripper's homing and zero."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

from tristage_ros.devices.arm.controller import ArmController
from tristage_ros.devices.arm.piper import PiperDriver, PiperError

_SOONEST, _LATEST = 1.0, 30.0  # s between the two requests that make a reset or a new zero


class Answer(NamedTuple):
    """Hold what a request came to."""

    success: bool
    message: str
    code: str = ""  # to give back in the next request; "" where there is nothing to confirm


def _four_digits() -> str:
    return str(1000 + secrets.randbelow(9000))


class Confirmation:
    """Ask for the same request twice, by the same person: the second gives back the code of the first answer.

    One code at a time: another first request draws another, and a wrong code ends the one that there was.
    """

    def __init__(self, service: str, draw: Callable[[], str] = _four_digits) -> None:
        """Wait for a first request to `service`, as a person types its name; `draw` makes up a code."""
        self._service, self._draw = service, draw
        self._code, self._drawn = "", -math.inf  # "": none is waited for; s, monotonic clock

    def begin(self, now: float, todo: str) -> Answer:
        """Answer a first request at `now` s: what to do, and how to confirm it."""
        code = self._draw()
        while code == self._code:
            code = self._draw()
        self._code, self._drawn = code, now
        call = f"ros2 service call {self._service} tristage_msgs/srv/ConfirmedTrigger \"{{code: '{code}'}}\""
        return Answer(True, f"{todo}, {_SOONEST:g} to {_LATEST:g} s from now: {call}", code)

    def objection(self, code: str, now: float) -> str:
        """Return why a request with this `code` at `now` s confirms nothing; "" where it does, once."""
        again = "nothing was done. To begin, call it with the code empty"
        waited, expected = now - self._drawn, self._code
        if not expected:
            return f"no code is waited for, {code!r} confirms nothing: {again}"
        if code == expected and waited < _SOONEST:
            return (
                f"{waited:.1f} s are too soon to be meant: call it again with {code!r}, {_SOONEST:g} s after the first"
            )
        self._code = ""
        if code != expected:
            return f"{code!r} is not the code of the last first request, which no longer counts: {again}"
        if waited > _LATEST:
            return f"{code!r} is {waited:.0f} s old, more than {_LATEST:g}: {again}"
        return ""


class Recovery:
    """Walk a person through a reset, the only way out of an emergency stop, a collision or a motor error."""

    def __init__(self, controller: ArmController, service: str) -> None:
        """Begin at the first step; `service`: what a person calls for the next."""
        self._controller = controller
        self._confirmation = Confirmation(service)

    def step(self, code: str, now: float) -> Answer:
        """Take the next step at `now` s, monotonic clock, with the `code` of the step before, "" for the first."""
        complaint = self._controller.complaint()
        if not complaint:
            return Answer(False, "the arm reports nothing that needs a reset; use /arm/clear_fault, then /arm/enable")
        if not code:
            return self._confirmation.begin(
                now,
                f"{complaint}. 1. Release the emergency stop. 2. Hold the arm with both hands: the reset cuts the "
                "motors' power and it FALLS. 3. Let somebody confirm it",
            )
        if objection := self._confirmation.objection(code, now):
            return Answer(False, objection)
        done, reason = self._controller.at_rest(_reset, reset=True)
        if not done:
            return Answer(False, f"the reset failed: {reason}")
        return Answer(
            True, "reset; keep holding the arm, call /arm/clear_fault and /arm/enable, let go once it holds itself"
        )


class GripperCare:
    """Home the gripper and set its zero, with the arm not enabled."""

    def __init__(self, controller: ArmController, service: str) -> None:
        """Begin at the first step; `service`: what a person calls to set the zero."""
        self._controller = controller
        self._confirmation = Confirmation(service)

    def home(self) -> tuple[bool, str]:
        """Clear the gripper's errors and let it close as far as it goes; return success and a reason."""
        done, reason = self._controller.at_rest(PiperDriver.home_gripper)
        return done, reason or "closing; it opens again with the first command to the arm"

    def zero(self, code: str, now: float) -> Answer:
        """Take the next step towards a new zero at `now` s, with the `code` of the step before, "" for the first."""
        if code:
            if objection := self._confirmation.objection(code, now):
                return Answer(False, objection)
            done, reason = self._controller.at_rest(PiperDriver.set_gripper_zero)
            return Answer(done, reason or "this opening is 0 from now on")
        done, reason = self._controller.at_rest(PiperDriver.release_gripper)
        if not done:
            return Answer(False, reason)
        return self._confirmation.begin(
            now, "the gripper has no power: close it by hand until the fingers touch, then confirm"
        )


def _reset(driver: PiperDriver) -> None:
    driver.reset()
    deadline = time.monotonic() + 2.0
    while complaint := driver.read().complaint(motors_off=False):
        if time.monotonic() > deadline:
            raise PiperError(f"{complaint} after the reset, too: release the emergency stop, check the joints")
        time.sleep(0.02)
