"""The arm's joints, as messages tell of them: positions at the stamp of an image."""

from __future__ import annotations

import math
from bisect import insort
from collections import deque
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from tristage_ros.observing.messages import Message, seconds
from tristage_ros.words import one_line

ARM_JOINTS = tuple(f"joint{i}" for i in range(1, 7))
GRIPPER_JOINT = "gripper"
OUT_OF_ORDER = 0.5  # s; a state that is older than the newest by more means that time went back: a bag was restarted


def positions_of(message: Message) -> NDArray[np.float64]:
    """Return the positions [7] of a joint state by name: joints of the arm in rad, gripper opening in m.

    Raises:
        ValueError: a joint of the arm is missing or not finite.
    """
    named = dict(zip(message.name, message.position, strict=False))
    missing = [name for name in (*ARM_JOINTS, GRIPPER_JOINT) if name not in named]
    if missing:
        here = one_line(", ".join(message.name)) or "no names"
        raise ValueError(f"joint_states lack {', '.join(missing)}; they have {here}: rename them where they come from")
    positions = np.array([named[name] for name in (*ARM_JOINTS, GRIPPER_JOINT)])
    if not np.isfinite(positions).all():
        raise ValueError(f"joint_states are not finite: {positions.tolist()}")
    return positions


class JointHistory:
    """Keep joint states by stamp and interpolate between them."""

    def __init__(self, span: float = 3.0) -> None:
        """Keep the last `span` seconds, which may be changed."""
        self.span = span
        self._samples: deque[tuple[float, NDArray[np.float64]]] = deque()

    def add(self, message: Message) -> None:
        """Take joint positions (rad; gripper opening in m) by name.

        Raises:
            ValueError: a joint of the arm is missing or not finite.
        """
        sample = positions_of(message)
        stamp = seconds(message.header.stamp)
        if self._samples and stamp < self._samples[-1][0] - OUT_OF_ORDER:
            self._samples.clear()
        insort(self._samples, (stamp, sample), key=itemgetter(0))
        stamp = self._samples[-1][0]
        while self._samples[0][0] < stamp - self.span:
            self._samples.popleft()

    @property
    def newest(self) -> float:
        """Return the newest stamp, s; -inf before the first."""
        return self._samples[-1][0] if self._samples else -math.inf

    def at(self, stamp: float, tolerance: float = 0.1) -> NDArray[np.float64] | None:
        """Return [7] joint positions (rad) and gripper opening (m) at `stamp`, None when nothing is near enough."""
        samples = list(self._samples)
        if not samples:
            return None
        times = np.array([time for time, _ in samples])
        if stamp < times[0] - tolerance or stamp > times[-1] + tolerance:
            return None
        values = np.stack([value for _, value in samples])
        return np.array([np.interp(stamp, times, column) for column in values.T])
