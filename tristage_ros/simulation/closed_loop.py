"""Continuous control in process: a key frame several times a second, of which the first part is carried out."""

from __future__ import annotations

import numpy as np

from tristage_ros.mla.approach import Pace, paced
from tristage_ros.mla.values import Action
from tristage_ros.simulation.episode import Episode, StepOutcome

PERIOD = 0.2  # s from one control step to the next: 5 Hz
LATENCY = 0.1  # s from an observation to the arm's taking over its chunk
LONGEST = 30.0  # s, simulated, that an episode may take
PACE = Pace()  # as the policy node's, with control:=rate


class ClosedLoop:
    """Lead an episode continuously, from where it is; the arm keeps moving while the next step is decided."""

    def __init__(self, episode: Episode) -> None:
        """Begin with an open gripper, as episodes do."""
        self._episode = episode
        self._gripper, self._since = np.ones(1), 0.0  # what the chunk under way asks for, and the stamp it answers

    @property
    def finished(self) -> bool:
        """Tell whether the attempt is over."""
        return self._episode.finished or self._episode.time >= LONGEST

    def step(self, action: Action) -> StepOutcome:
        """Set out for the key frame that answers an observation made now, and let PERIOD pass."""
        stamp, rotation = self._episode.time, self._episode.robot_state()[3:6]
        chunk = paced(action, rotation, self._asked(stamp), PACE)
        self._episode.advance(LATENCY)
        outcome = self._episode.submit(chunk, PACE.time_step, stamp)
        if outcome.accepted:
            self._gripper, self._since = chunk.gripper, stamp
        self._episode.advance(PERIOD - LATENCY)
        return outcome

    def skip(self) -> None:
        """Let PERIOD pass without a new chunk."""
        self._episode.advance(PERIOD)

    def _asked(self, stamp: float) -> float:
        """Return what the gripper commands of the chunk under way have come to at `stamp`, s."""
        due = int((stamp - self._since) / PACE.time_step + 1e-6) - 1
        return float(self._gripper[min(max(due, 0), len(self._gripper) - 1)])
