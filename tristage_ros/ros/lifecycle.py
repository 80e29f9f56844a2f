"""Lifecycle nodes that bring themselves up, so that the graph is the same with and without a launch system."""

from __future__ import annotations

from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

from tristage_ros.ros.parameters import Parameter
from tristage_ros.ros.runner import STOP, ConfigurationError, StoppedError

AUTOSTART = Parameter("autostart", True, "configure and activate at start; false: wait for lifecycle transitions")


class ManagedNode(LifecycleNode):
    """Say why a transition failed, and carry a `failure` that ends the process."""

    def __init__(self, name: str) -> None:
        """Start unconfigured."""
        super().__init__(name)
        self.failure = ""
        self.refusal = ""

    def bring_up(self) -> None:
        """Configure and activate.

        Raises:
            ConfigurationError: a transition was refused; `refusal` says why.
        """
        for transition in (self.trigger_configure, self.trigger_activate):
            done = transition() == TransitionCallbackReturn.SUCCESS
            if STOP.is_set():
                self.close()
                raise StoppedError
            if not done:
                raise ConfigurationError(f"{self.get_name()}: {self.refusal or 'transition refused'}")

    def close(self) -> None:
        """End everything that the node started."""

    def refuse(self, reason: str) -> TransitionCallbackReturn:
        """Log `reason` and return what a refused transition returns."""
        self.refusal = reason
        self.get_logger().error(reason)
        return TransitionCallbackReturn.FAILURE
