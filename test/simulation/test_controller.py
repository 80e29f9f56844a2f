"""The controller's state machine, stepped by hand."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tristage_ros.devices.arm import kinematics
from tristage_ros.simulation import frames
from tristage_ros.simulation.arm import Plant
from tristage_ros.simulation.controller import Controller
from tristage_ros.simulation.frames import ArmStatus, Frame, MoveMode
from tristage_ros.simulation.motion import Line, Ramp
from tristage_ros.simulation.scene import HOME, build_model, object_poses, start_state

TICK = 0.005  # s
MDEG = frames.MILLIDEGREE


class Arm:
    """Send command frames to a controller and look at its status frame."""

    def __init__(self, seed: int = 0) -> None:
        model = build_model([], {})
        self.plant = Plant(model, start_state(model, seed))
        self.controller = Controller(self.plant)

    def send(self, can_id: int, layout: str, *values: float) -> list[Frame]:
        return self.controller.handle(Frame(can_id, struct.pack(f">{layout}", *values).ljust(8, b"\0")))

    def run(self, seconds: float, each_tick=lambda: None) -> None:
        for _ in range(round(seconds / TICK)):
            self.controller.step(TICK)
            each_tick()

    def enable(self) -> None:
        self.send(0x471, "BB", 7, 2)

    def mode(self, move: MoveMode, speed: int = 100) -> None:
        self.send(0x151, "BBB", 1, move, speed)

    def joints(self, target) -> None:
        self.mode(MoveMode.JOINT)
        for k in range(3):
            self.send(0x155 + k, "ii", *(round(v / MDEG) for v in target[2 * k : 2 * k + 2]))

    def pose(self, flange: np.ndarray, move: MoveMode) -> None:
        self.mode(move)
        values = [*(flange[:3, 3] * 1e6), *(kinematics.matrix_to_rpy(flange[:3, :3]) / MDEG)]
        for k in range(3):
            self.send(0x152 + k, "ii", *(round(v) for v in values[2 * k : 2 * k + 2]))

    def gripper(self, opening: float) -> None:
        self.send(0x159, "iHBB", round(opening * 1e6), 1000, 1, 0)

    def status(self) -> bytes:
        return self.controller.feedback(False)[0].data

    def flange(self) -> np.ndarray:
        return kinematics.forward(self.plant.position)


@pytest.fixture
def arm():
    return Arm()


def test_a_tick_has_14_frames_and_20_with_health(arm):
    assert len(arm.controller.feedback(False)) == 14
    assert len(arm.controller.feedback(True)) == 20


def test_unpowered_it_stays_on_its_stand_until_first_enabled_and_falls_afterwards(arm):
    arm.run(0.5)
    np.testing.assert_allclose(arm.plant.position, HOME, atol=1e-3)
    arm.enable()
    arm.run(0.5)
    np.testing.assert_allclose(arm.plant.position, HOME, atol=1e-3)
    arm.send(0x471, "BB", 7, 1)
    arm.run(0.5)
    assert np.abs(arm.plant.position - HOME).max() > 0.1


def test_an_emergency_stop_sinks_slower_than_a_power_loss():
    heights = [kinematics.forward(HOME)[2, 3]]
    for command in (1, 2):
        arm = Arm()
        arm.enable()
        arm.run(0.1)
        arm.send(0x150, "B", command)
        arm.run(0.5)
        heights.append(arm.flange()[2, 3])
    assert heights[2] < heights[1] - 0.02 < heights[0] - 0.03


@pytest.mark.parametrize("unpowered", [0, 3, 5])
def test_one_motor_without_power_keeps_the_arm_from_moving(arm, unpowered):
    arm.enable()
    arm.send(0x471, "BB", unpowered + 1, 1)
    arm.joints(HOME + 0.1)
    arm.run(0.05)
    held = [k for k in range(6) if k != unpowered]
    np.testing.assert_allclose(arm.plant.position[held], HOME[held], atol=5e-3)


@pytest.mark.parametrize(("control", "move"), [(0, MoveMode.JOINT), (1, MoveMode.POSE)])
def test_joint_targets_need_their_mode(arm, control, move):
    arm.enable()
    arm.joints(HOME)
    arm.send(0x151, "BBB", control, move, 100)
    for k in range(3):
        arm.send(0x155 + k, "ii", 20000, 50000)
    arm.run(0.3)
    np.testing.assert_allclose(arm.plant.position, HOME, atol=1e-3)


def test_a_target_takes_effect_with_its_third_frame(arm):
    arm.enable()
    arm.mode(MoveMode.JOINT)
    arm.send(0x155, "ii", 20000, 60000)
    arm.send(0x156, "ii", -60000, 0)
    arm.run(0.2)
    np.testing.assert_allclose(arm.plant.position, HOME, atol=1e-3)


def test_speed_percent_scales_the_velocity(arm):
    arm.enable()
    target = HOME + np.array([1.0, 0, 0, 0, 0, 0])
    arm.joints(target)
    arm.mode(MoveMode.JOINT, 10)
    fastest = []
    arm.run(2.0, lambda: fastest.append(arm.plant.velocity[0]))
    assert 0.28 < max(fastest) < 0.33


def test_a_lower_velocity_limit_is_kept_and_told(arm):
    arm.send(0x474, "BhhH", 1, 1500, -1500, 500)
    (answer,) = arm.send(0x472, "BB", 1, 1)
    assert answer == frames.motor_limits(0, np.radians(150), np.radians(-150), 0.5)
    arm.enable()
    arm.joints(HOME + np.array([1.0, 0, 0, 0, 0, 0]))
    fastest = []
    arm.run(1.0, lambda: fastest.append(arm.plant.velocity[0]))
    assert 0.45 < max(fastest) < 0.55


def test_a_pose_target_is_reached(arm):
    arm.enable()
    goal = kinematics.forward(HOME + np.array([0.3, 0.2, 0.1, 0.2, -0.3, 0.4]))
    arm.pose(goal, MoveMode.POSE)
    assert arm.status()[4] == 1  # moving
    arm.run(2.0)
    np.testing.assert_allclose(arm.flange(), goal, atol=2e-3)
    assert arm.status()[4] == 0


def test_a_line_is_straight(arm):
    arm.enable()
    start = arm.flange()
    goal = start.copy()
    goal[1, 3] += 0.15
    arm.pose(goal, MoveMode.LINE)
    path = []
    arm.run(2.0, lambda: path.append(arm.flange()[:3, 3]))
    np.testing.assert_allclose(path[-1], goal[:3, 3], atol=2e-3)
    assert np.ptp(np.array(path)[:, [0, 2]], axis=0).max() < 0.012  # m, the joints lag differently


def test_an_unreachable_pose_is_refused(arm):
    arm.enable()
    goal = arm.flange()
    goal[:3, 3] = (0.9, 0.0, 0.2)
    arm.pose(goal, MoveMode.POSE)
    assert arm.status()[1] == ArmStatus.NO_SOLUTION
    arm.run(0.2)
    np.testing.assert_allclose(arm.plant.position, HOME, atol=1e-3)


def test_joint_errors_can_be_cleared(arm):
    arm.enable()
    arm.controller.fail_motor(1, frames.MotorStatus.OVERCURRENT)
    assert arm.status()[1] == ArmStatus.JOINT_STATUS_ERROR
    assert arm.controller.feedback(True)[15].data[5] == frames.MotorStatus.OVERCURRENT
    arm.send(0x475, "BBBHB", 7, 0, 0, 0, 0xAE)
    assert arm.status()[1] == ArmStatus.NORMAL
    arm.enable()
    assert arm.controller.feedback(True)[15].data[5] == frames.MotorStatus.ENABLED


@pytest.mark.parametrize(
    ("can_id", "layout", "values", "answer"),
    [
        (0x472, "BB", (4, 2), frames.motor_acceleration(3, 5.0)),
        (0x477, "B", (1,), frames.end_limits()),
        (0x477, "B", (2,), frames.collision_levels()),
        (0x477, "B", (4,), frames.gripper_parameters(0.07)),
        (0x47A, "B", (1,), frames.acknowledge(0x47A)),
    ],
)
def test_answers(arm, can_id, layout, values, answer):
    assert arm.send(can_id, layout, *values) == [answer]


def test_the_gripper_holds_the_banana(arm):
    arm.enable()
    arm.gripper(0.07)
    banana = object_poses(arm.plant.data)["banana"]
    above, at = (grasp(banana, height) for height in (0.10, 0.026))
    arm.joints(above)
    arm.run(2.0)
    arm.joints(at)
    arm.run(1.5)
    arm.gripper(0.0)
    arm.run(1.0)
    assert 0.015 < arm.plant.opening < 0.045
    assert arm.plant.gripper_effort > 0.2
    arm.joints(above)
    arm.run(1.5)
    assert object_poses(arm.plant.data)["banana"][2, 3] > 0.07


def grasp(banana: np.ndarray, height: float) -> np.ndarray:
    """Return joint positions with the grasp centre `height` above the table, the fingers across the banana."""
    yaw = np.arctan2(banana[1, 0], banana[0, 0])
    azimuth = np.arctan2(banana[1, 3], banana[0, 3])
    tilt = np.radians(20)  # leaning outwards: straight down is beyond the wrist's limit
    for turn in (0.0, np.pi, -np.pi):
        tool = np.eye(4)
        lean = kinematics.rpy_to_matrix((0, 0, azimuth)) @ kinematics.rpy_to_matrix((0, -tilt, 0))
        tool[:3, :3] = lean @ kinematics.rpy_to_matrix((0, 0, yaw + turn - azimuth)) @ np.diag([-1.0, 1.0, -1.0])
        tool[:3, 3] = (*banana[:2, 3], height)
        try:
            return kinematics.inverse(kinematics.flange_pose(tool), HOME)
        except kinematics.UnreachablePoseError:
            continue
    raise AssertionError("the banana lies out of reach")


@settings(max_examples=60, deadline=None)
@given(st.floats(-2, 2), st.floats(0.05, 3), st.floats(0.5, 5), st.lists(st.floats(-2, 2), max_size=3))
def test_a_ramp_keeps_its_limits_and_ends_at_rest_on_the_target(goal, velocity, acceleration, detours):
    ramp = Ramp(np.zeros(1))
    limits = np.array([velocity]), np.array([acceleration])
    for target, ticks in [*((detour, 40) for detour in detours), (goal, 20000)]:
        side = np.sign(target - ramp.position[0])
        for _ in range(ticks):
            before = ramp.velocity[0]
            ramp.step(np.array([target]), *limits, TICK)
            assert abs(ramp.velocity[0]) <= velocity + 1e-9
            assert abs(ramp.velocity[0] - before) <= acceleration * TICK + 1e-9
            if not detours:
                assert side * (target - ramp.position[0]) >= -acceleration * TICK**2 / 8 - 1e-9
            if abs(ramp.velocity[0]) < 1e-9 and abs(ramp.position[0] - target) < 1e-6:
                break
    assert ramp.position[0] == pytest.approx(goal, abs=1e-6)


def test_a_line_ends_at_its_goal_with_half_the_turn_half_way():
    start, goal = np.eye(4), np.eye(4)
    goal[:3, :3] = kinematics.rpy_to_matrix((0, 0, 1.0))
    goal[:3, 3] = (0.1, 0, 0)
    line = Line(start, goal)
    np.testing.assert_allclose(line.advance(0.05)[:3, :3], kinematics.rpy_to_matrix((0, 0, 0.5)), atol=1e-12)
    assert not line.done
    np.testing.assert_allclose(line.advance(1.0), goal, atol=1e-12)
    assert line.done
