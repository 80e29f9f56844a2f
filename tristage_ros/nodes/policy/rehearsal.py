"""A few control steps before the arm can move: how old an observation would be by the time its action is there.

Nobody acts on them and nothing of them is kept. A simulated cell asks for them, which has to know how fast it may be.
"""

from __future__ import annotations

from rclpy.node import Node
from std_msgs.msg import Float64

from tristage_ros.mla.policy import MlaPolicy
from tristage_ros.mla.values import Observation
from tristage_ros.nodes.policy.loading import tristage_pruner
from tristage_ros.pruning import TriStagePruner
from tristage_ros.ros import qos

_MOST = 30  # of which the last come once whoever asked for them has changed its pace


class Rehearsal:
    """Say what was found, until the first control step or long enough."""

    def __init__(self, node: Node) -> None:
        """Begin with the next observation; that the topic is there says that the policy is ready."""
        self._publisher = node.create_publisher(Float64, qos.REHEARSAL_TOPIC, qos.NEWEST)
        self._said = 0
        self.after = 0.0  # s, ROS time: an observation made after this is the next one

    @property
    def over(self) -> bool:
        """Tell whether enough was said."""
        return self._said >= _MOST

    def say(self, age: float, now: float) -> None:
        """Publish how old, s, an observation was; the next one is made after `now`, as one is that an arm waits for."""
        self._said += 1
        self.after = now
        self._publisher.publish(Float64(data=age))


def rehearse(policy: MlaPolicy, observation: Observation, instruction: str) -> None:
    """Take a control step on all tokens, and leave the policy as a reset does.

    Raises:
        ModelOutputError, ValueError: as of a control step.
    """
    pruner = tristage_pruner(policy)
    policy.pruner = TriStagePruner(pruner.config.carried(1.0))  # what this one learns is not kept
    try:
        policy.act(observation)
    finally:
        policy.pruner = pruner
        policy.reset(instruction)
