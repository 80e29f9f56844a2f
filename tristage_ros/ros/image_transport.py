"""Images on the way from node to node, raw or compressed as the plugins of image_transport do it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from tristage_ros.bags.images import COLOR_SUFFIX, DEPTH_SUFFIX, JPEG_QUALITY, compress, restore
from tristage_ros.ros import qos
from tristage_ros.ros.convert import image_message, to_array
from tristage_ros.ros.parameters import Parameter
from tristage_ros.ros.subscriptions import Subscriptions

IMAGE_TRANSPORT = Parameter(
    "image_transport",
    "raw",
    "raw: sensor_msgs/Image; compressed: the topics below, /compressed for colour and /compressedDepth for depth",
    choices=("raw", "compressed"),
)
QUALITY = Parameter("jpeg_quality", JPEG_QUALITY, "of compressed colour images; depth loses nothing", "%", 1, 100)


class ImagePublisher:
    """Publish one stream of images on `topic` and, compressed, below it; each form only where somebody listens."""

    def __init__(self, node: Node, topic: str, quality: int = JPEG_QUALITY) -> None:
        """Create both publishers; `quality` is that of JPEG, 1..100."""
        self._quality = quality
        self._raw = node.create_publisher(Image, topic, qos.IMAGES)
        self._compressed = node.create_publisher(CompressedImage, compressed_topic(topic), qos.IMAGES)

    def publish(self, data: NDArray[np.generic], encoding: str, stamp: float, frame_id: str) -> None:
        """Publish `data` ([H, W] 16UC1 or [H, W, 3] rgb8 or bgr8) with `stamp` in s."""
        raw, compressed = (each.get_subscription_count() for each in (self._raw, self._compressed))
        if not raw and not compressed:
            return
        image = image_message(data, encoding, stamp, frame_id)
        if raw:
            self._raw.publish(image)
        if compressed and (made := compress(image, quality=self._quality)):
            _, small = made
            message = CompressedImage(header=image.header, format=small.format, data=to_array(small.data))
            self._compressed.publish(message)


def compressed_topic(topic: str) -> str:
    """Return where the images of `topic` are published in compressed form."""
    return topic + (DEPTH_SUFFIX if "depth" in topic else COLOR_SUFFIX)


def subscribe_image(
    subscriptions: Subscriptions,
    topic: str,
    callback: Callable[[Any], None],
    transport: str,
    on_refused: Callable[[str], None],
) -> None:
    """Call `callback` with the newest Image on `topic`; `transport` says in which form they come.

    What cannot be decompressed is left out: `on_refused` is told why.
    """
    if transport == "raw":
        subscriptions.add(Image, topic, callback, qos.NEWEST)
        return
    name, logger = compressed_topic(topic), subscriptions.logger

    def on_compressed(message: CompressedImage) -> None:
        try:
            image = restore(name, message)
        except ValueError as error:
            logger.warning(f"frame refused: {error}", throttle_duration_sec=5.0)
            on_refused(str(error))
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

    subscriptions.add(CompressedImage, name, on_compressed, qos.NEWEST)
