"""What becomes of a server's answer: this arm's actions, or the value that cannot be meant."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from test_mapping import JOINTS, moment

from tristage_ros.devices.arm import chunks
from tristage_ros.devices.arm.guard import GuardConfig
from tristage_ros.devices.arm.kinematics import forward, robot_state, tool_pose
from tristage_ros.openpi.answers import AnswerError, chunk, contradiction
from tristage_ros.openpi.mapping import Part, map_file, read_map

MAPS = {name: read_map(map_file(name)) for name in ("tristage", "joints", "libero", "aloha")}
HERE = JOINTS[:6]


def in_joints(n=20, reach=0.2):
    """Return the joints [n, 6] of a way from where the arm is."""
    return HERE + np.linspace(0.0, 1.0, n + 1)[1:, None] * reach * np.array([1.0, 0.5, -0.5, 0.3, -0.4, 0.6])


def answer(joints, gripper=0.035, key="actions"):
    return {key: np.column_stack([joints, np.full(len(joints), gripper)]).astype(np.float32)}


def joints_of(asked, now=1.0):
    """Return the joints that the arm itself finds in a chunk."""
    limits, guard = chunks.ChunkLimits(), GuardConfig()
    chunks.check(asked, now, limits)
    return np.array([w.position for w in chunks.waypoints(asked, now, HERE, HERE, limits, guard)])


@pytest.mark.parametrize("of", ["absolute", "step", "observation"])
def test_joints_come_out_of_the_arm_as_they_went_in(of):
    mapped, wanted = MAPS["joints"], in_joints()
    told = {"absolute": wanted, "step": np.diff(wanted, axis=0, prepend=HERE[None]), "observation": wanted - HERE}[of]
    mapped = replace(mapped, columns=(replace(mapped.columns[0], of=of), mapped.columns[1]))
    asked = chunk(mapped, answer(told), moment())
    np.testing.assert_allclose(joints_of(asked), wanted, atol=1e-5)
    assert asked.stamp == 1.0 and asked.time_step == pytest.approx(0.05)
    np.testing.assert_allclose(asked.gripper, 0.5, atol=1e-6)


def test_what_is_exported_comes_back_as_it_was():
    mapped, wanted = MAPS["tristage"], in_joints(13)
    tools = tool_pose(forward(wanted))
    rows = np.column_stack(
        [tools[:, :3, 3] - moment().tool[:3, 3], Rotation.from_matrix(tools[:, :3, :3]).as_quat(), np.ones(13)]
    )
    asked = chunk(mapped, {"action": rows.astype(np.float32)}, moment())
    np.testing.assert_allclose(joints_of(asked), wanted, atol=1e-5)
    np.testing.assert_allclose(asked.gripper, 1.0)


def test_steps_of_the_tool_add_up_and_the_gripper_is_the_other_way_round():
    steps = np.zeros((20, 7))
    steps[:, 0], steps[:, 5], steps[:, 6] = 0.1, 0.04, 1.0  # 5 mm forward and 20 mrad about the base's z, closed
    asked = chunk(MAPS["libero"], {"actions": steps}, moment())
    np.testing.assert_allclose(asked.translation[:, 0], 0.005 * np.arange(1, 1 + len(asked.gripper)), atol=1e-9)
    turned = Rotation.from_quat(asked.orientation[-1]) * Rotation.from_matrix(moment().tool[:3, :3]).inv()
    np.testing.assert_allclose(turned.as_rotvec(), [0.0, 0.0, 0.02 * len(asked.gripper)], atol=1e-9)
    np.testing.assert_array_equal(asked.gripper, 0.0)


def test_steps_in_the_tools_own_frame_follow_it():
    place, turn, gripper = MAPS["libero"].columns
    mapped = replace(MAPS["libero"], columns=(replace(place, in_tool=True), replace(turn, in_tool=True), gripper))
    steps = np.zeros((5, 7))
    steps[:, 2] = 0.1
    asked = chunk(mapped, {"actions": steps}, moment())
    np.testing.assert_allclose(asked.translation[-1], 0.025 * moment().tool[:3, 2], atol=1e-9)


def test_rotations_and_the_state_are_of_one_convention():
    place, _, gripper = MAPS["tristage"].columns
    turn = Part("rotation", 3, form="rpy", of="absolute")
    mapped, state = replace(MAPS["tristage"], columns=(place, turn, gripper)), robot_state(JOINTS)
    rows = np.tile([0.0, 0.0, 0.0, *state[3:6], 0.5], (5, 1))
    np.testing.assert_allclose(joints_of(chunk(mapped, {"action": rows}, moment()))[-1], HERE, atol=1e-5)


def test_no_more_is_sent_than_runs_out_within_a_second():
    asked = chunk(MAPS["joints"], answer(in_joints(200, 1.0)), moment())
    assert len(asked.gripper) == 10 + 16  # those after which the next is asked for, and 0.8 s
    key_frames = replace(MAPS["joints"], rate=0.0, execute=1)
    assert len(chunk(key_frames, answer(in_joints(5)), moment()).gripper) == 1


def test_one_step_without_a_chunk_around_it_is_one():
    mapped = replace(MAPS["joints"], execute=1)
    assert len(chunk(mapped, {"actions": answer(in_joints(1))["actions"][0]}, moment()).gripper) == 1


def changed(step, column, value, n=20):
    told = answer(in_joints(n))
    told["actions"][step, column] = value
    return told


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({}, "the answer has no actions; it has nothing"),
        ({"action": np.zeros((10, 7)), "state": 1}, "the answer has no actions; it has action, state"),
        ({"actions": [[0.0] * 7]}, "no array of numpy"),
        ({"actions": np.zeros((10, 7), np.int64)}, "is of int64; floats are wanted"),
        ({"actions": np.zeros((10, 8))}, r"has shape \(10, 8\); joints.yaml says \[steps, 7\]"),
        ({"actions": np.zeros((2, 10, 7))}, r"has shape \(2, 10, 7\)"),
        ({"actions": np.zeros((0, 7))}, "has 0 steps"),
        ({"actions": np.zeros((1000, 7))}, "has 1000 steps; a chunk has 1 to 256"),
        (answer(in_joints(4)), "has 4 steps; joints.yaml executes 10"),
        (changed(2, 3, np.nan), "number 4 of step 3 of actions is nan"),
        (changed(2, 3, np.inf), "number 4 of step 3 of actions is inf"),
        (answer(np.degrees(in_joints())), "joint 1 of step .* rad, beyond -2.6179 to 2.6179; are these degrees"),
        (
            answer(in_joints() * 0.0 + [0.9, 1.2, -1.1, 0.2, 0.9, -0.3]),
            "the joint of step 1 is 0.8 rad from where the arm",
        ),
        (changed(5, 0, 1.0), "the joint of step 6 is .* rad from the step before"),
        (answer(in_joints(), 35.0), "the gripper of step 1 is 35; closed is 0, open 0.07"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_value(told, words):
    with pytest.raises(AnswerError, match=words) as caught:
        chunk(MAPS["joints"], told, moment())
    assert "\n" not in str(caught.value)


def test_a_tool_that_leaps_and_a_quaternion_that_is_none_are_refused():
    rows = np.tile([0.0, 0.0, 0.0, *Rotation.from_matrix(moment().tool[:3, :3]).as_quat(), 0.0], (13, 1))
    far, none, turned = rows.copy(), rows.copy(), rows.copy()
    far[0, 0], none[3, 3:7], turned[0, 3:7] = 0.4, 0.0, [0.0, 0.0, 0.0, 1.0]
    for told, words in ((far, "the tool of step 1 is 0.4 m"), (none, "quaternion of step 4"), (turned, "rotation of")):
        with pytest.raises(AnswerError, match=words):
            chunk(MAPS["tristage"], {"action": told}, moment())
    far[:, 0] = 400.0  # mm for m
    with pytest.raises(AnswerError, match="the tool of step 1 is 400 m"):
        chunk(MAPS["tristage"], {"action": far}, moment())


def test_what_a_server_says_of_itself_may_not_contradict_the_map():
    mapped = replace(MAPS["joints"], metadata={"action_dim": 7, "cameras": ["a", "b"]}, path=Path("own.yaml"))
    assert contradiction(mapped, {}) == contradiction(mapped, {"action_dim": 7, "reset_pose": [0.0]}) == ""
    assert contradiction(mapped, {"cameras": np.array(["a", "b"])}) == ""
    said = contradiction(mapped, {"action_dim": np.int64(14)})
    assert said == "the server's metadata say action_dim: 14, and own.yaml 7"
