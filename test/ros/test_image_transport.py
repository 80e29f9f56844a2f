"""Images reach a node the same, raw or compressed."""

import array
import time

import numpy as np
import pytest
import rclpy
from camera_source import now
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from tristage_ros.bags.images import compress
from tristage_ros.ros import qos
from tristage_ros.ros.convert import header, image_message
from tristage_ros.ros.image_transport import ImagePublisher, subscribe_image
from tristage_ros.ros.subscriptions import Subscriptions

DEPTH = np.random.default_rng(0).integers(0, 65535, (48, 64)).astype(np.uint16)
SMOOTH = np.tile(np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None], (48, 1, 3))


@pytest.fixture
def node(ros_context):
    node = Node("receiver")
    yield node
    node.destroy_node()


def received(node, topic, transport, kind, name, message):
    got = []
    subscribe_image(Subscriptions(node), topic, got.append, transport, pytest.fail)
    publisher = node.create_publisher(kind, name, qos.IMAGES)
    end = time.monotonic() + 30
    while not got and time.monotonic() < end:
        publisher.publish(message)
        rclpy.spin_once(node, timeout_sec=0.2)
    return got[0] if got else None


def compressed(image):
    suffix, message = compress(image)
    sent = CompressedImage(header=image.header, format=message.format)
    sent.data = array.array("B", message.data.tobytes())
    return suffix, sent


@pytest.mark.parametrize(
    ("topic", "pixels", "encoding"),
    [("/front/color/image_raw", SMOOTH, "rgb8"), ("/front/aligned_depth_to_color/image_raw", DEPTH, "16UC1")],
)
def test_both_transports_give_the_same_image(node, topic, pixels, encoding):
    image = image_message(pixels, encoding, now(), "front")
    raw = received(node, topic, "raw", Image, topic, image)
    suffix, sent = compressed(image)
    unpacked = received(node, topic, "compressed", CompressedImage, topic + suffix, sent)
    for got in (raw, unpacked):
        assert (got.width, got.height, got.encoding, got.step) == (64, 48, encoding, image.step)
        assert got.header == image.header
    values = [np.frombuffer(got.data, pixels.dtype).astype(int) for got in (raw, unpacked)]
    assert abs(values[0] - values[1]).mean() <= (0 if encoding == "16UC1" else 3)


def test_what_is_no_image_is_left_out(node):
    broken = CompressedImage(header=header(now(), "front"), format="rgb8; jpeg compressed bgr8", data=b"no image")
    got, refused, topic = [], [], "/front/color/image_raw"
    subscribe_image(Subscriptions(node), topic, got.append, "compressed", refused.append)
    _, good = compressed(image_message(SMOOTH, "rgb8", now(), "front"))
    publisher = node.create_publisher(CompressedImage, topic + "/compressed", qos.IMAGES)
    end = time.monotonic() + 30
    while not (got and refused) and time.monotonic() < end:
        for message in (broken, good):
            publisher.publish(message)
            rclpy.spin_once(node, timeout_sec=0.2)
    assert got and {message.width for message in got} == {64}
    assert refused and topic + "/compressed: 8 bytes of format 'rgb8; jpeg compressed bgr8'" in refused[0]


@pytest.mark.parametrize(
    ("topic", "pixels", "encoding", "form"),
    [
        ("/front/color/image_raw", SMOOTH, "rgb8", "rgb8; jpeg compressed bgr8"),
        ("/front/aligned_depth_to_color/image_raw", DEPTH, "16UC1", "16UC1; compressedDepth png"),
    ],
)
def test_images_are_compressed_only_for_those_who_listen(node, monkeypatch, topic, pixels, encoding, form):
    publisher, got, work = ImagePublisher(node, topic, 90), {"raw": [], "compressed": []}, []
    monkeypatch.setattr(
        "tristage_ros.ros.image_transport.compress", lambda *a, **k: work.append(1) or compress(*a, **k)
    )

    def until(transport):
        subscribe_image(Subscriptions(node), topic, got[transport].append, transport, pytest.fail)
        end = time.monotonic() + 30
        while not got[transport] and time.monotonic() < end:
            publisher.publish(pixels, encoding, now(), "front")
            rclpy.spin_once(node, timeout_sec=0.2)
        assert got[transport]

    publisher.publish(pixels, encoding, now(), "front")
    until("raw")
    assert not work
    forms = []
    suffix = "/compressedDepth" if encoding == "16UC1" else "/compressed"
    node.create_subscription(CompressedImage, topic + suffix, lambda m: forms.append(m.format), qos.IMAGES)
    until("compressed")
    assert work and got["compressed"][0].encoding == encoding
    rclpy.spin_once(node, timeout_sec=1.0)
    assert set(forms) <= {form}
