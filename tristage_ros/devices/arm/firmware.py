"""What is publicly known of the Piper's firmware versions: piper_sdk's notes and its issues on GitHub."""

from __future__ import annotations

from dataclasses import dataclass

from tristage_ros.devices.arm.kinematics import dh_is_offset, firmware_number

Version = tuple[int, int, int]

QUARTER_TORQUE: Version = (1, 8, 2)  # the last one that reports a quarter of the torque of J1 to J3
OLDEST: Version = (1, 5, 2)  # the first one of the protocol that is spoken here
NEWEST: Version = (1, 8, 9)  # the last one that anything is known of


@dataclass(frozen=True)
class Trouble:
    """Hold what was reported of one version, and what to do about it."""

    version: Version
    what: str
    remedy: str


TROUBLES = (
    Trouble(
        (1, 8, 2),
        "arms came back as leaders and with wrong limits in flash; torque control may move a joint's zero",
        "look at the role and the limits below each time; use no torque control (MIT) on this arm",
    ),
    Trouble(
        (1, 8, 6),
        "a joint forced from outside (J5 first) may be up to 85 deg from where it says, without a fault, until a reset",
        "keep the cameras' check on (disagreement: stop); after a push, hold the arm and call /arm/recover",
    ),
)


def profile(firmware: str) -> str:
    """Return what this software takes for known of a version such as "S-V1.8-9".

    Raises:
        ValueError: `firmware` does not look like that.
    """
    words = [f"{'new' if dh_is_offset(firmware) else 'old'} zero of J2 and J3"]
    if firmware_number(firmware) <= QUARTER_TORQUE:
        words.append("J1 to J3 tell a quarter of their torque (corrected)")
    return ", ".join(words)


def trouble(firmware: str) -> Trouble | None:
    """Return what is known to go wrong with a version, None where nothing is.

    Raises:
        ValueError: `firmware` does not look like "S-V1.8-9".
    """
    number = firmware_number(firmware)
    if number < OLDEST:
        return Trouble(number, "older than the protocol spoken here, S-V1.5-2", "let the manufacturer upgrade it")
    if number > NEWEST:
        what = "newer than any that is known here, S-V1.8-9: zero, torques and gripper are taken to be as with that"
        remedy = "read its release notes; begin as a dry run, then at a tenth of the speed"
        return Trouble(number, what, remedy)
    return next((each for each in TROUBLES if each.version == number), None)
