"""Which frames this software may send to a Piper.

Frames that could drop the arm (0x150 emergency stop and reset, 0x471 disable) or move a zero (0x159 with 0xAE, 0x475)
are not among them, save for two that a person may ask for.
"""

from __future__ import annotations

from collections.abc import Callable

_ALWAYS: dict[int, Callable[[bytes], bool]] = {
    0x151: lambda data: data[0] == 1 and data[1] == 1 and data[3] == 0,  # CAN control, MOVE J, not MIT
    0x155: lambda data: True,  # targets of J1, J2
    0x156: lambda data: True,  # J3, J4
    0x157: lambda data: True,  # J5, J6
    0x159: lambda data: data[6] == 1 and data[7] == 0,  # gripper enabled, zero untouched
    0x471: lambda data: data[1] == 2,  # enable motors
    0x4AF: lambda data: True,  # ask for the firmware version
}
_FOR_A_PERSON: dict[int, Callable[[bytes], bool]] = {
    0x150: lambda data: data == b"\2" + bytes(7),  # reset: cuts the motors' power
    0x159: lambda data: data[6] in (0, 2, 3),  # gripper off, its errors cleared, its zero set
}


def permits(arbitration_id: int, data: bytes, for_person: bool) -> bool:
    """Tell whether a frame may leave; `for_person`: someone called the service that needs it."""
    tests = [_ALWAYS.get(arbitration_id), _FOR_A_PERSON.get(arbitration_id) if for_person else None]
    return any(test(data) for test in tests if test)
