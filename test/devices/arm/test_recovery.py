"""A reset and a new zero are confirmed by who asked for them, and by nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tristage_ros.devices.arm.recovery import Answer, Confirmation, GripperCare, Recovery

SERVICE = "/cell1/arm/recover"


class Arm:
    """Note what a person's requests come to."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.trouble = "the arm reports emergency stop"

    def complaint(self) -> str:
        return self.trouble

    def at_rest(self, action: Callable[[Any], None], reset: bool = False) -> tuple[bool, str]:
        self.done.append("reset" if reset else action.__name__)
        return True, ""


@pytest.fixture
def arm() -> Arm:
    return Arm()


def test_the_first_answer_says_what_to_type(arm: Arm) -> None:
    first = Recovery(arm, SERVICE).step("", 100.0)
    assert first.success and "FALLS" in first.message and first.code.isdigit() and len(first.code) == 4
    assert first.message.endswith(
        f"ros2 service call {SERVICE} tristage_msgs/srv/ConfirmedTrigger \"{{code: '{first.code}'}}\""
    )
    assert arm.done == []


def test_two_callers_without_the_code_reset_nothing(arm: Arm) -> None:
    recovery = Recovery(arm, SERVICE)
    first, second = recovery.step("", 100.0), recovery.step("", 105.0)
    assert first.code != second.code and arm.done == []
    assert not recovery.step(first.code, 107.0).success and arm.done == []  # overtaken
    assert not recovery.step(second.code, 108.0).success and arm.done == []  # ended by a wrong one


def test_the_code_given_back_resets_once(arm: Arm) -> None:
    recovery = Recovery(arm, SERVICE)
    code = recovery.step("", 100.0).code
    assert recovery.step(code, 102.0).success and arm.done == ["reset"]
    assert "no code" in recovery.step(code, 104.0).message and arm.done == ["reset"]


@pytest.mark.parametrize(
    ("wait", "given", "words"),
    [
        (0.5, "{}", "too soon"),
        (30.5, "{}", "30 s old, more than 30"),
        (2.0, "{}0", "is not the code"),
        (2.0, "x", "'x'"),
    ],
)
def test_early_late_and_wrong_codes_are_answered_and_do_nothing(arm: Arm, wait: float, given: str, words: str) -> None:
    recovery = Recovery(arm, SERVICE)
    code = recovery.step("", 100.0).code
    answer = recovery.step(given.format(code), 100.0 + wait)
    assert not answer.success and not answer.code and words in answer.message and arm.done == []


def test_who_was_too_soon_may_try_again(arm: Arm) -> None:
    recovery = Recovery(arm, SERVICE)
    code = recovery.step("", 100.0).code
    recovery.step(code, 100.2)
    assert recovery.step(code, 101.5).success and arm.done == ["reset"]


def test_a_code_without_a_first_request_does_nothing(arm: Arm) -> None:
    assert not Recovery(arm, SERVICE).step("4711", 100.0).success and arm.done == []


def test_an_arm_that_is_well_is_never_reset(arm: Arm) -> None:
    recovery = Recovery(arm, SERVICE)
    code = recovery.step("", 100.0).code
    arm.trouble = ""
    assert "nothing that needs a reset" in recovery.step(code, 102.0).message and arm.done == []


def test_a_code_is_never_drawn_twice_running() -> None:
    drawn = iter(["1234", "1234", "5678"])
    confirmation = Confirmation(SERVICE, lambda: next(drawn))
    assert [confirmation.begin(now, "do").code for now in (0.0, 1.0)] == ["1234", "5678"]


def test_a_new_zero_wants_its_code_too(arm: Arm) -> None:
    care = GripperCare(arm, "/arm/gripper_zero")
    first = care.zero("", 100.0)
    assert care.zero("", 102.0).success and not care.zero(first.code, 104.0).success
    assert arm.done == ["release_gripper", "release_gripper"]
    code = care.zero("", 105.0).code
    assert care.zero(code, 107.0) == Answer(True, "this opening is 0 from now on")
    assert arm.done[-1] == "set_gripper_zero"
