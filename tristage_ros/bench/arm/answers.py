"""The node answers, whatever it is asked, and tells how the arm is."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from tristage_ros.bench.arm.log import Log

ANSWER, STOP_ANSWER = 5.0, 0.5  # s in which every service, and arm/stop, answers
STATUS_RATE, STATUS_SPAN = 10.0, 2.0  # Hz, at least, and over which time, s
_STOOD_STILL = 0.5  # s of that time, from which on nothing is known


def answers(log: Log, until: float) -> Iterator[str]:
    """Yield the calls that were answered late, not at all, or otherwise than they have to be."""
    for call in log.calls:
        asked_to_end = min((life[1] for life in log.lives if life[1] > call.sent), default=until)
        waited = min(call.answered, until, asked_to_end) - call.sent
        if waited - log.stalled(call.sent, call.sent + waited) > (STOP_ANSWER if call.name == "stop" else ANSWER):
            how = f"after {call.answered - call.sent:.2f} s" if math.isfinite(call.answered) else "not at all"
            yield f"{call.sent:.3f}: {call.name} was answered {how} {call.message}"
        if call.wanted is not None and math.isfinite(call.answered) and call.success is not call.wanted:
            yield f"{call.sent:.3f}: {call.name} was {'done' if call.success else 'refused'}: {call.message}"


def statuses(log: Log, until: float) -> Iterator[str]:
    """Yield when arm/status came too seldom while the node had the arm."""
    stamps, away = np.array(sorted(stamp for stamp, _ in log.statuses)), _disconnected(log)
    for up, asked_to_end, _ in log.lives:
        for begin in np.arange(up, min(asked_to_end, until) - STATUS_SPAN, STATUS_SPAN / 2):
            end = begin + STATUS_SPAN
            if log.stalled(begin, end) > _STOOD_STILL or any(begin < to and end > since for since, to in away):
                continue
            count = int(((stamps >= begin) & (stamps < end)).sum())
            if count < STATUS_RATE * STATUS_SPAN:
                yield f"{begin:.3f}: arm/status came {count} times in {STATUS_SPAN:g} s"


def _disconnected(log: Log) -> list[tuple[float, float]]:
    """Return when the node did not have the arm, since somebody had it cleaned up; and when it was connecting."""
    connected = [call.answered for call in log.called("configure") if call.success]
    connected += [life[0] for life in log.lives]
    found = [
        (call.sent, min((when for when in connected if when > call.sent), default=math.inf))
        for call in log.called("cleanup")
        if call.success or math.isinf(call.answered)
    ]
    return found + [(call.sent, call.answered) for call in log.called("configure", "cleanup")]
