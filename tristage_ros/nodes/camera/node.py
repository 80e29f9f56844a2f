"""A RealSense as a node: topics, parameters, encodings and frames of realsense2_camera, which can replace it.

`CameraTopics` publishes, and `CameraNode` holds the link to the device, which it does not give up when the camera is
unplugged.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from tristage_ros.devices.realsense.capture import Intrinsics, Profile
from tristage_ros.devices.realsense.device import Connected, Recording, Settings, Source
from tristage_ros.devices.realsense.link import CameraLink, Frame, Patience
from tristage_ros.nodes.camera.health import CameraHealth
from tristage_ros.ros import qos
from tristage_ros.ros.convert import header
from tristage_ros.ros.image_transport import QUALITY, ImagePublisher
from tristage_ros.ros.parameters import Parameter, declare
from tristage_ros.ros.qos import sending
from tristage_ros.ros.runner import ConfigurationError, run

try:  # comes with the C++ node; nobody can subscribe to it where it is missing
    from realsense2_camera_msgs.msg import Metadata
except ImportError:
    Metadata: Any = None

COLOR, DEPTH, ALIGNED = "color", "depth", "aligned_depth_to_color"


class CameraTopics:
    """Publish frames below the node's own name; images only where somebody listens."""

    def __init__(self, node: Node, camera_name: str, *, align_depth: bool, quality: int) -> None:
        """Create the publishers `~/color/image_raw` and so on; `quality` is that of JPEG, 1..100."""
        self._optical = {name: f"{camera_name}_{name}_optical_frame" for name in (COLOR, DEPTH)}
        images = {COLOR: "image_raw", DEPTH: "image_rect_raw"} | ({ALIGNED: "image_raw"} if align_depth else {})
        self._images = {stream: ImagePublisher(node, f"~/{stream}/{name}", quality) for stream, name in images.items()}
        self._infos = {
            stream: node.create_publisher(CameraInfo, f"~/{stream}/camera_info", qos.IMAGES) for stream in images
        }
        self._metadata = node.create_publisher(Metadata, "~/color/metadata", qos.IMAGES) if Metadata else None

    def publish(self, frame: Frame, color: Intrinsics, depth: Intrinsics) -> None:
        """Publish everything of one frame under one stamp; `color` and `depth` are the streams' intrinsics."""
        self._publish(ALIGNED, "16UC1", frame.capture.depth, frame.stamp, color, COLOR)
        if frame.color is not None:
            self._publish(COLOR, "rgb8", frame.color, frame.stamp, color, COLOR)
        self._publish(DEPTH, "16UC1", frame.capture.raw_depth, frame.stamp, depth, DEPTH)
        if self._metadata is not None and self._metadata.get_subscription_count():
            data = json.dumps(frame.capture.metadata)
            self._metadata.publish(Metadata(header=header(frame.stamp, self._optical[COLOR]), json_data=data))

    def _publish(
        self, stream: str, encoding: str, data: NDArray[np.generic], stamp: float, seen: Intrinsics, sensor: str
    ) -> None:
        if stream not in self._images:
            return
        frame_id = self._optical[sensor]
        self._infos[stream].publish(intrinsics_message(seen, stamp, frame_id))
        self._images[stream].publish(data, encoding, stamp, frame_id)


def intrinsics_message(seen: Intrinsics, stamp: float, frame_id: str) -> CameraInfo:
    """Return the CameraInfo of an image that is not rectified; `stamp` in s."""
    return CameraInfo(
        header=header(stamp, frame_id),
        height=seen.height,
        width=seen.width,
        distortion_model=seen.distortion_model,
        d=list(seen.distortion),
        k=[seen.fx, 0.0, seen.cx, 0.0, seen.fy, seen.cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[seen.fx, 0.0, seen.cx, 0.0, 0.0, seen.fy, seen.cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


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
