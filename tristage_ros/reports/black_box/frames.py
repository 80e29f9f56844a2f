"""Which frames of the arm's bus are worth a word, and the word: what changes, and what nobody but us may send."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from tristage_ros.devices.arm.can_bus import OF_A_MASTER
from tristage_ros.devices.arm.values import ARM_STATUS, CONTROL_MODES, GRIPPER_BITS, MOVE_MODES, MotorBits

ARM, US, OTHERS = "the arm says", "we send", "others send"
_STATUS, _GRIPPER, _MOTORS = 0x2A1, 0x2A8, range(0x261, 0x267)
_MODE, _RESET, _ENABLE, _GRIP, _VERSION = 0x151, 0x150, 0x471, 0x159, 0x4AF
_RARE = 0.1  # s; the same words within it are one line


@dataclass(frozen=True)
class Word:
    """Hold what frames say, and when the first and the last of them came, s."""

    time: float
    source: str  # ARM, US or OTHERS
    text: str
    count: int = 1
    last: float = 0.0


def words(frames: Iterable[tuple[float, bool, Any]]) -> list[Word]:
    """Return what is worth a word in `frames`: time, s; whether we sent it; can_msgs/Frame. In the order of time."""
    said: list[Word] = []
    open_: dict[tuple[str, str], int] = {}  # where the newest of the same words is
    for word in _all(frames):
        where = open_.get((word.source, word.text))
        if where is not None and word.time - said[where].last < _RARE:
            said[where] = replace(said[where], count=said[where].count + 1, last=word.time)
            continue
        open_[word.source, word.text] = len(said)
        said.append(replace(word, last=word.time))
    return said


def _all(frames: Iterable[tuple[float, bool, Any]]) -> Iterator[Word]:
    known: dict[int, bytes] = {}
    for time, sent, frame in frames:
        identifier, data = int(frame.id), bytes(frame.data)
        if frame.is_error:
            yield Word(time, ARM, f"error frame 0x{identifier:x}")
        elif sent:
            if text := _ours(identifier, data):
                yield Word(time, US, text)
        elif identifier in OF_A_MASTER:
            yield Word(time, OTHERS, f"0x{identifier:03x}, a master's")
        elif (telling := _telling(identifier, data)) is not None and known.get(identifier) != telling:
            known[identifier] = telling
            yield Word(time, ARM, _theirs(identifier, data))


def _ours(identifier: int, data: bytes) -> str:
    if identifier == _MODE:
        return f"0x151 CAN control, {MOVE_MODES.get(data[1], data[1])}, {data[2]} %"
    if identifier == _ENABLE:
        return "0x471 motors on"
    if identifier == _RESET:
        return "0x150 reset"
    if identifier == _GRIP and data[6] != 1:
        return f"0x159 gripper, code {data[6]}"
    return "0x4af firmware version?" if identifier == _VERSION else ""


def _telling(identifier: int, data: bytes) -> bytes | None:
    """Return the bytes of a frame of the arm whose change is worth a word, None where none is."""
    if identifier == _STATUS:
        return data[:3] + data[6:]
    if identifier in _MOTORS:
        return data[5:6]
    return data[6:7] if identifier == _GRIPPER else None


def _theirs(identifier: int, data: bytes) -> str:
    if identifier == _STATUS:
        error = int.from_bytes(data[6:8], "big")
        told = [_named(CONTROL_MODES, data[0]), _named(ARM_STATUS, data[1]), str(MOVE_MODES.get(data[2], data[2]))]
        return f"0x2a1 {', '.join(told)}" + (f", error 0x{error:04x}" if error else "")
    if identifier == _GRIPPER:
        bad = [word for bit, word in enumerate(GRIPPER_BITS) if data[6] >> bit & 1]
        return f"0x2a8 gripper {'on' if data[6] & 0x40 else 'off'}{''.join(f', {word}' for word in bad)}"
    bits = [str(bit.name).lower().replace("_", " ") for bit in MotorBits if data[5] & bit]
    return f"0x{identifier:03x} motor {identifier - 0x260}: {', '.join(bits) or 'off'}"


def _named(names: tuple[str, ...], number: int) -> str:
    return names[number] if number < len(names) else str(number)
