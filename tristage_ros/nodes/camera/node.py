"""A RealSense as a node: topics, parameters, encodings and frames of realsense2_camera, which can replace it."""

from __future__ import annotations

from pathlib import Path

from rclpy.node import Node

from tristage_ros.devices.realsense.device import Connected, Recording, Settings, Source
from tristage_ros.devices.realsense.link import CameraLink, Frame, Patience
from tristage_ros.devices.realsense.values import Profile
from tristage_ros.nodes.camera.health import CameraHealth
from tristage_ros.nodes.camera.topics import CameraTopics
from tristage_ros.ros.image_transport import QUALITY
from tristage_ros.ros.parameters import Parameter, declare
from tristage_ros.ros.runner import ConfigurationError, run
from tristage_ros.ros.sending import sending

PARAMETERS = (
    Parameter("camera_name", "camera", "first part of the frames' names, as in front_color_optical_frame"),
    Parameter("serial_no", "", "serial number, with or without a leading _; empty: the only camera that is connected"),
    Parameter("rgb_camera.color_profile", "640x480x30", "size and rate of the colour stream"),
    Parameter("depth_module.depth_profile", "640x480x30", "size and rate of the depth stream"),
    Parameter("align_depth.enable", True, "publish depth aligned to colour"),
    Parameter("rosbag_filename", "", "a .db3 recording that is played instead of a camera"),
    Parameter("rosbag_loop", False, "play the recording again and again"),
    Parameter("reconnect_timeout", 2.0, "between attempts to find a lost camera", "s", 0.1, 60.0),
    Parameter("lost_after", 2.0, "a camera without frames for longer is lost", "s", 0.2, 60.0),
    Parameter("frozen_after", 1.0, "a camera that repeats one image for longer is frozen; 0: never", "s", 0.0, 60.0),
    QUALITY,
)


class CameraNode(Node):
    """Publish what one camera sees and say how it is."""

    def __init__(self, source: Source | None = None) -> None:
        """Start to look for the camera; `source` stands for the one that the parameters name."""
        super().__init__("camera")
        self.settings = s = declare(self, PARAMETERS)
        settings = self._streams()
        self.topics = CameraTopics(
            self, s.camera_name, align_depth=getattr(s, "align_depth.enable"), quality=s.jpeg_quality
        )
        patience = Patience(s.lost_after, s.reconnect_timeout, s.frozen_after)
        self.link = CameraLink(source or self._source(), settings, patience, self._publish, self.get_logger())
        self.health = CameraHealth(self, self.link, settings)
        self.link.start()

    @property
    def failure(self) -> str:
        """Say why the process must end; empty while all is well."""
        return self.link.failure and f"{self.get_name()}: {self.link.failure}"

    def _streams(self) -> Settings:
        try:
            color, depth = (
                Profile.parse(getattr(self.settings, name))
                for name in ("rgb_camera.color_profile", "depth_module.depth_profile")
            )
        except ValueError as error:
            raise ConfigurationError(f"{self.get_name()}: {error}") from error
        return Settings(color, depth)

    def _source(self) -> Source:
        s = self.settings
        if not s.rosbag_filename:
            return Connected(s.serial_no.removeprefix("_"))
        path = Path(s.rosbag_filename)
        if not path.is_file():
            raise ConfigurationError(f"{self.get_name()}: rosbag_filename: there is no recording at {path}")
        return Recording(path, s.rosbag_loop)

    def _publish(self, frame: Frame) -> None:
        camera = self.link.camera
        if camera is None:
            return
        with sending(self, "frame"):
            self.topics.publish(frame, camera.color, camera.depth)
            self.health.published(frame)

    def close(self) -> None:
        """End the streams."""
        self.link.close()


def main() -> int:
    """Run the node until a signal ends it; return the exit code."""
    return run(CameraNode)
