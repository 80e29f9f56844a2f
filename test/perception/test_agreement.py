"""Cameras against joints, on rendered scenes: what is told, and what is no alarm."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tristage_ros.devices.arm.kinematics import forward
from tristage_ros.devices.arm.shapes import arm_shape
from tristage_ros.perception.agreement import ARM, FRONT, WRIST, Limits, Look, look
from tristage_ros.perception.cloud import RgbdFrame
from tristage_ros.perception.lying_joint import lying_joint
from tristage_ros.perception.surfaces import Table
from tristage_ros.perception.watch import NEEDED, OUT_OF, Watch
from tristage_ros.simulation.episode import Episode
from tristage_ros.simulation.sensing import SensingConfig
from tristage_ros.simulation.setting import Variation

LIMITS = Limits()


@pytest.fixture(scope="module")
def table() -> Table:
    return Table.under(SensingConfig.of_the_cell().workspace, 0.0)


@pytest.fixture(scope="module")
def scene() -> tuple[RgbdFrame, RgbdFrame, np.ndarray]:
    """Front, wrist and joints with noise on the images, the gripper over the table's middle."""
    with Episode("banana", 910_007, Variation(sensor_noise=True, hand=True)) as episode:
        episode.submit(episode.expert())
        episode.advance(2.0)
        frames = episode.frames()
        return frames["front"], frames["wrist"], episode.joints


def moved(frame: RgbdFrame, shift: tuple[float, float, float]) -> RgbdFrame:
    pose = frame.camera.pose.copy()
    pose[:3, 3] += shift
    return replace(frame, camera=frame.camera.at(pose))


def told(scene: tuple[RgbdFrame, RgbdFrame, np.ndarray], joint: int, degrees: float):
    """Return the scene as placed by joints of which one lies."""
    front, wrist, joints = scene
    lying = joints.copy()
    lying[joint] += math.radians(degrees)
    flange = forward(lying[:6]) @ np.linalg.inv(forward(joints[:6]))
    return front, replace(wrist, camera=wrist.camera.at(flange @ wrist.camera.pose)), arm_shape(lying)


def suspects(front, wrist, shape, table) -> tuple[str, ...]:
    return look(front, wrist, shape, table).suspects(LIMITS)


def test_an_arm_that_is_where_its_joints_say_is_no_alarm(scene, table) -> None:
    front, wrist, joints = scene
    one = look(front, wrist, arm_shape(joints), table)
    assert one.suspects(LIMITS) == () and len(one.excess(LIMITS)) >= 6
    assert max(one.excess(LIMITS).values()) < 0.8


@pytest.mark.parametrize("degrees", [5, -10, 30])
@pytest.mark.parametrize("joint", [1, 2, 4])
def test_a_joint_that_lies_is_told(scene, table, joint: int, degrees: float) -> None:
    assert ARM in suspects(*told(scene, joint, degrees), table)


def test_the_lying_joint_is_named_with_how_far_it_is_off(scene, table) -> None:
    found = lying_joint(*told(scene, 4, -30), table)
    assert found is not None and found.joint == 4
    assert math.degrees(found.angle) == pytest.approx(30, abs=4)
    assert lying_joint(*told(scene, 4, 0), table) is None


def test_each_camera_alone_tells_of_a_lying_wrist(scene, table) -> None:
    front, wrist, shape = told(scene, 4, 30)
    assert ARM in suspects(front, None, shape, table)
    front, wrist, shape = told(scene, 4, 5)
    assert ARM in suspects(None, wrist, shape, table)


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.012), (-0.012, 0.0, 0.0), (0.0, 0.012, 0.0)])
def test_a_front_camera_that_was_pushed_is_told(scene, table, shift) -> None:
    front, wrist, joints = scene
    assert FRONT in suspects(moved(front, shift), wrist, arm_shape(joints), table)


@pytest.mark.parametrize("shift", [(0.0, 0.0, -0.02), (0.02, 0.0, 0.0), (0.0, 0.02, 0.0)])
def test_a_wrist_camera_that_was_pushed_is_told(scene, table, shift) -> None:
    front, wrist, joints = scene
    assert suspects(front, moved(wrist, shift), arm_shape(joints), table) == (WRIST,)


def test_something_in_front_of_the_arm_is_no_alarm(scene, table) -> None:
    front, wrist, joints = scene
    hidden = front.depth.copy()
    hidden[:330, 150:420] = 0.35  # a person's arm, half of it over the robot's
    assert suspects(replace(front, depth=hidden), wrist, arm_shape(joints), table) == ()
    held = wrist.depth.copy()
    held[:300] = 0.10  # what is lifted before the wrist camera
    assert suspects(None, replace(wrist, depth=held), arm_shape(joints), table) == ()


def test_empty_images_tell_nothing(scene, table) -> None:
    nothing = [replace(frame, depth=np.full_like(frame.depth, np.nan)) for frame in scene[:2]]
    one = look(*nothing, arm_shape(scene[2]), table)
    assert one.excess(LIMITS) == {} and one.suspects(LIMITS) == ()
    watch = Watch(LIMITS)
    for stamp in range(10):
        watch.add(float(stamp), one)
    assert watch.finding is None and math.isnan(watch.excess)


def test_a_finding_takes_several_looks_and_says_since_when() -> None:
    fine = Look(*[0.0] * len(Look.__dataclass_fields__))
    bad, watch = replace(fine, tool=0.021, tilt=0.1), Watch(LIMITS)
    looks = [fine, bad, fine, bad, bad]
    for stamp, one in enumerate(looks):
        assert watch.finding is None
        watch.add(float(stamp), one)
    assert looks.count(bad) == NEEDED
    assert watch.finding is not None and watch.finding.since == 1.0 and watch.finding.suspects == (ARM,)
    assert "tool 21 mm off" in str(watch.finding) and "5.7 deg" in str(watch.finding)
    assert "/arm/recover" in watch.finding.remedy
    for stamp in range(OUT_OF):
        assert watch.finding is not None
        watch.add(5.0 + stamp, fine)
    assert watch.finding is None
