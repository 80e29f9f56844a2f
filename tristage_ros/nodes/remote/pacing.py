"""When the next chunk is asked for, where chunks have steps in time; key frames wait as those of our own policy do."""

from __future__ import annotations

import math

from tristage_msgs.msg import ActionChunk, ArmStatus

from tristage_ros.nodes.policy.readiness import FramePacing, KeyFramePacing
from tristage_ros.openpi.mapping import PolicyMap
from tristage_ros.ros.convert import seconds


class ChunkPacing:
    """Ask about a moment at which so much of the last chunk is carried out as the map says; the rest runs meanwhile."""

    RUNS = "the last chunk is being carried out"
    EARLY = 0.02  # s by which a frame may come before that moment, rather than to wait for the next one
    AGAIN = 0.5  # s after which another chunk is asked for in the place of one that the arm has refused

    def __init__(self, span: float) -> None:
        """Take how long a chunk is carried out before the next one is asked for, s."""
        self._span, self._sent = span, ActionChunk().header.stamp
        self.newer_than = 0.0
        self._due = -math.inf  # s, ROS time

    def on_sent(self, chunk: ActionChunk, monotonic: float) -> None:
        """Count from the observation that the chunk answers, as its steps do."""
        self._sent = chunk.header.stamp
        self._wait_until(seconds(chunk.header.stamp) + self._span)

    def on_arm_status(self, status: ArmStatus, monotonic: float) -> None:
        """Take note that the arm has refused the chunk, or has given it up."""
        lost = status.chunk_state in (ArmStatus.CHUNK_REFUSED, ArmStatus.CHUNK_ABORTED)
        if lost and status.chunk_stamp == self._sent:
            self._wait_until(min(self._due, seconds(status.chunk_stamp) + self.AGAIN))

    def waits_for(self, monotonic: float, now: float) -> str:
        """Return what the next question waits for, empty when it may be asked (`now`: s, ROS time)."""
        return self.RUNS if now < self._due else ""

    def wanted_since(self, monotonic: float, now: float) -> float:
        """Return since when an answer is wanted, s, ROS time."""
        return self._due if math.isfinite(self._due) else now

    def _wait_until(self, due: float) -> None:
        self._due, self.newer_than = due, due - self.EARLY


Pacing = ChunkPacing | KeyFramePacing | FramePacing


def pacing_of(mapped: PolicyMap, control: str) -> Pacing:
    """Return the pacing that a map, and the node's parameter `control`, ask for."""
    if control == "frame":
        return FramePacing(KeyFramePacing())
    return ChunkPacing(mapped.execute / mapped.rate) if mapped.rate else KeyFramePacing()
