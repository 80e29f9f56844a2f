"""The point cloud node on rendered frames: told joints that are wrong, it warns, and stops the arm where it may."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from camera_source import CameraSource, now
from node_setting import NodeSetting, made_by
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32
from std_srvs.srv import Trigger

from tristage_ros.nodes.point_cloud import PointCloudNode
from tristage_ros.perception.lying_joint import Lie
from tristage_ros.ros import diagnostics
from tristage_ros.ros.convert import header
from tristage_ros.ros.joints import ARM_JOINTS, GRIPPER_JOINT
from tristage_ros.simulation.episode import Episode

ROUNDS = 150  # frames that a test waits for its looks, at most


@pytest.fixture(scope="module")
def scene():
    """What the front camera sees, mm, its model, and the joints."""
    with Episode("banana", 910_007) as episode:
        frame, joints = episode.frames()["front"], episode.joints
    millimetres = (np.nan_to_num(frame.depth) * 1e3).round().astype(np.uint16)
    return millimetres, replace(frame.camera, frame_id="front_color_optical_frame"), joints


class Setting(NodeSetting):
    """The node, a front camera, joints that a test chooses, and somebody who serves /arm/stop."""

    def __init__(self, scene, *parameters):
        super().__init__(PointCloudNode, ["cameras:=[front]", "agreement_period:=0.2", "max_age:=8.0", *parameters])
        self.depth, camera, self.joints = scene
        self.front, self.stops, self.told = CameraSource(self.helper, "front", camera), [], []
        self.helper.create_service(Trigger, "/arm/stop", self._on_stop)
        self.helper.create_subscription(Float32, "/tristage/disagreement", self.told.append, 10)
        self.until(lambda: self.front.depth.get_subscription_count() and self.front.joints.get_subscription_count())
        self.front.publish_info()
        self.until(lambda: self.node.inputs["front"].model)

    def _on_stop(self, request, response):
        self.stops.append(request)
        response.success = True
        return response

    def look(self, joints, done):
        """Show the scene with these joints, until `done`."""
        for _ in range(ROUNDS):
            stamp = now()
            for step in (-0.06, 0.06):
                message = JointState(header=header(stamp + step, "base_link"), name=[*ARM_JOINTS, GRIPPER_JOINT])
                message.position = list(map(float, joints))
                self.front.joints.publish(message)
            self.front.publish_depth(self.depth, stamp=stamp)
            end = now() + 0.1
            while now() < end:
                self.executor.spin_once(timeout_sec=0.02)
            if done():
                return
        raise AssertionError(f"{self.node.agreement.part(now())}")


@pytest.fixture
def setting(ros_domain, scene):
    with made_by(partial(Setting, scene)) as make:
        yield make


def test_a_lying_joint_is_a_warning_and_stops_the_arm_once_where_that_is_asked_for(setting):
    s = setting("disagreement:=stop")
    agreement = s.node.agreement
    s.look(s.joints, lambda: agreement.looks >= 3)
    assert agreement.part(now()).level == diagnostics.OK and "agree" in agreement.part(now()).message
    lying = s.joints.copy()
    lying[4] -= np.radians(30)
    s.look(lying, lambda: s.stops)
    agreement.lie = Lie(4, np.radians(30))
    part = agreement.part(now())
    assert part.level == diagnostics.WARN and "not where its joints say" in part.message
    assert "joint 5, by 30 deg" in part.message and "/arm/recover" in part.message and "since" in part.values
    assert max(one.data for one in s.told) > 1.0 > s.told[0].data
    looks = agreement.looks
    s.look(lying, lambda: agreement.looks >= looks + 3)
    assert len(s.stops) == 1
    s.look(s.joints, lambda: agreement.watch.finding is None)


def test_a_warning_alone_stops_nothing(setting):
    s = setting()
    lying = s.joints.copy()
    lying[4] -= np.radians(30)
    s.look(lying, lambda: s.node.agreement.watch.finding)
    looks = s.node.agreement.looks
    s.look(lying, lambda: s.node.agreement.looks >= looks + 2)
    assert not s.stops
