"""The topics of one RealSense, as realsense2_camera publishes them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from tristage_ros.devices.realsense.link import Frame
from tristage_ros.devices.realsense.values import Intrinsics
from tristage_ros.ros import qos
from tristage_ros.ros.convert import header
from tristage_ros.ros.image_transport import ImagePublisher

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
