"""The rules that an arm node has to keep whatever is done to it, asked of the log of an attack.

Times are taken in another process than the node's, and on a busy machine late: what a rule allows beyond the product's
own limit is for that, and is named here. Where this process itself stood still, that time is not counted.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tristage_ros.bench.arm.answers import answers, statuses
from tristage_ros.bench.arm.log import Floats, Log
from tristage_ros.bench.arm.possession import ends
from tristage_ros.bench.arm.rest import Rest
from tristage_ros.bench.arm.setpoints import FASTEST, RELIEF, Stream
from tristage_ros.devices.arm.kinematics import JOINT_LIMITS

ON_ITS_WAY = 0.3  # s in which what was sent before comes
LATE_STEP = 0.03  # s of motion that one set-point may stand for
WINDOW, JITTER = 1.0, 0.25  # s over which speeds are judged, and how much of it frames may come too soon
CARE = ("gripper_home", "gripper_zero")


class Judge:
    """Collect what breaks a rule in one log."""

    def __init__(self, log: Log, until: float) -> None:
        """Take the log of an attack that ended at `until`."""
        self.log, self.until = log, until
        self.stream = Stream(log)
        self.rest = Rest(log, self.stream, until)
        self.ends = 0  # of set-points, that were judged
        self.after_end = 0  # set-points, at most, that came after one

    def findings(self) -> list[str]:
        """Return what broke a rule, each with its time in the log."""
        return [
            *self.log.findings,
            *self._frames(),
            *self._ends(),
            *self._limits(),
            *self._speeds(),
            *self.rest.findings(),
            *answers(self.log, self.until),
            *statuses(self.log, self.until),
        ]

    # Which frames, and when any.

    def _frames(self) -> Iterator[str]:
        for stamp, identifier, data in self.log.up:
            if not self._permitted(stamp, identifier, data):
                yield f"{stamp:.3f}: frame 0x{identifier:03x} {data.hex()}"
        burst = [(stamp, identifier) for stamp, identifier, _ in self.log.up if 0x155 <= identifier <= 0x157]
        torn = [s for k, (s, identifier) in enumerate(burst) if identifier != 0x155 + k % 3]
        if torn:
            yield f"{torn[0]:.3f}: a burst of joint targets is torn"

    def _permitted(self, stamp: float, identifier: int, data: bytes) -> bool:
        if identifier == 0x151:
            return data[:2] == b"\1\1" and 1 <= data[2] <= 100 and not data[3]
        if identifier == 0x159:
            return data[6:] == b"\1\0" or (data[6] in (0, 2, 3) and self._during(stamp, *CARE))
        if identifier == 0x150:
            return data == b"\2" + bytes(7) and self._during(stamp, "recover")
        if identifier == 0x471:
            return data[:2] == b"\7\2" and self._during(stamp, "enable")
        if identifier == 0x472:  # a query of a motor's limits
            return 1 <= data[0] <= 6 and data[1] in (1, 2)
        return 0x155 <= identifier <= 0x157 or (identifier == 0x4AF and data == b"\1" + bytes(7))

    def _during(self, stamp: float, *names: str) -> bool:
        return any(call.sent <= stamp <= call.answered + 0.1 for call in self.log.called(*names))

    def _ends(self) -> Iterator[str]:
        log = self.log
        sent = [s for s, i, data in log.up if i in (0x151, 0x155, 0x156, 0x157) or (i == 0x159 and data[6] == 1)]
        frames, setpoints = np.array(sent, dtype=float), self.stream.stamps
        for ended in ends(log):
            within = (frames > ended.begin) & (frames < ended.end)
            bursts = int(((setpoints > ended.begin) & (setpoints < ended.end)).sum())
            patience = ON_ITS_WAY + log.stalled(ended.begin, ended.begin + 1.0) if ended.tolerated else 0.0
            late = int((within & (frames > ended.begin + patience)).sum())
            self.ends += 1
            if ended.tolerated:
                self.after_end = max(self.after_end, bursts)
            if bursts > ended.tolerated or late:
                yield f"{ended.begin:.3f}: {bursts} set-points, {late} frames that late after: {ended.why}"

    def _limits(self) -> Iterator[str]:
        low, high = JOINT_LIMITS[:, 0] - 1e-4, JOINT_LIMITS[:, 1] + 1e-4
        beyond = ((self.stream.targets < low) | (self.stream.targets > high)).any(axis=1)
        if beyond.any():
            yield f"{self.stream.stamps[beyond][0]:.3f}: {beyond.sum()} set-points beyond a joint limit"

    def _speeds(self) -> Iterator[str]:
        stream, counted = self.stream, np.abs(self.stream.steps)
        for k in np.flatnonzero(stream.sizes > RELIEF * LATE_STEP):
            allowed = max(RELIEF, FASTEST * stream.scale(stream.stamps[k + 1]))
            if stream.sizes[k] <= allowed * LATE_STEP + 1e-3:
                continue
            counted[k] = 0.0
            if not stream.begins_anew(int(k)):
                yield f"{stream.told(int(k))}, where {allowed:.2f} rad/s are allowed"
        if len(counted):
            yield from self._windows(stream.stamps[1:], np.cumsum(counted, axis=0))

    def _windows(self, stamps: Floats, travelled: Floats) -> Iterator[str]:
        """Judge the speed over a second, which no frame that comes too soon can change by much."""
        first = np.searchsorted(stamps, stamps - WINDOW)
        travel = (travelled - travelled[first]).max(axis=1)
        for k in np.flatnonzero(travel > RELIEF * WINDOW * (1 + JITTER)):
            begin, end = stamps[first[k]], stamps[k]
            span = WINDOW * (1 + JITTER) + self.log.stalled(begin - 1.0, end)
            allowed = max(RELIEF, FASTEST * max(self.stream.scale(begin), self.stream.scale(end)))
            if travel[k] > allowed * span:
                yield f"{end:.3f}: {travel[k]:.2f} rad within {WINDOW:g} s, where {allowed:.2f} rad/s are allowed"
                return
