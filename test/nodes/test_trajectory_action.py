"""arm/follow_joint_trajectory, as a planner's client sees it: every way in which a goal can end."""

import time

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from standard_messages import control_actions
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint, MultiDOFJointTrajectory
from tristage_msgs.msg import ArmStatus

from nodes.test_arm import Setting
from tristage_ros.devices.arm.values import ARM_STATUS
from tristage_ros.nodes.arm import trajectory_action
from tristage_ros.nodes.arm.trajectory_action import ACTION
from tristage_ros.ros.convert import to_stamp

JOINTS = [f"joint{i}" for i in range(1, 7)]
THERE, BACK = np.array([0.31, -0.11, 0.13, 0.0, 0.17, 0.23]), np.zeros(6)
NAMES = ("SUCCESSFUL", "INVALID_GOAL", "INVALID_JOINTS", "OLD_HEADER_TIMESTAMP")
NAMES += ("PATH_TOLERANCE_VIOLATED", "GOAL_TOLERANCE_VIOLATED")


@pytest.fixture(scope="session")
def actions():
    return control_actions()


class Planner(Setting):
    """The setting of an arm node, and the client of a planner."""

    threads = 6

    def __init__(self, action, *parameters):
        super().__init__(*parameters)
        self.type, self.feedback = action, []
        self.client = ActionClient(self.helper, action, f"/{ACTION}")
        self.topic = self.helper.create_publisher(JointTrajectory, "/arm/joint_trajectory", 1)
        self.until(lambda: self.status and self.pose and self.client.server_is_ready())
        self.start = np.array(self.status.joint_position)

    def trajectory(self, offset, seconds, *, stamp=None, names=JOINTS, opening=None):
        positions = dict(zip(JOINTS, self.start + offset, strict=True), gripper=opening)
        point = JointTrajectoryPoint(positions=[positions[name] for name in names])
        point.time_from_start = length(seconds)
        trajectory = JointTrajectory(joint_names=names, points=[point])
        if stamp is not None:
            trajectory.header.stamp = to_stamp(stamp)
        return trajectory

    def send(self, trajectory, **tolerances):
        """Send a goal; return its handle."""
        self.feedback.clear()
        goal = self.type.Goal(trajectory=trajectory, **tolerances)
        future = self.client.send_goal_async(goal, feedback_callback=lambda m: self.feedback.append(m.feedback))
        self.until(future.done)
        return future.result()

    def result(self, handle):
        """Return the status of a goal that has ended, the name of its error code, and its words."""
        future = handle.get_result_async()
        self.until(future.done)
        status, result = future.result().status, future.result().result
        codes = {getattr(self.type.Result, name): name for name in NAMES}
        return status, codes[result.error_code], result.error_string

    def go(self, *given, **tolerances):
        handle = self.send(self.trajectory(*given), **tolerances)
        assert handle.accepted
        return self.result(handle)

    def under_way(self):
        """Begin a way of some seconds, and return its goal once the arm moves."""
        far = BACK if np.abs(self.status.joint_position - self.start).max() > 0.2 else THERE
        handle = self.send(self.trajectory(far, 3.0))
        assert handle.accepted
        self.until(lambda: self.status.mode == ArmStatus.MOVING and len(self.feedback) > 3)
        return handle


def length(seconds):
    return Duration(sec=int(np.floor(seconds)), nanosec=round(seconds % 1.0 * 1e9))


@pytest.fixture
def planners(ros_domain, actions, monkeypatch):
    monkeypatch.setattr(trajectory_action, "FollowJointTrajectory", actions.FollowJointTrajectory)
    made = []

    def make(*parameters):
        made.append(Planner(actions.FollowJointTrajectory, *parameters))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def s(planners):
    made = planners("command_source:=trajectory")
    assert made.call("enable").success
    made.until(lambda: made.status.mode == ArmStatus.HOLDING)
    return made


@pytest.fixture
def tolerance(actions):
    from control_msgs.msg import JointTolerance

    return JointTolerance


def test_a_goal_succeeds_and_tells_how_it_goes(s):
    names = ["gripper", *reversed(JOINTS)]
    before = time.monotonic()
    way = s.trajectory(THERE, 1.0, names=names, opening=0.02)
    way.points[:0] = [*s.trajectory(BACK, 0.0, names=names, opening=0.05).points]  # where it is, as planners begin
    way.points[1:1] = s.trajectory(THERE / 2, 0.5, names=names, opening=0.05).points
    handle = s.send(way)
    assert s.result(handle) == (GoalStatus.STATUS_SUCCEEDED, "SUCCESSFUL", "")
    took, told = time.monotonic() - before, s.feedback
    assert 1.0 < took < 4.0
    s.until(lambda: np.abs(s.status.joint_position - s.start - THERE).max() < 5e-3)
    s.until(lambda: abs(s.status.gripper_opening - 0.02) < 2e-3)
    assert len(told) > 10 * 0.9
    assert told[-1].joint_names == [*JOINTS, "gripper"]
    if hasattr(told[0], "index"):  # since Kilted
        assert [told[i].index for i in (0, -1)] == [1, 2]
    middle = told[len(told) // 2]
    np.testing.assert_allclose(middle.error.positions, np.subtract(middle.desired.positions, middle.actual.positions))
    assert 0.1 < middle.desired.positions[0] - s.start[0] < 0.3 and abs(middle.desired.velocities[0]) > 0.1
    assert 0.001 < middle.error.positions[0] < 0.1, "the arm follows a tenth of a second later"
    times = [one.desired.time_from_start.sec + one.desired.time_from_start.nanosec * 1e-9 for one in told]
    assert 0.0 <= times[0] < 0.5 and times == sorted(times) and times[-1] == pytest.approx(took, abs=0.5)


def test_what_is_wrong_with_a_goal_is_its_result_and_nothing_moves(s, tolerance):
    target = s.status.joint_target.copy()
    beside = MultiDOFJointTrajectory(joint_names=["base"])
    swing, far = (THERE, 1.0), (np.full(6, 4.0), 5.0)
    path, goal = "path_tolerance", "goal_tolerance"
    jerky = [tolerance(name="joint2", acceleration=1.0)]
    for code, words, trajectory, tolerances in [
        ("INVALID_JOINTS", "not ['joint1', 'joint2']", s.trajectory(*swing, names=JOINTS[:2]), {}),
        ("INVALID_JOINTS", "elbow", s.trajectory(*swing), {goal: [tolerance(name="elbow")]}),
        ("INVALID_GOAL", "1 to 2000 points, not 0", JointTrajectory(joint_names=JOINTS), {}),
        ("INVALID_GOAL", "more than 3.0 at once", s.trajectory(*far), {}),
        ("INVALID_GOAL", "begins 9", s.trajectory(*swing, stamp=time.time() + 10.0), {}),
        ("INVALID_GOAL", "several degrees", s.trajectory(*swing), {"multi_dof_trajectory": beside}),
        ("INVALID_GOAL", "not -0.5", s.trajectory(*swing), {path: [tolerance(name="joint2", position=-0.5)]}),
        ("INVALID_GOAL", "acceleration is not", s.trajectory(*swing), {path: jerky}),
        ("INVALID_GOAL", "gripper acts", s.trajectory(*swing), {path: [tolerance(name="gripper", position=0.01)]}),
        ("OLD_HEADER_TIMESTAMP", "begin 2.", s.trajectory(*swing, stamp=time.time() - 2.0), {}),
    ]:  # fmt: skip
        status, told, why = s.result(s.send(trajectory, **tolerances))
        assert (status, told) == (GoalStatus.STATUS_ABORTED, code) and words in why, why
    np.testing.assert_array_equal(s.status.joint_target, target)
    assert s.status.mode == ArmStatus.HOLDING


def test_an_arm_that_leaves_its_path_or_misses_its_goal_is_told_from_one_that_gets_there(s, tolerance):
    status, code, why = s.go(THERE, 0.5, path_tolerance=[tolerance(name="joint1", position=0.01)])
    assert (status, code) == (GoalStatus.STATUS_ABORTED, "PATH_TOLERANCE_VIOLATED")
    assert why.startswith("joint 1 is at ") and "more than 0.01 of path_tolerance" in why
    s.until(lambda: s.status.mode == ArmStatus.HOLDING)
    gone = np.abs(s.status.joint_target - s.start)[0]
    assert gone < 0.29, "it went on after it had left its path"
    close = [tolerance(name=name, position=1e-7) for name in JOINTS]
    status, code, why = s.go(BACK + 0.0123, 0.5, goal_tolerance=close, goal_time_tolerance=length(0.3))
    assert (status, code) == (GoalStatus.STATUS_ABORTED, "GOAL_TOLERANCE_VIOLATED")
    assert "more than 1e-07 of goal_tolerance" in why
    none = [tolerance(name="joint1", position=-1.0, velocity=-1.0)]
    assert (
        s.go(BACK, 0.5, path_tolerance=none, goal_tolerance=none, goal_time_tolerance=length(-1.0))[1] == "SUCCESSFUL"
    )


def test_a_cancelled_goal_has_come_to_rest(s):
    handle = s.under_way()
    future = handle.cancel_goal_async()
    s.until(future.done)
    assert len(future.result().goals_canceling) == 1
    assert s.result(handle) == (GoalStatus.STATUS_CANCELED, "SUCCESSFUL", "cancelled; the arm holds")
    stood = s.node.controller.snapshot()
    s.until(lambda: s.status.mode == ArmStatus.HOLDING)
    np.testing.assert_array_equal(s.node.controller.snapshot().target, stood.target)
    np.testing.assert_allclose(s.node.controller.snapshot().position, stood.position, atol=5e-3)
    assert 0.003 < np.abs(stood.target - s.start)[0] < 0.3
    assert s.go(BACK, 0.5)[1] == "SUCCESSFUL", "a cancelled goal is no stop"


def test_the_newest_goal_or_trajectory_takes_over(s):
    first = s.under_way()
    second = s.send(s.trajectory(BACK, 0.5))
    assert s.result(first) == (GoalStatus.STATUS_ABORTED, "INVALID_GOAL", "a newer trajectory took over")
    assert s.result(second)[1] == "SUCCESSFUL"
    third = s.under_way()
    s.topic.publish(s.trajectory(BACK, 3.0))
    assert "newer trajectory" in s.result(third)[2]
    assert s.status.mode == ArmStatus.MOVING
    assert s.go(BACK, 0.5)[1] == "SUCCESSFUL"


def replay(s):
    s.rival = Node("replay")
    s.rival.create_publisher(Clock, "/clock", 1)


def publish_beside(s):
    s.rival = Node("rival")
    s.rival.create_publisher(JointTrajectory, "/arm/joint_trajectory", 1)


@pytest.mark.parametrize(
    ("happens", "words"),
    [
        (lambda s: s.call("stop"), "stopped by an operator"),
        (lambda s: s.call("move_home"), "the arm was given to an operator"),
        (
            lambda s: s.node.set_parameters([Parameter("command_source", value="policy")]),
            "the arm was given to the policy",
        ),
        (lambda s: s.cell.firmware.report(ARM_STATUS.index("collision")), "the arm reports collision"),
        (lambda s: s.node.trigger_deactivate(), "the arm node was deactivated"),
        (publish_beside, "2 nodes publish"),
        (replay, "/clock"),
    ],
)
def test_what_takes_the_arm_from_a_goal_is_its_result(s, happens, words):
    goal = s.under_way()
    happens(s)
    status, code, why = s.result(goal)
    assert (status, code) == (GoalStatus.STATUS_ABORTED, "INVALID_GOAL") and words in why
    s.until(lambda: s.status.mode in (ArmStatus.HOLDING, ArmStatus.FAULT))


def test_a_slower_arm_is_not_late(s):
    assert s.node.set_parameters([Parameter("speed_scale", value=0.3)])[0].successful
    before = time.monotonic()
    handle = s.send(s.trajectory(s.status.joint_position - s.start + [0.5, 0, 0, 0, 0, 0], 0.6))
    assert s.result(handle)[1] == "SUCCESSFUL"
    assert time.monotonic() - before > 1.1, "0.5 rad at 0.45 rad/s"


def test_a_replayed_goal_is_rejected(s):
    player = Node("rosbag2_player")
    ActionClient(player, s.type, f"/{ACTION}")
    s.until(lambda: "rosbag2_player" in s.node.get_node_names())
    s.until(lambda: not s.send(s.trajectory(THERE, 0.5)).accepted)
    player.destroy_node()


def test_only_an_enabled_arm_that_was_given_to_trajectories_accepts_a_goal(planners, capfd):
    s = planners("dry_run:=true")

    def rejected():
        return not s.send(s.trajectory(THERE, 0.5)).accepted

    assert rejected()
    assert s.call("enable").success
    assert rejected()
    assert s.node.set_parameters([Parameter("command_source", value="trajectory")])[0].successful
    assert not rejected()
    assert s.call("stop").success
    assert rejected()
    said = capfd.readouterr().err
    for reason in ("a dry run: /arm/enable ends it", "belongs to the policy", "the arm is holding: stopped by"):
        assert f"goal rejected: {reason}" in said.replace("the arm belongs", "belongs"), reason


def test_without_control_msgs_it_is_said_once_and_the_topic_remains(ros_domain, monkeypatch, capfd):
    monkeypatch.setattr(trajectory_action, "FollowJointTrajectory", None)
    s = Setting("command_source:=trajectory")
    try:
        s.until(lambda: s.status)
        said = capfd.readouterr().err
        assert said.count("no control_msgs here: /arm/follow_joint_trajectory is not offered; sudo apt install") == 1
        assert not [name for name, _ in s.node.get_service_names_and_types() if "follow_joint_trajectory" in name]
    finally:
        s.close()
