"""The arm node on the emulated wire: lifecycle, operator services, chunks, and what it refuses."""

import itertools
import time

import numpy as np
import pytest
import rclpy
from camera_source import BEST_EFFORT
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, Quaternion, Vector3
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from tristage_msgs.msg import ActionChunk, ArmStatus
from tristage_msgs.srv import ConfirmedTrigger

from tristage_ros.devices.arm.values import CommandSource
from tristage_ros.nodes.arm.messages import guard_part, motors_part
from tristage_ros.nodes.arm.node import ArmNode
from tristage_ros.resources import resource
from tristage_ros.ros import diagnostics, qos
from tristage_ros.ros.convert import header
from tristage_ros.ros.runner import ConfigurationError, NodeExecutor
from tristage_ros.simulation.cell import Cell, CellConfig

CHANNELS = itertools.count()


class Setting:
    """The node under test, a cell behind it and an operator in front of it."""

    threads = 2

    def __init__(self, *parameters):
        channel = f"test-arm-{next(CHANNELS)}"
        self.cell = Cell(
            CellConfig(str(resource("config", "cameras.yaml")), can_interface="virtual", can_channel=channel)
        )
        self.cell.start()
        # A loaded machine can deliver a chunk late; the age limit has a test of its own.
        given = ["can_interface:=virtual", f"can_channel:={channel}", "speed_scale:=1.0", "max_age:=8.0", *parameters]
        rclpy.init(args=["--ros-args", *(word for text in given for word in ("-p", text))])
        self.node, self.helper = ArmNode(), Node("helper")
        self.status, self.pose, self.joints = None, None, []
        self.helper.create_subscription(ArmStatus, "/arm/status", lambda m: setattr(self, "status", m), 10)
        self.helper.create_subscription(PoseStamped, "/arm/end_pose", lambda m: setattr(self, "pose", m), 10)
        self.helper.create_subscription(JointState, "/joint_states", self.joints.append, 10)
        self.chunks = self.helper.create_publisher(ActionChunk, "/tristage/action", 10)
        self.executor = NodeExecutor(self.threads)
        self.executor.add_node(self.node)
        self.executor.add_node(self.helper)

    def until(self, condition, timeout=30.0):
        end = time.monotonic() + timeout
        while not condition():
            self.executor.spin_once(timeout_sec=0.05)
            assert time.monotonic() < end, self.status

    def call(self, service):
        client = self.helper.create_client(Trigger, f"/arm/{service}")
        future = client.call_async(Trigger.Request())
        self.until(future.done)
        return future.result()

    def confirm(self, service, code=""):
        client = self.helper.create_client(ConfirmedTrigger, f"/arm/{service}")
        future = client.call_async(ConfirmedTrigger.Request(code=code))
        self.until(future.done)
        return future.result()

    def send(self, translation, age=0.0, gripper=1.0, frame="base_link"):
        """Send one key frame that keeps the present orientation; return its stamp."""
        o = self.pose.pose.orientation
        chunk = ActionChunk(header=header(time.time() - age, frame), sequence=1)
        chunk.translation = [Vector3(x=translation[0], y=translation[1], z=translation[2])]
        chunk.orientation, chunk.gripper = [Quaternion(x=o.x, y=o.y, z=o.z, w=o.w)], [gripper]
        self.until(lambda: self.chunks.get_subscription_count())
        self.chunks.publish(chunk)
        return chunk.header.stamp

    def outcome(self, stamp):
        """Return the status that ends the chunk of `stamp`."""
        done = (ArmStatus.CHUNK_REACHED, ArmStatus.CHUNK_REFUSED, ArmStatus.CHUNK_ABORTED)
        self.until(lambda: self.status.chunk_stamp == stamp and self.status.chunk_state in done)
        print(f"chunk state {self.status.chunk_state}: {self.status.chunk_reason}")  # shown when the test fails
        return self.status

    def height(self):
        return self.pose.pose.position.z

    def close(self):
        self.node.close()
        self.executor.shutdown()
        self.node.destroy_node()
        self.helper.destroy_node()
        rclpy.try_shutdown()
        self.cell.close()


@pytest.fixture
def setting(ros_domain):
    made = []

    def make(*parameters):
        made.append(Setting(*parameters))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_an_enabled_arm_carries_out_a_key_frame_and_says_so(setting):
    s = setting()
    s.until(lambda: s.status and s.pose)
    assert s.status.mode == ArmStatus.DISABLED and s.status.firmware.startswith("S-V")
    s.until(lambda: s.status.measured_variation < 0.02)  # NaN at first
    assert s.status.measured_reversals == 0.0 and np.isnan(s.status.target_variation), "nothing moves, nothing was sent"
    refused = s.outcome(s.send((0.0, 0.0, -0.03)))
    assert refused.chunk_state == ArmStatus.CHUNK_REFUSED and "disabled" in refused.chunk_reason
    assert s.call("enable").success
    before = s.height()
    reached = s.outcome(s.send((0.0, 0.0, -0.03)))
    assert reached.chunk_state == ArmStatus.CHUNK_REACHED
    s.until(lambda: abs(s.height() - (before - 0.03)) < 3e-3)
    went = np.abs(np.subtract(s.joints[-1].position, s.joints[0].position))[:6].sum()
    s.until(lambda: min(s.status.target_variation, s.status.measured_variation) > 0.9 * went)
    assert s.status.target_jerk > 1.0 and s.status.measured_jerk > 1.0
    assert s.status.target_reversals < 0.2 and s.status.measured_reversals < 0.2
    assert s.joints[-1].name == [*(f"joint{i}" for i in range(1, 7)), "gripper"]
    assert reached.chunks_accepted == 1 and reached.chunks_refused == 1


def test_a_policy_that_falls_silent_stops_the_arm_until_a_person_clears_it(setting):
    s = setting("link_timeout:=0.5")
    heartbeats = s.helper.create_publisher(Header, qos.HEARTBEAT_TOPIC, qos.HEARTBEAT)

    def alive(condition):  # a policy repeats what the arm says
        return lambda: heartbeats.publish(s.status.header) or condition()

    s.until(lambda: s.status and s.pose and heartbeats.get_subscription_count())
    assert s.call("enable").success
    s.until(alive(lambda: s.status.mode == ArmStatus.HOLDING))
    s.until(lambda: s.status.mode == ArmStatus.FAULT)
    assert "no word from the policy for 0.5" in s.status.reason
    refused = s.call("clear_fault")
    assert not refused.success and refused.message.startswith("still no word from the policy")
    end = time.monotonic() + 1.0
    s.until(alive(lambda: time.monotonic() > end))
    assert s.status.mode == ArmStatus.FAULT, "the fault went away by itself"
    client = s.helper.create_client(Trigger, "/arm/clear_fault")
    cleared = client.call_async(Trigger.Request())
    s.until(alive(cleared.done))
    assert cleared.result().success
    s.until(alive(lambda: s.status.mode == ArmStatus.HOLDING and "enable the arm" in s.status.reason))


@pytest.mark.parametrize(
    ("translation", "age", "words"),
    [((np.nan, 0.0, 0.0), 0.0, "finite"), ((3.0, 0.0, 0.0), 0.0, ""), ((0.0, 0.0, -0.02), 9.0, "old")],
)
def test_a_bad_chunk_is_refused_with_the_reason_and_nothing_moves(setting, translation, age, words):
    s = setting()
    s.until(lambda: s.status and s.pose)
    assert s.call("enable").success
    s.until(lambda: s.status.mode == ArmStatus.HOLDING)
    target = s.status.joint_target.copy()
    status = s.outcome(s.send(translation, age))
    assert status.chunk_state == ArmStatus.CHUNK_REFUSED and words in status.chunk_reason
    np.testing.assert_array_equal(status.joint_target, target)


@pytest.mark.parametrize(("wrong", "words"), [({"frame": "world"}, "world"), ({"gripper": 70.0}, "70")])
def test_a_chunk_in_another_frame_or_unit_is_refused(setting, wrong, words):
    s = setting()
    s.until(lambda: s.status and s.pose)
    assert s.call("enable").success
    status = s.outcome(s.send((0.0, 0.0, -0.01), **wrong))
    assert status.chunk_state == ArmStatus.CHUNK_REFUSED and words in status.chunk_reason
    s.until(lambda: guard_part(s.node.controller.snapshot()).level == diagnostics.WARN)


def test_stop_means_hold_until_enabled_again(setting):
    s = setting()
    s.until(lambda: s.status and s.pose)
    assert s.call("enable").success
    stamp = s.send((0.05, 0.0, -0.1))
    s.until(lambda: s.status.mode == ArmStatus.MOVING)
    assert s.call("stop").success
    assert s.outcome(stamp).chunk_state == ArmStatus.CHUNK_ABORTED
    s.until(lambda: s.status.mode == ArmStatus.HOLDING)
    assert s.outcome(s.send((0.0, 0.0, 0.01))).chunk_state == ArmStatus.CHUNK_REFUSED
    assert s.call("enable").success
    assert s.outcome(s.send((0.0, 0.0, 0.01))).chunk_state == ArmStatus.CHUNK_REACHED


def test_a_silent_bus_is_a_fault_that_only_an_operator_clears(setting):
    s = setting()
    s.until(lambda: s.status and s.pose)
    assert s.call("enable").success
    s.cell.firmware.silence(1.6)
    s.until(lambda: s.status.mode == ArmStatus.FAULT)
    assert "no joint feedback" in s.status.reason
    s.until(lambda: s.status.feedback_age_ms < 30)
    assert s.status.mode == ArmStatus.FAULT
    assert s.call("clear_fault").success
    s.until(lambda: s.status.mode == ArmStatus.HOLDING)
    assert s.outcome(s.send((0.0, 0.0, -0.01))).chunk_state == ArmStatus.CHUNK_REFUSED
    assert s.call("enable").success
    assert s.outcome(s.send((0.0, 0.0, -0.01))).chunk_state == ArmStatus.CHUNK_REACHED


def test_lifecycle_transitions_connect_and_disconnect(setting):
    s = setting("autostart:=false")
    success = TransitionCallbackReturn.SUCCESS
    assert not s.call("enable").success
    for _ in range(2):
        assert s.node.trigger_configure() == success
        s.until(lambda: s.status and s.status.firmware)
        assert not s.call("enable").success  # not active yet
        assert s.node.trigger_activate() == success
        assert s.call("enable").success
        assert s.node.trigger_deactivate() == success
        assert s.node.trigger_cleanup() == success
        s.status = None


def test_the_speed_may_be_changed_while_it_runs(setting):
    s = setting()
    s.until(lambda: s.status)
    assert s.node.set_parameters([Parameter("speed_scale", value=0.25)])[0].successful
    s.until(lambda: s.status.speed_scale == pytest.approx(0.25))
    assert not s.node.set_parameters([Parameter("speed_scale", value=2.0)])[0].successful
    assert s.node.set_parameters([Parameter("speed_scale", value=1.0000005)])[0].successful  # within rclpy's tolerance
    s.until(lambda: s.status.speed_scale == 1.0)
    together = [Parameter("command_source", value="trajectory"), Parameter("use_sim_time", value=True)]
    assert not s.node.set_parameters_atomically(together).successful
    assert s.node.controller.snapshot().source is CommandSource.POLICY
    assert not s.node.set_parameters([Parameter("can_channel", value="can7")])[0].successful
    assert not s.node.set_parameters([Parameter("use_sim_time", value=True)])[0].successful


def test_who_sends_commands_that_may_be_lost_is_named_and_not_heard(setting):
    s = setting()
    other = s.helper.create_publisher(JointTrajectory, "/arm/joint_trajectory", BEST_EFFORT)
    messages = []
    s.helper.create_subscription(DiagnosticArray, "/diagnostics", messages.append, 10)

    def commands():
        return [status for status in (messages[-1].status if messages else ()) if status.name == "arm: commands"]

    s.until(lambda: any("best effort (reliability)" in status.message for status in commands()))
    assert commands()[0].level == DiagnosticStatus.WARN and other.topic_name in commands()[0].message
    assert not other.get_subscription_count()


def test_a_second_publisher_ends_the_motion_and_both_are_refused(setting):
    s = setting()
    s.until(lambda: s.status and s.pose)
    assert s.call("enable").success
    stamp = s.send((0.0, 0.2, -0.05))
    s.until(lambda: s.status.mode == ArmStatus.MOVING)
    rival = Node("rival")
    publisher = rival.create_publisher(ActionChunk, "/tristage/action", 1)
    s.until(lambda: s.node.count_publishers("/tristage/action") == 2)
    refused = s.outcome(s.send((0.0, 0.0, 0.01)))
    assert refused.chunk_state == ArmStatus.CHUNK_REFUSED and "/rival" in refused.chunk_reason
    s.until(lambda: s.status.mode == ArmStatus.HOLDING)
    assert refused.chunk_stamp != stamp
    rival.destroy_publisher(publisher)
    s.until(lambda: s.node.count_publishers("/tristage/action") == 1)
    assert s.outcome(s.send((0.0, 0.0, 0.01))).chunk_state == ArmStatus.CHUNK_REACHED
    rival.destroy_node()


@pytest.mark.parametrize("sign", ["/clock", "rosbag2_player"])
def test_a_replay_does_not_reach_an_enabled_arm(setting, sign):
    s = setting()
    s.until(lambda: s.status and s.pose)
    assert s.call("enable").success
    player = Node("rosbag2_player" if sign != "/clock" else "replay")
    kind, topic = (Clock, "/clock") if sign == "/clock" else (ActionChunk, "/tristage/action")
    player.create_publisher(kind, topic, 1)
    s.until(lambda: s.node.count_publishers(topic) == (1 if sign == "/clock" else 2))
    status = s.outcome(s.send((0.0, 0.0, -0.02)))
    assert status.chunk_state == ArmStatus.CHUNK_REFUSED and sign in status.chunk_reason
    player.destroy_node()


def test_replayed_time_is_refused(setting):
    s = setting("autostart:=false", "use_sim_time:=true")
    assert s.node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert "replayed bag" in s.node.refusal


def test_dry_run_works_everything_out_and_sends_nothing_until_enabled(setting):
    s = setting("dry_run:=true")
    s.until(lambda: s.status and s.pose and s.status.mode == ArmStatus.HOLDING)
    assert s.status.dry_run and "nothing is sent" in s.status.reason
    before = np.array(s.status.joint_target)
    reached = s.outcome(s.send((0.0, 0.1, -0.05)))
    assert reached.chunk_state == ArmStatus.CHUNK_REACHED
    assert np.abs(reached.joint_target - before).max() > 0.05
    np.testing.assert_allclose(reached.joint_position, before, atol=3e-3)
    assert reached.setpoints_sent == 0 and not any(bits & 0x40 for bits in reached.motor_status)
    assert s.call("enable").success
    s.until(lambda: not s.status.dry_run and s.status.mode == ArmStatus.HOLDING)
    assert s.outcome(s.send((0.0, 0.0, -0.02))).chunk_state == ArmStatus.CHUNK_REACHED


def test_a_trajectory_moves_the_arm_only_when_it_was_given_to_trajectories(setting):
    s = setting()
    s.until(lambda: s.status and s.pose)
    assert s.call("enable").success
    publisher = s.helper.create_publisher(JointTrajectory, "/arm/joint_trajectory", 1)
    s.until(publisher.get_subscription_count)
    start = np.array(s.status.joint_position)
    names = [f"joint{i}" for i in (2, 1, 3, 4, 5, 6)]  # in any order
    goal = start + np.array([0.2, 0.1, 0.0, 0.0, 0.0, 0.1])
    points = [JointTrajectoryPoint(positions=[goal[k] for k in (1, 0, 2, 3, 4, 5)])]
    points[0].time_from_start.sec = 1
    trajectory = JointTrajectory(joint_names=names, points=points)
    publisher.publish(trajectory)
    for _ in range(20):
        s.executor.spin_once(timeout_sec=0.05)
    np.testing.assert_allclose(s.status.joint_target, start, atol=3e-3)
    assert not s.node.set_parameters([Parameter("command_source", value="anyone")])[0].successful
    assert s.node.set_parameters([Parameter("command_source", value="trajectory")])[0].successful
    publisher.publish(trajectory)
    s.until(lambda: np.abs(s.status.joint_position - goal).max() < 5e-3)
    assert s.status.command_source == ArmStatus.TRAJECTORY
    refused = s.outcome(s.send((0.0, 0.0, -0.02)))
    assert refused.chunk_state == ArmStatus.CHUNK_REFUSED and "joint trajectories" in refused.chunk_reason


def test_a_person_takes_the_arm_home_and_keeps_it(setting):
    s = setting()
    s.until(lambda: s.status and s.pose)
    assert not s.call("move_home").success
    assert s.call("enable").success
    s.send((0.0, 0.2, -0.05))
    s.until(lambda: s.status.mode == ArmStatus.MOVING)
    s.until(lambda: np.abs(s.status.joint_target - s.node.controller.config.home).max() > 0.1)
    assert s.call("move_home").success
    s.until(lambda: np.abs(s.status.joint_position - s.node.controller.config.home).max() < 5e-3)
    assert s.status.command_source == ArmStatus.OPERATOR and s.status.chunk_state == ArmStatus.CHUNK_ABORTED
    assert "an operator" in s.outcome(s.send((0.0, 0.0, -0.02))).chunk_reason
    assert s.node.set_parameters([Parameter("command_source", value="policy")])[0].successful
    assert s.outcome(s.send((0.0, 0.0, -0.02))).chunk_state == ArmStatus.CHUNK_REACHED


def pause(setting):
    """Let as much time pass as two requests have to be apart."""
    end = time.monotonic() + 1.1
    setting.until(lambda: time.monotonic() > end)


def test_recover_walks_through_a_reset(setting):
    s = setting()
    s.until(lambda: s.status and s.pose)
    assert s.call("enable").success
    assert not s.confirm("recover").success  # nothing to recover from
    s.cell.firmware.press_emergency_stop()
    s.until(lambda: s.status.mode == ArmStatus.FAULT)
    assert s.status.arm_status == 1
    first = s.confirm("recover")
    assert first.success and "FALLS" in first.message
    typed = "ros2 service call /arm/recover tristage_msgs/srv/ConfirmedTrigger"
    assert f"{typed} \"{{code: '{first.code}'}}\"" in first.message
    assert "too soon" in s.confirm("recover", first.code).message
    pause(s)
    another = s.confirm("recover")  # somebody else, who has not seen the first answer
    assert "FALLS" in another.message and another.code != first.code
    pause(s)
    wrong = s.confirm("recover", first.code)
    assert not wrong.success and not wrong.code and s.status.arm_status == 1
    code = s.confirm("recover").code
    pause(s)
    assert "reset; keep holding" in s.confirm("recover", code).message
    s.until(lambda: s.status.arm_status == 0)
    assert s.call("clear_fault").success
    assert s.call("enable").success
    s.until(lambda: s.status.mode == ArmStatus.HOLDING)


def test_the_gripper_gets_a_new_zero_before_the_arm_is_enabled_only(setting):
    s = setting()
    s.until(lambda: s.status and s.pose)
    assert s.call("gripper_home").success
    s.until(lambda: s.status.gripper_opening < 1e-3)
    first = s.confirm("gripper_zero")
    assert "by hand" in first.message and "/arm/gripper_zero tristage_msgs/srv" in first.message
    pause(s)
    assert "0 from now on" in s.confirm("gripper_zero", first.code).message
    assert s.call("enable").success
    refused = s.call("gripper_home")
    assert not refused.success and "motors are on" in refused.message


def test_motor_health_is_told(setting):
    s = setting()
    s.until(lambda: s.status and s.pose)
    assert s.status.motor_voltage == pytest.approx([24.0] * 6)
    assert list(s.status.motor_temperature) == [32.0] * 6
    s.until(lambda: 0.1 < s.status.bus_load < 1.0)
    assert len(s.joints[-1].effort) == 7
    s.cell.firmware.fail_motor(2)
    s.until(lambda: s.status.motor_status[2] & 0x20)
    part = motors_part(s.node.controller.snapshot())
    assert part.level == diagnostics.ERROR and "motor 3: driver error" in part.message


def test_no_arm_is_said_in_one_line(ros_domain, free_port):
    given = ["can_interface:=remote", f"can_channel:=127.0.0.1:{free_port}", "connect_timeout:=0.5"]
    rclpy.init(args=["--ros-args", *(word for text in given for word in ("-p", text))])
    try:
        with pytest.raises(ConfigurationError, match=str(free_port)):
            ArmNode()
    finally:
        rclpy.try_shutdown()
