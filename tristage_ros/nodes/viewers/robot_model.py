"""The arm's URDF and transforms, by ROS 2's robot_state_publisher, for the firmware that the arm reports."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tristage_msgs.msg import ArmStatus

from tristage_ros.devices.arm.kinematics import dh_is_offset
from tristage_ros.devices.arm.site import load_site
from tristage_ros.devices.arm.urdf import urdf
from tristage_ros.graph.namespaces import program_arguments
from tristage_ros.graph.parameter_file import write_parameters
from tristage_ros.nodes.viewers.viewer import ProgramNode
from tristage_ros.ros.parameters import Parameter, declare
from tristage_ros.ros.runner import ConfigurationError, run

PACKAGE = "robot_state_publisher"
PARAMETERS = (Parameter("site_file", "", "where the tool's grasp centre is; empty: config/site.yaml"),)


class RobotModelNode(ProgramNode):
    """Wait for the arm's firmware, which decides on the zero of two joints, then publish the model."""

    def __init__(self) -> None:
        """Begin to listen to the arm."""
        super().__init__("robot_model")
        try:
            self._tcp = load_site(declare(self, PARAMETERS).site_file).tool.tcp
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"robot_model: {error}") from error
        self._folder = tempfile.TemporaryDirectory(prefix="tristage-model-")
        self._firmware = ""
        self.create_subscription(ArmStatus, "arm/status", self._on_status, 1)

    def _on_status(self, status: ArmStatus) -> None:
        if not status.firmware or status.firmware == self._firmware:
            return
        self.close_program()
        self._firmware = status.firmware
        try:
            description = {"robot_description": urdf(dh_is_offset(status.firmware), self._tcp)}
        except ValueError as error:
            self.get_logger().error(f"no model of the arm: {error}")
            return
        self.get_logger().info(f"model of the arm for firmware {status.firmware}")
        file = Path(self._folder.name) / "model.yaml"
        write_parameters(file, description)
        given = ["-r", f"__node:={PACKAGE}", "--params-file", str(file)]
        self.start(PACKAGE, PACKAGE, [*program_arguments(self.get_namespace()), *given])

    def close(self) -> None:
        """End the publisher and remove its file."""
        self.close_program()
        self._folder.cleanup()


def main() -> int:
    """Run the node until a signal ends it; return the exit code."""
    return run(RobotModelNode)
