"""Diagnostics by REP-107, and under replayed time."""

import time

import pytest
import rclpy
from builtin_interfaces.msg import Time
from camera_source import LOOKING_DOWN, CameraSource, table
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rosgraph_msgs.msg import Clock

from tristage_ros.nodes.point_cloud import PointCloudNode
from tristage_ros.ros.convert import seconds
from tristage_ros.ros.diagnostics import ERROR, OK, Diagnostics, Part


class Setting:
    """A node, a helper that hears its diagnostics, and a clock that only moves when told."""

    def __init__(self, make, *parameters):
        rclpy.init(args=["--ros-args", *(word for text in parameters for word in ("-p", text))])
        self.node, self.helper = make(), Node("helper")
        self.heard = []
        self.helper.create_subscription(DiagnosticArray, "/diagnostics", self.heard.append, 10)
        self.clock = self.helper.create_publisher(Clock, "/clock", 10)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.helper)

    def until(self, condition, timeout=40.0):
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, self.heard[-1:]
            self.executor.spin_once(timeout_sec=0.02)

    def set_time(self, now):
        self.until(self.clock.get_subscription_count)

        def arrived():
            self.clock.publish(Clock(clock=Time(sec=int(now), nanosec=round(now % 1 * 1e9))))
            return abs(self.node.get_clock().now().nanoseconds * 1e-9 - now) < 1e-6

        self.until(arrived)

    def status(self, name):
        found = [status for array in self.heard for status in array.status if status.name == name]
        return found[-1] if found else None

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()
        self.helper.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture
def setting(ros_domain):
    made = []

    def make(*arguments):
        made.append(Setting(*arguments))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_every_part_is_told_with_name_level_and_hardware(setting):
    s = setting(lambda: Node("camera"))
    diagnostics = Diagnostics(s.node, "rig 7")
    diagnostics.add("color", lambda: Part(OK, "30 Hz", {"rate [Hz]": 29.97, "serial": "0815"}))
    diagnostics.add("depth", lambda: Part(ERROR, "no frame for 6.0 s"), "sensor 3")
    s.until(lambda: len(s.heard) >= 2)
    color, depth = s.heard[-1].status
    assert (color.name, color.level, color.hardware_id) == ("camera: color", DiagnosticStatus.OK, "rig 7")
    assert {value.key: value.value for value in color.values} == {"rate [Hz]": "29.97", "serial": "0815"}
    assert (depth.name, depth.level, depth.hardware_id) == ("camera: depth", DiagnosticStatus.ERROR, "sensor 3")
    stamps = [seconds(array.header.stamp) for array in s.heard]
    assert abs(time.time() - stamps[-1]) < 30.0


def test_replayed_time_that_stands_still_does_not_silence_a_node(setting):
    s = setting(lambda: Node("camera"), "use_sim_time:=true")
    Diagnostics(s.node).add("color", lambda: Part(OK, "here"))
    s.set_time(1000.25)
    s.heard.clear()
    s.until(lambda: len(s.heard) >= 3)
    assert seconds(s.heard[-1].header.stamp) == pytest.approx(1000.25)


def test_rates_and_ages_are_those_of_replayed_time(setting, tmp_path):
    path = tmp_path / "cameras.yaml"
    path.write_text(LOOKING_DOWN)
    given = ("use_sim_time:=true", "cameras:=[front]", f"cameras_file:={path}", "camera_rate:=10.0", "max_age:=0.5")
    s = setting(PointCloudNode, *given)
    front = CameraSource(s.helper)
    s.until(front.depth.get_subscription_count)

    def play(start):
        for frame in range(12):
            stamp = start + 0.1 * frame
            s.set_time(stamp)
            before = s.node.streams["front"].received
            front.publish_depth(table(), stamp=stamp)
            s.until(lambda before=before: s.node.streams["front"].received > before)

    def told(level, words):
        s.heard.clear()
        s.until(lambda: s.status("point_cloud: front depth"))
        status = s.status("point_cloud: front depth")
        assert (status.level, status.hardware_id) == (level, "camera front") and words in status.message

    front.publish_info(999.0)
    s.until(lambda: s.node.inputs["front"].model)
    play(1000.0)
    told(DiagnosticStatus.OK, "10.0 Hz")
    s.set_time(1003.1)
    told(DiagnosticStatus.WARN, "no frame for 2.0 s")
    s.set_time(1021.1)
    told(DiagnosticStatus.ERROR, "no frame for 20.0 s")
    play(500.0)  # the bag begins again
    told(DiagnosticStatus.OK, "10.0 Hz")
