"""The point cloud node: what it publishes, what it refuses, and that it lives."""

from functools import partial

import numpy as np
import pytest
import rclpy
from camera_source import BEST_EFFORT, LOOKING_DOWN, CameraSource, now, table
from diagnostic_msgs.msg import DiagnosticArray
from node_setting import NodeSetting, made_by
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, PointCloud2

from tristage_ros.bags.images import compress
from tristage_ros.nodes.point_cloud import PointCloudNode
from tristage_ros.ros import diagnostics, qos
from tristage_ros.ros.convert import camera_info_message, cloud_points, header, image_message, seconds
from tristage_ros.ros.parameters import ParameterError
from tristage_ros.ros.runner import ConfigurationError

WIDE = ("workspace_min:=[-2.0, -2.0, -2.0]", "workspace_max:=[2.0, 2.0, 2.0]")


class Setting(NodeSetting):
    """The node under test, a camera in front of it and an ear behind it."""

    def __init__(self, tmp_path, *parameters):
        path = tmp_path / "cameras.yaml"
        path.write_text(LOOKING_DOWN)
        given = ["cameras:=[front]", f"cameras_file:={path}", *WIDE, "max_age:=8.0", *parameters]
        super().__init__(PointCloudNode, given)
        self.clouds = []
        self.helper.create_subscription(PointCloud2, "/tristage/cloud", self.clouds.append, qos.IMAGES)
        self.front = CameraSource(self.helper)
        heard = [self.front.depth.topic_name, self.front.depth.topic_name + "/compressedDepth"]
        self.until(lambda: any(self.helper.count_subscribers(topic) for topic in heard))
        self.until(lambda: self.helper.count_publishers("/tristage/cloud"))
        self.front.publish_info()
        self.until(lambda: self.node.inputs["front"].model)

    def refused(self):
        return sum(self.node.inputs["front"].refused.values())


@pytest.fixture
def setting(ros_domain, tmp_path):
    with made_by(partial(Setting, tmp_path)) as make:
        yield make


def test_a_replayed_frame_that_is_shown_again_gives_the_same_cloud_again(setting):
    s = setting("use_sim_time:=true")
    clock, stamp = s.helper.create_publisher(Clock, "/clock", 10), 1000.0
    end = now() + 30
    while len(s.clouds) < 3:
        clock.publish(Clock(clock=header(stamp, "").stamp))
        s.front.publish_depth(table(), "16UC1", stamp)
        s.executor.spin_once(timeout_sec=0.05)
        assert now() < end
    assert s.node.published == 1 and s.clouds[0] == s.clouds[1] == s.clouds[2]


@pytest.mark.parametrize("encoding", ["16UC1", "mono16", "32FC1"])
def test_depth_becomes_points_in_the_base_frame(setting, encoding):
    s = setting("stride:=1")
    stamp = now()
    depth = table().astype(np.float32) / 1000 if encoding == "32FC1" else table()
    s.front.publish_depth(depth, encoding, stamp)
    s.until(lambda: s.clouds)
    points = cloud_points(s.clouds[0])
    assert s.clouds[0].header.frame_id == "base_link"
    assert seconds(s.clouds[0].header.stamp) == pytest.approx(stamp, abs=1e-6)
    assert len(points) > 100
    np.testing.assert_allclose(points[:, 2], 0.01, atol=1e-3)  # 0.79 m below a camera 0.80 m up
    np.testing.assert_allclose((points[:, :2].min(axis=0) + points[:, :2].max(axis=0)) / 2, [0.3, 0.0], atol=0.02)


@pytest.mark.parametrize(
    ("publish", "words"),
    [
        (lambda front: front.publish_depth(table(), "mono8"), "mono8"),
        (lambda front: front.publish_depth(table(shape=(24, 32))), "32x24"),
        (lambda front: front.publish_depth(table(), stamp=now() - 9.0), "9.0"),
        (lambda front: front.publish_depth(table(), stamp=now() + 9.0), "clock"),
    ],
)
def test_a_bad_frame_is_refused_counted_and_reported_and_the_node_lives(setting, publish, words):
    s = setting()
    publish(s.front)
    s.until(s.refused)
    part = s.node._depth_part("front")
    assert part.level == diagnostics.WARN and words in part.message
    assert not s.clouds
    s.front.publish_depth(table())
    s.until(lambda: s.clouds)


def test_a_best_effort_camera_is_heard_and_told(setting):
    s = setting()
    other = CameraSource(s.helper, profile=BEST_EFFORT)
    end = now() + 30
    while not s.clouds:
        other.publish_depth(table())
        s.executor.spin_once(timeout_sec=0.05)
        assert now() < end
    messages = []
    s.helper.create_subscription(DiagnosticArray, "/diagnostics", messages.append, 10)
    s.until(lambda: messages)
    (inputs,) = [status for status in messages[0].status if status.name == "point_cloud: inputs"]
    assert inputs.level == diagnostics.OK
    assert inputs.message.startswith("best effort, frames may be lost: ") and other.depth.topic_name in inputs.message


def test_a_lens_bends_the_cloud_and_one_that_cannot_be_honoured_is_told_by_name(setting):
    s = setting("stride:=1")
    info = camera_info_message(s.front.camera, now())
    info.d = [0.2, 0.0, 0.0, 0.0, 0.0]
    info.distortion_model = "fisheye"
    s.front.info.publish(info)
    s.until(lambda: s.node.inputs["front"].model is None)
    s.front.publish_depth(table())
    s.until(lambda: s.refused() > 1)
    assert "no lens model 'fisheye'" in s.node._depth_part("front").message
    assert not s.clouds
    info.distortion_model = "plumb_bob"
    s.front.info.publish(info)
    s.until(lambda: s.node.inputs["front"].model)
    s.front.publish_depth(table())
    s.until(lambda: s.clouds)
    x, y, z = cloud_points(s.clouds[0]).T
    corner = np.hypot(x - 0.3, y).max() / 0.79  # the ray of the corner, which the lens has pushed outwards
    assert corner * (1 + 0.2 * corner**2) == pytest.approx(np.hypot(32, 24) / 60, rel=0.03)
    np.testing.assert_allclose(z, 0.01, atol=1e-3)


def test_depth_without_any_measurement_gives_an_empty_cloud_and_a_warning(setting):
    s = setting()
    s.front.publish_depth(table(0))
    s.until(lambda: s.clouds)
    assert s.clouds[0].width == 0
    part = s.node._cloud_part()
    assert part.level == diagnostics.WARN and "empty" in part.message


def test_a_silent_camera_is_reported_with_its_age(setting):
    s = setting("max_age:=0.2")
    s.front.publish_depth(table())
    s.until(lambda: s.clouds)
    end = now() + 0.5
    s.until(lambda: now() > end)
    assert "old" in s.node._cloud_part().message
    assert "no frame for" in s.node._depth_part("front").message


def test_the_wrist_camera_is_placed_by_the_joint_states(setting):
    s = setting("cameras:=[front, wrist]", "stride:=1")
    wrist = CameraSource(s.helper, "wrist")
    s.until(lambda: wrist.depth.get_subscription_count() and wrist.joints.get_subscription_count())
    wrist.publish_info()
    s.until(lambda: s.node.inputs["wrist"].model)
    stamp = now()
    s.front.publish_depth(table(0), stamp=stamp)
    wrist.publish_depth(table(100), stamp=stamp)
    assert not s.clouds
    wrist.publish_joints(stamp - 0.01)
    wrist.publish_joints(stamp + 0.01)
    s.until(lambda: s.clouds)
    from tristage_ros.devices.arm.kinematics import forward

    flange = forward([0.0, 1.2, -1.1, 0.0, 0.9, 0.0])
    expected = flange[:3, 3] + 0.1 * flange[:3, 2]
    points = cloud_points(s.clouds[0])
    np.testing.assert_allclose((points @ flange[:3, 2]).mean(), expected @ flange[:3, 2], atol=2e-3)


def test_a_missing_wrist_camera_does_not_stop_the_front_one(setting):
    s = setting("cameras:=[front, wrist]")
    stamp = now()
    s.front.publish_depth(table(), stamp=stamp)
    s.until(lambda: s.node.inputs["front"].newest)
    s.front.publish_depth(table(), stamp=stamp + 0.07)
    s.until(lambda: s.clouds)
    assert s.node.incomplete == 1


@pytest.mark.parametrize(
    ("parameters", "error", "words"),
    [
        (["points:=5"], ParameterError, "points"),
        (["voxels:=5"], ParameterError, "voxels"),
        (["cameras:=[front, rear]"], ConfigurationError, "rear"),
        (["cameras:=[front, side cam]"], ConfigurationError, "cannot be called 'side cam'"),
        (["cameras:=[front, front]"], ConfigurationError, "two cameras are called 'front'"),
        (["workspace_min:=[9.0, 0.0, 0.0]"], ConfigurationError, "workspace"),
    ],
)
def test_wrong_parameters_keep_it_from_starting(ros_domain, tmp_path, parameters, error, words):
    with pytest.raises(error, match=words):
        Setting(tmp_path, *parameters)
    rclpy.try_shutdown()


def test_a_compressed_frame_that_was_cut_off_is_refused_counted_and_reported_and_the_next_one_is_taken(setting):
    s = setting("image_transport:=compressed")
    publisher = s.helper.create_publisher(CompressedImage, s.front.depth.topic_name + "/compressedDepth", qos.IMAGES)
    s.until(publisher.get_subscription_count)
    _, made = compress(image_message(table(), "16UC1", now(), s.front.camera.frame_id))
    whole = CompressedImage(header=made.header, format=made.format, data=made.data.tobytes())
    publisher.publish(CompressedImage(header=made.header, format=made.format, data=made.data.tobytes()[:-30]))
    s.until(s.refused)
    part = s.node._depth_part("front")
    assert part.level == diagnostics.WARN and "compressedDepth" in part.message and "cut off" in part.message
    assert part.values["refused, undecodable"] == 1 and not s.clouds
    publisher.publish(whole)
    s.until(lambda: s.clouds)
