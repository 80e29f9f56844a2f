"""Images as they are published, raw or compressed, always handed on as sensor_msgs/Image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from tristage_ros.bags.images import COLOR_SUFFIX, DEPTH_SUFFIX, restore
from tristage_ros.nodes.convert import to_array
from tristage_ros.nodes.parameters import Parameter

IMAGE_TRANSPORT = Parameter(
    "image_transport",
    "raw",
    "raw: sensor_msgs/Image; compressed: the topics below, /compressed for colour and /compressedDepth for depth",
    choices=("raw", "compressed"),
)


def subscribe_image(
    node: Node, topic: str, callback: Callable[[Any], None], profile: QoSProfile, transport: str
) -> Subscription:
    """Call `callback` with every Image on `topic`; `transport` says in which form they come.

    What cannot be decompressed is left out with a warning.
    """
    if transport == "raw":
        return node.create_subscription(Image, topic, callback, profile)
    name = topic + (DEPTH_SUFFIX if "depth" in topic else COLOR_SUFFIX)

    def on_compressed(message: CompressedImage) -> None:
        try:
            image = restore(name, message)
        except ValueError as error:
            node.get_logger().warning(str(error), throttle_duration_sec=5.0)
            return
        callback(
            Image(
                header=message.header,
                height=image.height,
                width=image.width,
                encoding=image.encoding,
                step=image.step,
                data=to_array(image.data),
            )
        )

    return node.create_subscription(CompressedImage, name, on_compressed, profile)
