"""The action arm/follow_joint_trajectory, as ros2_control's joint trajectory controller has it: the way in for MoveIt.

control_msgs is not on PyPI; without it there is the topic alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from rclpy.action import (
    ActionServer,
    CancelResponse,
    GoalResponse,
    get_action_client_names_and_types_by_node,
)
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectoryPoint

from tristage_ros.bags.black_box.contents import WARN
from tristage_ros.devices.arm.controller import ArmController
from tristage_ros.devices.arm.following import Ended, Following, Tracked
from tristage_ros.devices.arm.joint_path import LateError
from tristage_ros.devices.arm.values import BASE_FRAME, CommandSource
from tristage_ros.nodes.arm.authority import Stamps, rivals
from tristage_ros.nodes.arm.black_box import BlackBox
from tristage_ros.nodes.arm.trajectories import TRAJECTORIES, JointsError, joint_path, tolerances
from tristage_ros.ros.convert import header
from tristage_ros.ros.joints import ARM_JOINTS, GRIPPER_JOINT

try:  # a package of its own, in apt
    from control_msgs.action import FollowJointTrajectory
except ImportError:
    FollowJointTrajectory: Any = None

ACTION = "arm/follow_joint_trajectory"
_PERIOD = 0.05  # s between two pieces of feedback
_STANDS = 2e-3  # rad from one of them to the next that an arm at rest may move
_PATIENCE = 3.0  # s for a cancelled path to come to rest; a third of one is the rule


class TrajectoryAction:
    """Offer arm/follow_joint_trajectory: one goal at a time, the newest.

    Who may command is asked before a goal is accepted (the log has the reason of a refusal, which the protocol has no
    room for); what is wrong with its trajectory is its result.
    """

    def __init__(
        self,
        node: Node,
        controller: Callable[[], ArmController | None],
        active: Callable[[], bool],
        stamps: Callable[[ArmController], Stamps],
        box: BlackBox,
    ) -> None:
        """Offer it on `node`; `controller` is None while the arm is not connected, `stamps`: those of now.

        `box` keeps what became of every goal.
        """
        self._box = box
        self._node, self._controller, self._active, self._stamps = node, controller, active, stamps
        if FollowJointTrajectory is None:
            name = node.resolve_service_name(ACTION)
            node.get_logger().info(
                f"no control_msgs here: {name} is not offered; sudo apt install ros-$ROS_DISTRO-control-msgs"
            )
            return
        self._server = ActionServer(
            node,
            FollowJointTrajectory,
            ACTION,
            execute_callback=self._without_arm,
            callback_group=MutuallyExclusiveCallbackGroup(),  # one goal after the other is begun
            goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
        )

    def _on_goal(self, goal: Any) -> GoalResponse:
        arm = self._controller()
        if objection := self._objection(arm):
            self._node.get_logger().warning(f"goal rejected: {objection}")
            self._box.answered("trajectory", "goal", False, objection)
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _objection(self, arm: ArmController | None) -> str:
        """Return why no goal may be begun now, "" when one may."""
        if arm is None or not self._active():
            return "the arm node is not active"
        if arm.snapshot().dry_run:
            return "a dry run: /arm/enable ends it"
        return self._rivals() or arm.objection(CommandSource.TRAJECTORY)

    def _rivals(self) -> str:
        """Return what else commands this arm, or replays, "" when nothing does."""
        if others := rivals(self._node, TRAJECTORIES):
            return others
        action = self._node.resolve_service_name(ACTION)
        for name, space in self._node.get_node_names_and_namespaces():
            if "rosbag2_player" in name:
                try:
                    clients = dict(get_action_client_names_and_types_by_node(self._node, name, space))
                except RuntimeError:  # it has just gone
                    continue
                if action in clients:
                    return f"{name} plays {action} from a bag, which must not move an arm; leave that action out"
        return ""

    def _on_accepted(self, handle: Any) -> None:
        arm, goal = self._controller(), handle.request
        if arm is None:
            return handle.execute()
        try:
            following = arm.begin(joint_path(goal.trajectory, self._stamps(arm), tolerances(goal)))
        except ValueError as error:
            return handle.execute(partial(self._abort, code=_code_of(error), reason=str(error)))
        self._node.get_logger().info(f"goal accepted: {following.points} points to go")
        self._box.answered("trajectory", "goal", True, f"{following.points} points to go")
        return handle.execute(partial(self._watch, arm=arm, following=following))

    def _without_arm(self, handle: Any) -> Any:
        return self._abort(handle, FollowJointTrajectory.Result.INVALID_GOAL, "the arm is not connected")

    def _abort(self, handle: Any, code: int, reason: str) -> Any:
        self._node.get_logger().warning(f"goal aborted: {reason}")
        self._box.say("trajectory", f"goal aborted: {reason}", WARN)
        handle.abort()
        return FollowJointTrajectory.Result(error_code=code, error_string=reason)

    def _watch(self, handle: Any, arm: ArmController, following: Following) -> Any:
        """Tell how a path goes until it has ended, and return the result."""
        codes = FollowJointTrajectory.Result
        try:
            if not self._tell(handle, arm, following):
                _come_to_rest(arm)
                handle.canceled()
                self._box.say("trajectory", "goal cancelled by its client")
                return codes(error_code=codes.SUCCESSFUL, error_string="cancelled; the arm holds")
        finally:
            arm.give_up(following, "nobody follows it any more")
        if following.ended is Ended.REACHED:
            handle.succeed()
            return codes(error_code=codes.SUCCESSFUL)
        code = {
            Ended.OFF_PATH: codes.PATH_TOLERANCE_VIOLATED,
            Ended.SHORT_OF_GOAL: codes.GOAL_TOLERANCE_VIOLATED,
        }.get(following.ended, codes.INVALID_GOAL)
        return self._abort(handle, code, following.reason)

    def _tell(self, handle: Any, arm: ArmController, following: Following) -> bool:
        """Publish feedback until a path has ended; return False when its client ended it."""
        with_gripper = GRIPPER_JOINT in handle.request.trajectory.joint_names
        while following.ended is None:
            time.sleep(_PERIOD)
            if handle.is_cancel_requested:
                arm.give_up(following, "cancelled by its client")
                return False
            if others := self._rivals():
                arm.give_up(following, others)
            if following.newest:
                handle.publish_feedback(_feedback(following.newest, following, self._stamps(arm), with_gripper))
        return True


def _code_of(refusal: ValueError) -> int:
    """Return the error code for a path that was not begun."""
    codes = FollowJointTrajectory.Result
    if isinstance(refusal, JointsError):
        return int(codes.INVALID_JOINTS)
    return int(codes.OLD_HEADER_TIMESTAMP if isinstance(refusal, LateError) else codes.INVALID_GOAL)


def _come_to_rest(arm: ArmController) -> None:
    """Wait until the arm stands, or does not come to rest because something else moves it."""
    patience, before = arm.clock.now() + _PATIENCE, arm.snapshot()
    while arm.clock.now() < patience:
        time.sleep(_PERIOD)
        now = arm.snapshot()
        if np.array_equal(now.target, before.target) and np.abs(now.position - before.position).max() < _STANDS:
            return
        before = now


def _feedback(now: Tracked, following: Following, stamps: Stamps, with_gripper: bool) -> Any:
    """Return targets, measured joints and the difference, in the order of ARM_JOINTS, the gripper last."""
    wished, actual = ([*now.target, now.target_gripper], [*now.position, now.gripper])
    wished_velocity, actual_velocity = ([*now.target_velocity, 0.0], [*now.velocity, 0.0])
    names = [*ARM_JOINTS, GRIPPER_JOINT][: 7 if with_gripper else 6]
    since = max(0, round((now.stamp - following.start) * 1e9))
    time_from_start = Duration(sec=since // 10**9, nanosec=since % 10**9)

    def point(positions: Sequence[float], velocities: Sequence[float]) -> JointTrajectoryPoint:
        n = len(names)
        return JointTrajectoryPoint(
            positions=[float(value) for value in positions[:n]],
            velocities=[float(value) for value in velocities[:n]],
            time_from_start=time_from_start,
        )

    message = FollowJointTrajectory.Feedback(
        header=header(stamps.ros(now.stamp), BASE_FRAME),
        joint_names=names,
        desired=point(wished, wished_velocity),
        actual=point(actual, actual_velocity),
        error=point(np.subtract(wished, actual), np.subtract(wished_velocity, actual_velocity)),
    )
    if hasattr(message, "index"):  # since Kilted
        message.index = now.index
    return message
