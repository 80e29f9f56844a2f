"""Whether the arm goes where only somebody else can have asked it to go: a master on the bus who is not heard.

Another program of this computer may send without being heard. What it sends shows in the joints: they leave all that
was asked of them, and their motors do not pull them back. An arm that lags comes nearer; one that hangs under a load,
is pushed, or presses on something pulls towards its target. In that an arm of any timing and stiffness differs from
one that obeys other targets, or that does not hear these. It shows in the arm's move mode, too, where that changes.

What is not seen: a master whose targets are too seldom to move a joint, or within `_AWAY` of ours.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.values import MOVE_JOINTS, MOVE_MODES, ArmFeedback

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_LAG = 0.3  # s, and three periods of the feedback, in which an arm has begun to go where it was asked to
_AWAY = 0.04  # rad from all that was asked meanwhile, beyond how it hangs
_NEARER = 0.15  # of that distance that a joint covers within the window, from where on it follows
_WINDOW = 0.12  # s, and a period of the feedback, that are looked back
_PERSISTS = 0.15  # s, and a period of the feedback
_PULLS = np.array([3.0, 3.0, 3.0, 1.2, 1.2, 1.2])  # N m towards the target by which a motor shows that it obeys
_THERE = 0.015  # rad from what is asked now, within which a motor only carries the arm
_LEARNS = 0.1  # of what a motor carries, by each sample
_GAP = 0.25  # s without a look, after which the past means nothing
_SOMEBODY = "somebody else commands the arm, not heard on the bus"


class Unheard:
    """Compare what was asked for with what the joints and motors do; times are s on the monotonic clock."""

    def __init__(self) -> None:
        """Begin without a past."""
        self.forget()

    def forget(self) -> None:
        """Begin anew, as after the arm was switched on."""
        self._by_joints = False  # the arm has said that it moves as it was asked to
        self._lose_sight()

    def _lose_sight(self) -> None:
        self._asked: deque[tuple[float, Floats]] = deque()
        self._samples: deque[ArmFeedback] = deque()
        self._carried: Floats | None = None  # [6] N m, by motors that are where they are to be
        self._since = np.full(6, math.inf)  # s, since when a joint has been elsewhere without a pull

    def mode(self, move_mode: int) -> str:
        """Return why the arm obeys somebody else by the move mode that it reports, "" while it does not."""
        self._by_joints = self._by_joints or move_mode == MOVE_JOINTS
        if move_mode == MOVE_JOINTS or not self._by_joints:
            return ""
        name = MOVE_MODES.get(move_mode, f"move mode {move_mode}")
        return f"{_SOMEBODY}: it has gone over to {name}, and was asked for {MOVE_MODES[MOVE_JOINTS]}"

    def look(self, now: float, setpoint: Floats, arm: ArmFeedback, standing: Floats) -> str:
        """Return why the arm obeys somebody else, "" while it does not.

        Args:
            now: s.
            setpoint: [6] rad, as last sent.
            arm: the newest feedback, young enough to act on.
            standing: [6] rad by which the arm hangs below its set-points.
        """
        period, felt = (arm.groups.get(name, (arm.stamp, 0.0, 0)) for name in ("joint positions", "efforts"))
        every = period[1]
        blind = bool(self._asked) and now - self._asked[-1][0] > _GAP + every
        numb = arm.stamp - felt[0] > _GAP + 4.0 * felt[1]  # nobody knows whether a motor pulls
        if blind or numb or arm.arm_status:  # what the arm itself refuses is nobody else's doing
            self._lose_sight()
        lag = _LAG + 3.0 * every
        self._asked.append((now, setpoint.copy()))
        while len(self._asked) > 2 and self._asked[1][0] <= now - lag:
            self._asked.popleft()
        if not self._samples or arm.stamp > self._samples[-1].stamp:
            self._take(setpoint - standing, arm, _WINDOW + every)
        if now - self._asked[0][0] < lag:
            return ""
        asked = np.array([target for _, target in self._asked]) - standing
        short = np.clip(arm.position, asked.min(axis=0), asked.max(axis=0)) - arm.position
        elsewhere = (np.abs(short) > _AWAY) & ~self._nearer(short) & ~self._pulls(short)
        self._since = np.where(elsewhere, np.minimum(self._since, now), math.inf)
        long = now - self._since >= _PERSISTS + every
        if not long.any():
            return ""
        joint = int(np.abs(np.where(long, short, 0.0)).argmax())
        return (
            f"{_SOMEBODY}, or it does not hear us: joint {joint + 1} is {abs(short[joint]):.2f} rad from all that was "
            "asked of it, and its motor does not pull it there"
        )

    def _take(self, target: Floats, arm: ArmFeedback, window: float) -> None:
        """Take a sample, and learn what each motor carries where its joint is where it is to be."""
        self._samples.append(arm)
        while len(self._samples) > 2 and self._samples[1].stamp <= arm.stamp - window:
            self._samples.popleft()
        if self._carried is None:
            self._carried = arm.effort.copy()
        there = np.abs(target - arm.position) < _THERE
        self._carried = self._carried + np.where(there, _LEARNS * (arm.effort - self._carried), 0.0)

    def _nearer(self, short: Floats) -> Bools:
        """Tell which joints [6] have come nearer to what was asked of them."""
        covered = np.sign(short) * (self._samples[-1].position - self._samples[0].position)
        nearer: Bools = covered > _NEARER * np.abs(short)
        return nearer

    def _pulls(self, short: Floats) -> Bools:
        """Tell which motors [6] pull towards what was asked of them, in the mean."""
        effort = np.mean([arm.effort for arm in self._samples], axis=0)
        pulls: Bools = np.sign(short) * (effort - self._carried) > _PULLS
        return pulls
