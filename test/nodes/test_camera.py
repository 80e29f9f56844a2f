"""The camera node on emulated cameras: what it publishes, and what it says and does when a camera fails."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from emulated_realsense import DISTORTION, EmulatedRealSense, record
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from tristage_ros.nodes.camera.node import CameraNode, intrinsics_message
from tristage_ros.perception.camera_info import camera_model
from tristage_ros.ros import qos
from tristage_ros.ros.convert import seconds
from tristage_ros.ros.diagnostics import ERROR, OK, WARN
from tristage_ros.ros.runner import ConfigurationError

STREAMS = {
    "color/image_raw": Image,
    "color/camera_info": CameraInfo,
    "aligned_depth_to_color/image_raw": Image,
    "aligned_depth_to_color/camera_info": CameraInfo,
    "depth/image_rect_raw": Image,
    "depth/camera_info": CameraInfo,
}
SMALL = ("rgb_camera.color_profile:=160x120x30", "depth_module.depth_profile:=160,120,30")
HASTY = ("reconnect_timeout:=0.2", "lost_after:=1.0", "frozen_after:=0.5")


def rclpy_with(name, *parameters):
    given = [f"camera_name:={name}", *SMALL, *HASTY, *parameters]
    return ["--ros-args", "-r", f"camera:__node:={name}", *(word for text in given for word in ("-p", text))]


class Setting:
    """A camera node under test and an ear behind it."""

    def __init__(self):
        self.messages, self.status, self.node = {}, {}, None

    def start(self, name, source, *parameters):
        rclpy.init(args=rclpy_with(name, *parameters))
        self.executor = SingleThreadedExecutor()
        self.node, self.ear = CameraNode(source), Node("ear")
        for node in (self.node, self.ear):
            self.executor.add_node(node)
        self.ear.create_subscription(DiagnosticArray, "/diagnostics", self.on_diagnostics, 10)
        self.listen(name)

    def listen(self, name):
        for stream, kind in STREAMS.items():
            topic = f"/{name}/{stream}"
            self.messages[topic] = []
            self.ear.create_subscription(kind, topic, self.messages[topic].append, qos.IMAGES)

    def on_diagnostics(self, message):
        for status in message.status:
            self.status[status.name] = status

    def until(self, condition, what, timeout=60.0):
        end = time.monotonic() + timeout
        while not condition():
            self.executor.spin_once(timeout_sec=0.02)
            assert not self.node.failure
            assert time.monotonic() < end, (what, self.status)

    def frames(self, topic, count=3):
        wanted = len(self.messages[topic]) + count
        self.until(lambda: len(self.messages[topic]) >= wanted, topic)
        return self.messages[topic]

    def moment(self):
        """Return the messages of one stamp by stream, None while no stamp has come on every one."""
        found = {}
        for topic, messages in self.messages.items():
            for message in messages:
                found.setdefault(seconds(message.header.stamp), {})[topic.removeprefix("/front/")] = message
        return next((messages for messages in found.values() if len(messages) == len(STREAMS)), None)

    def told(self, part, level, words=""):
        def said():
            status = self.status.get(part)
            return status is not None and status.level == level and words in status.message

        self.until(said, (part, level, words))
        return {pair.key: pair.value for pair in self.status[part].values}

    def close(self):
        if self.node is None:
            return
        assert not self.node.failure
        self.executor.shutdown()
        for node in (self.node, self.ear):
            getattr(node, "close", lambda: None)()
            node.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture
def setting(ros_domain):
    made = Setting()
    yield made
    made.close()


@pytest.fixture
def device():
    with EmulatedRealSense() as emulated:
        yield emulated


def pixels(message, kind, channels):
    return np.frombuffer(message.data, kind).reshape(message.height, message.width, channels).squeeze()


def test_topics_encodings_frames_and_stamps_are_those_of_realsense2_camera(setting, device):
    setting.start("front", device)
    for stream in STREAMS:
        setting.frames(f"/front/{stream}")
    setting.until(setting.moment, "one moment of every stream")
    moment = setting.moment()
    color, aligned, depth = (
        moment[name] for name in ("color/image_raw", "aligned_depth_to_color/image_raw", "depth/image_rect_raw")
    )
    assert (color.encoding, aligned.encoding, depth.encoding) == ("rgb8", "16UC1", "16UC1")
    assert (color.step, aligned.step) == (480, 320)
    assert color.header.frame_id == aligned.header.frame_id == "front_color_optical_frame"
    assert depth.header.frame_id == "front_depth_optical_frame"
    assert moment["color/camera_info"] == moment["aligned_depth_to_color/camera_info"]
    assert 0.0 < time.time() - seconds(color.header.stamp) < 30.0
    shown = [device.images(number) for number in range(device.number + 1)]
    assert any(np.array_equal(pixels(color, np.uint8, 3), image) for image, _ in shown)
    assert any(np.array_equal(pixels(depth, np.uint16, 1), image) for _, image in shown)
    setting.told("front: device", OK, "emu0001")
    setting.told("front: clock", OK)
    assert setting.told("front: images", OK)["actual_exposure"] == "156"


def test_camera_info_carries_distortion_and_is_read_by_our_own_nodes(setting, device):
    setting.start("front", device)
    info = setting.frames("/front/color/camera_info")[-1]
    assert info.distortion_model == "plumb_bob"
    np.testing.assert_allclose(info.d, DISTORTION, atol=1e-7)
    model = camera_model(info)
    assert (model.width, model.fx, model.cx, model.frame_id) == (160, 160.0, 80.0, "front_color_optical_frame")
    np.testing.assert_allclose(model.lens.coefficients, DISTORTION, atol=1e-7)
    assert setting.told("front: device", OK)["lens"] == "brown_conrady"
    assert info == intrinsics_message(setting.node.link.camera.color, seconds(info.header.stamp), model.frame_id)


def test_metadata_is_that_of_realsense2_camera_where_its_messages_are_installed(setting, device):
    messages = pytest.importorskip("realsense2_camera_msgs.msg", reason="comes with realsense2_camera, not from PyPI")
    setting.start("front", device)
    found = setting.messages["/front/color/metadata"] = []
    setting.ear.create_subscription(messages.Metadata, "/front/color/metadata", found.append, qos.IMAGES)
    message = setting.frames("/front/color/metadata")[-1]
    told = json.loads(message.json_data)
    assert message.header.frame_id == "front_color_optical_frame"
    assert told["actual_exposure"] == 156 and told["frame_number"] > 0 and told["clock_domain"] == "global_time"


def test_unplugged_is_an_error_and_plugging_in_heals_it_without_a_restart(setting, device):
    setting.start("front", device)
    setting.frames("/front/color/image_raw")
    device.unplug()
    assert setting.told("front: device", ERROR, "not connected")["times lost"] == "1"
    setting.told("front: images", WARN, "no frame for")
    device.plugged = True
    setting.frames("/front/color/image_raw")
    setting.told("front: device", OK)


def test_one_camera_only_is_told_and_leaves_the_other_alone(setting):
    absent = EmulatedRealSense(serial="emu0002")
    absent.unplug()
    setting.start("wrist", absent)
    program = Path(__file__).resolve().parents[1] / "emulated_camera_node.py"
    front = subprocess.Popen([sys.executable, str(program), *rclpy_with("front")])
    try:
        setting.listen("front")
        setting.frames("/front/color/image_raw")
        setting.told("front: device", OK)
        setting.told("wrist: device", ERROR, "emu0002 is not connected")
        assert not setting.messages["/wrist/color/image_raw"]
    finally:
        front.terminate()
        assert front.wait(30) == 0


def test_a_frozen_camera_is_an_error_and_publishes_nothing(setting, device):
    setting.start("front", device)
    setting.frames("/front/color/image_raw")
    device.frozen = True
    setting.told("front: images", ERROR, "frozen")
    for messages in setting.messages.values():
        messages.clear()
    end = time.monotonic() + 1.0
    setting.until(lambda: time.monotonic() > end, "a second")
    assert not any(setting.messages.values())
    device.frozen = False
    setting.frames("/front/color/image_raw")
    setting.told("front: images", OK)


def test_a_black_image_is_an_error_and_only_depth_goes_on(setting, device):
    setting.start("front", device)
    setting.frames("/front/color/image_raw")
    device.black = True
    setting.told("front: images", ERROR, "black")
    setting.messages["/front/color/image_raw"].clear()
    setting.frames("/front/aligned_depth_to_color/image_raw", 10)
    assert not setting.messages["/front/color/image_raw"]


def test_depth_all_zero_is_a_warning_and_published_as_it_is(setting, device):
    device.blind = True
    setting.start("front", device)
    setting.told("front: images", WARN, "depth")
    assert not pixels(setting.frames("/front/aligned_depth_to_color/image_raw")[-1], np.uint16, 1).any()
    assert setting.frames("/front/color/image_raw")


def test_clocks_10_s_apart_are_a_warning_and_stamps_are_of_this_machine(setting, device):
    device.clock_offset = -10.0
    setting.start("front", device)
    values = setting.told("front: clock", WARN, "behind this machine's")
    assert float(values["behind this machine [s]"]) == pytest.approx(10.0, abs=2.0)
    stamp = seconds(setting.frames("/front/color/image_raw")[-1].header.stamp)
    assert abs(time.time() - stamp) < 5.0


def test_usb_2_is_a_warning(setting):
    with EmulatedRealSense(usb="2.1") as device:
        setting.start("front", device)
        setting.told("front: device", WARN, "USB 2.1")


def test_a_recording_is_published_to_its_end(setting, tmp_path):
    path = tmp_path / "camera.db3"
    record(path, EmulatedRealSense(), 20)
    setting.start("front", None, f"rosbag_filename:={path}", "rosbag_loop:=true")
    assert setting.frames("/front/color/image_raw")


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ("rgb_camera.color_profile:=wide", "640x480x30"),
        ("rosbag_filename:=/nowhere/camera.db3", "/nowhere/camera.db3"),
    ],
)
def test_wrong_parameters_keep_it_from_starting(ros_domain, parameter, words):
    rclpy.init(args=rclpy_with("front", parameter))
    with pytest.raises(ConfigurationError, match=words):
        CameraNode()
    rclpy.try_shutdown()
