"""What goes wrong, and that it is over, as lines of text: each when it becomes true, and once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tristage_ros.devices.arm.values import ArmMode, ChunkState
from tristage_ros.viewing.logger.wire import Record

ARM, DIAGNOSTICS = "said/arm", "said/diagnostics"
INFO, WARN, ERROR = "INFO", "WARN", "ERROR"
LEVELS = {0: INFO, 1: WARN, 2: ERROR, 3: WARN}  # of diagnostic_msgs/DiagnosticStatus
WELL = (ArmMode.HOLDING, ArmMode.MOVING)  # between which the arm changes with every key frame
BAD_CHUNKS = {ChunkState.REFUSED: "chunk refused", ChunkState.ABORTED: "chunk broken off"}


class Said:
    """Remember what was said last."""

    def __init__(self) -> None:
        """Begin with nothing said."""
        self._mode: tuple[str, str] | None = None
        self._chunk: tuple[int, int, int] | None = None
        self._parts: dict[str, tuple[int, str]] = {}

    def arm(self, message: Any, time: int) -> Iterator[Record]:
        """Yield what is new in an ArmStatus: that it cannot move and why, or can; chunks refused or broken off."""
        mode = ("ready", "") if message.mode in WELL else (_named(message.mode), message.reason)
        if mode != self._mode:
            level = ERROR if message.mode == ArmMode.FAULT else WARN if message.mode == ArmMode.DISCONNECTED else INFO
            yield _line(ARM, _joined(*mode), level, time)
        self._mode = mode
        chunk = message.chunk_stamp.sec, message.chunk_stamp.nanosec, message.chunk_state
        if chunk != self._chunk and message.chunk_state in BAD_CHUNKS:
            yield _line(ARM, _joined(BAD_CHUNKS[message.chunk_state], message.chunk_reason), WARN, time)
        self._chunk = chunk

    def diagnostics(self, message: Any, time: int) -> Iterator[Record]:
        """Yield the parts of a DiagnosticArray that became worse, better or otherwise bad; not what was and is well."""
        for status in message.status:
            level = int(status.level)
            before = self._parts.get(status.name, (0, ""))
            self._parts[status.name] = now = level, status.message
            if (level, before[0]) != (0, 0) and now != before:
                text = f"{status.name}: {status.message}"
                yield _line(DIAGNOSTICS, text, LEVELS.get(level, WARN), time)


def _named(mode: int) -> str:
    try:
        return ArmMode(mode).name.lower()
    except ValueError:  # of a newer definition
        return f"mode {mode}"


def _joined(what: str, why: str) -> str:
    return f"{what}: {why}" if why else what


def _line(path: str, text: str, level: str, time: int) -> Record:
    return Record(path, "TextLog", {"text": text, "level": level}, time)
