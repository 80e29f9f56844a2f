"""The model against the kinematics, and where things stand."""

import mujoco
import numpy as np
import pytest

from tristage_ros.devices.arm import kinematics
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.simulation.scene import HOME, OBJECTS, build_model, camera_pose, object_poses, start_state

FOV = {"front": 43.2, "wrist": 58.0}


@pytest.fixture(scope="module")
def model(cameras_file):
    return build_model(load_extrinsics(cameras_file).values(), FOV)


def joint_addresses(model):
    return [model.joint(f"joint{k + 1}").qposadr[0] for k in range(6)]


def test_the_flange_is_where_the_kinematics_put_it(model):
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    for joints in rng.uniform(*kinematics.JOINT_LIMITS.T, (100, 6)):
        data.qpos[joint_addresses(model)] = joints
        mujoco.mj_kinematics(model, data)
        flange = data.site("flange")
        expected = kinematics.forward(joints)
        np.testing.assert_allclose(flange.xpos, expected[:3, 3], atol=1e-9)
        np.testing.assert_allclose(flange.xmat.reshape(3, 3), expected[:3, :3], atol=1e-9)


def test_joint_limits_are_those_of_the_kinematics(model):
    ranges = [model.joint(f"joint{k + 1}").range for k in range(6)]
    np.testing.assert_allclose(ranges, kinematics.JOINT_LIMITS)


def test_cameras_stand_where_they_are_mounted(model, cameras_file):
    mounts, data = load_extrinsics(cameras_file), start_state(model, 0)
    np.testing.assert_allclose(camera_pose(data, "front"), mounts["front"].pose, atol=1e-6)
    expected = kinematics.forward(HOME) @ mounts["wrist"].pose
    np.testing.assert_allclose(camera_pose(data, "wrist"), expected, atol=1e-6)


def test_the_same_seed_gives_the_same_scene(model):
    first, again, other = (object_poses(start_state(model, seed)) for seed in (3, 3, 4))
    for name in OBJECTS:
        np.testing.assert_array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])


@pytest.mark.parametrize("seed", range(20))
def test_objects_rest_on_the_table_apart_from_each_other(model, seed):
    poses = object_poses(start_state(model, seed))
    for name, height in {"plate": 0.0, "banana": 0.016, "cup": 0.0, "block": 0.0175}.items():
        assert poses[name][2, 3] == pytest.approx(height, abs=2e-3)
    places = [pose[:2, 3] for pose in poses.values()]
    distances = [np.linalg.norm(a - b) for i, a in enumerate(places) for b in places[:i]]
    assert min(distances) > 0.08
    assert np.linalg.norm(poses["banana"][:2, 3] - poses["plate"][:2, 3]) > 0.165
