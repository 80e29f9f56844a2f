"""The policy node: when it infers, when it does not and why, and what it keeps across steps."""

import threading
import time
from functools import partial

import numpy as np
import pytest
import rclpy
from camera_source import BEST_EFFORT, LOOKING_DOWN, CameraSource, now
from node_setting import NodeSetting, made_by
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from tristage_msgs.msg import ActionChunk, ArmStatus, PruningStats, StageTimings

from tristage_ros.mla.policy import ModelOutputError
from tristage_ros.nodes.policy.node import PolicyNode
from tristage_ros.nodes.policy.readiness import RatePacing
from tristage_ros.ros import diagnostics, qos
from tristage_ros.ros.convert import cloud_message, header, seconds
from tristage_ros.ros.parameters import ParameterError
from tristage_ros.ros.runner import ConfigurationError

POINTS = np.random.default_rng(0).uniform([0.2, -0.2, 0.0], [0.4, 0.2, 0.1], (1024, 3)).astype(np.float32)
COLOR = np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8)


class Setting(NodeSetting):
    """The node under test at a rate, and everything around it."""

    def __init__(self, tmp_path, *parameters, start=True):
        path = tmp_path / "cameras.yaml"
        path.write_text(LOOKING_DOWN)
        given = [f"cameras_file:={path}", "control:=rate", "rate_hz:=50.0", "threads:=1", "max_age:=8.0", *parameters]
        super().__init__(PolicyNode, given)
        self.actions, self.pruning, self.timings = [], [], []
        self.helper.create_subscription(ActionChunk, "/tristage/action", self.actions.append, 10)
        self.helper.create_subscription(PruningStats, "/tristage/pruning", self.pruning.append, 10)
        self.helper.create_subscription(StageTimings, "/tristage/timings", self.timings.append, 10)
        self.clouds = self.helper.create_publisher(PointCloud2, "/tristage/cloud", qos.IMAGES)
        self.front = CameraSource(self.helper)
        self.until(lambda: all(p.get_subscription_count() for p in (self.clouds, self.front.color, self.front.joints)))
        self.until(lambda: self.helper.count_publishers("/tristage/action"))

    def state(self):
        return f"the node waits for: {self.node._waiting_for}"

    def publish(self, stamp=None, points=POINTS, color=COLOR, joints=True):
        stamp = stamp or now()
        self.front.publish_info(stamp)
        if joints:
            self.front.publish_joints(stamp)
        if color is not None:
            self.front.publish_color(color, stamp=stamp)
        self.clouds.publish(cloud_message(points, stamp, "base_link"))
        return stamp

    def step(self):
        count = len(self.pruning)
        self.publish()
        self.until(lambda: len(self.pruning) > count)
        return self.pruning[-1]

    def waits_for(self, words, **observation):
        """Publish a bad observation again and again until the node says why it does not infer."""
        end = now() + 30
        while words not in self.node._waiting_for:
            self.publish(**observation)
            self.executor.spin_once(timeout_sec=0.05)
            assert now() < end, self.node._waiting_for


@pytest.fixture
def setting(ros_domain, tmp_path):
    with made_by(partial(Setting, tmp_path, "allow_random_weights:=true")) as make:
        yield make


def test_a_replayed_frame_that_is_shown_again_is_taken_once_and_answered_again(setting):
    s = setting("use_sim_time:=true", "control:=frame")
    clock, stamp = s.helper.create_publisher(Clock, "/clock", 10), 1000.0

    def show_until_answered(times):
        while min(map(len, (s.actions, s.pruning, s.timings))) < times:
            clock.publish(Clock(clock=header(stamp, "").stamp))
            s.publish(stamp)
            s.executor.spin_once(timeout_sec=0.05)
            time.sleep(0.02)  # without a pause this loop keeps the interpreter lock from the policy
            assert time.monotonic() < end, s.node._waiting_for

    end = time.monotonic() + 40
    show_until_answered(3)
    assert {chunk.sequence for chunk in s.actions} == {1} and {stats.step for stats in s.pruning} == {1}
    assert {seconds(timing.header.stamp) for timing in s.timings} == {stamp}


def test_best_effort_cameras_and_arms_are_heard(setting):
    s = setting()
    s.front = CameraSource(s.helper, profile=BEST_EFFORT)
    end = now() + 40
    while not s.actions:
        s.publish()
        s.executor.spin_once(timeout_sec=0.05)
        assert now() < end, s.state()


def test_pruning_state_lives_across_steps_until_a_reset_or_a_new_instruction(setting):
    s = setting()
    first, second = s.step(), s.step()
    assert (first.step, first.pruned, second.step, second.pruned) == (1, False, 2, True)
    client = s.helper.create_client(Trigger, "/policy/reset")
    future = client.call_async(Trigger.Request())
    s.until(future.done)
    again = s.step()
    assert future.result().success and (again.step, again.pruned) == (1, False)
    s.step()
    assert s.node.set_parameters([Parameter("instruction", value="close the box")])[0].successful
    assert s.step().step == 1
    for wrong in (" ", "banana " * 3000):
        assert not s.node.set_parameters([Parameter("instruction", value=wrong)])[0].successful
    assert s.step().step == 2


@pytest.mark.parametrize(("parameters", "heard"), [((), True), (("use_sim_time:=true",), False)])
def test_the_policy_repeats_the_stamps_of_the_arm_but_not_those_of_a_bag(setting, parameters, heard):
    s, beats = setting(*parameters), []
    s.helper.create_subscription(Header, qos.HEARTBEAT_TOPIC, beats.append, qos.HEARTBEAT)
    status = s.helper.create_publisher(ArmStatus, "/arm/status", 10)
    s.until(lambda: status.get_subscription_count() and s.helper.count_publishers(qos.HEARTBEAT_TOPIC))
    said = [header(now() - age, "base_link") for age in (0.3, 0.2, 0.1)]
    end = now() + (30.0 if heard else 2.0)
    while len(beats) < 3 and now() < end:
        for each in said:
            status.publish(ArmStatus(header=each))
            s.executor.spin_once(timeout_sec=0.05)
    assert bool(beats) == heard and all(beat in said for beat in beats)


@pytest.mark.parametrize(("speed", "actions", "time_step"), [(0.2, 6, 0.1), (0.0, 1, 0.02)])
def test_the_chunk_carries_the_stamp_of_the_observation_and_unit_quaternions(setting, speed, actions, time_step):
    s = setting(f"approach_speed:={speed}")
    stamp = s.publish()
    s.until(lambda: s.actions)
    chunk = s.actions[0]
    assert seconds(chunk.header.stamp) == pytest.approx(stamp, abs=1e-6)
    assert chunk.header.frame_id == "base_link" and chunk.sequence == 1 and chunk.time_step == pytest.approx(time_step)
    assert len(chunk.translation) == len(chunk.orientation) == len(chunk.gripper) == actions
    lengths = [np.linalg.norm([q.x, q.y, q.z, q.w]) for q in chunk.orientation]
    np.testing.assert_allclose(lengths, 1.0, atol=1e-6)
    assert all(0.0 <= gripper <= 1.0 for gripper in chunk.gripper)


def test_the_parts_add_up_to_the_whole(setting):
    s = setting()
    s.step()
    s.until(lambda: s.timings)
    t = s.timings[0]
    assert 0 < sum(t.parts_ms) <= t.total_ms * 1.001
    assert t.overhead_percent == pytest.approx(100 * t.pruning_ms / t.total_ms, rel=1e-3)
    assert t.action_age_ms >= t.total_ms


@pytest.mark.parametrize(
    ("observation", "words"),
    [
        ({"stamp": 1000.0}, "old, limit 8 s"),
        ({"points": POINTS[:0]}, "the cloud is empty"),
        ({"points": np.full_like(POINTS, np.nan)}, "bad input"),
        ({"color": np.zeros((24, 32, 3), np.uint8)}, "32x24"),
        ({"color": None}, "no front image"),
        ({"joints": False}, "no joint state"),
    ],
)
def test_a_bad_observation_is_not_acted_on_and_the_reason_is_told(setting, observation, words):
    s = setting()
    s.waits_for(words, **observation)
    part = s.node._policy_part()
    assert part.level == diagnostics.WARN and words in part.message
    assert not s.actions
    s.step()
    assert s.actions


def test_random_weights_are_said_loudly(setting):
    s = setting()
    s.step()
    part = s.node._policy_part()
    assert part.level == diagnostics.WARN
    assert "RANDOM WEIGHTS" in part.message + str(part.values["checkpoint"])


def test_without_a_checkpoint_it_refuses_a_real_arm(ros_domain, tmp_path):
    with pytest.raises(ConfigurationError, match="random weights are for simulation only"):
        Setting(tmp_path)
    rclpy.try_shutdown()


@pytest.mark.parametrize(
    ("parameter", "error", "words"),
    [
        ("checkpoint:=/nowhere/m.safetensors", ConfigurationError, "/nowhere/m.safetensors"),
        ("pruning:=/nowhere/p.yaml", ParameterError, "/nowhere/p.yaml"),
        ("pruner.tau_2d:=0.3", ParameterError, r"pruner\.tau_2d = 0\.3 must not exceed tau_3d"),
        ("device:=toaster", ConfigurationError, "toaster"),
        ("dtype:=int4", ParameterError, "stored, auto, float32"),
        ("engine:=fast", ParameterError, "auto, cached, recompute, openvino, onnx"),
        ("denoising_steps:=16", ConfigurationError, "16"),
        ("initial_noise:=some", ParameterError, "fresh, zero"),
        ("tau:=0.1", ParameterError, "tau"),
    ],
)
def test_wrong_parameters_keep_it_from_starting(ros_domain, tmp_path, parameter, error, words):
    with pytest.raises(error, match=words):
        Setting(tmp_path, "allow_random_weights:=true", parameter)
    rclpy.try_shutdown()


def test_a_preset_with_an_unknown_key_is_refused_by_name(ros_domain, tmp_path):
    preset = tmp_path / "p.yaml"
    preset.write_text("tau_2d: 0.1\ntau_4d: 0.2\n")
    with pytest.raises(ParameterError, match="tau_4d"):
        Setting(tmp_path, "allow_random_weights:=true", f"pruning:={preset}")
    rclpy.try_shutdown()


def test_a_preset_that_is_no_yaml_is_refused_by_name(ros_domain, tmp_path):
    preset = tmp_path / "p.yaml"
    preset.write_text("a: [1")
    with pytest.raises(ParameterError, match=r"p\.yaml"):
        Setting(tmp_path, "allow_random_weights:=true", f"pruning:={preset}")
    rclpy.try_shutdown()


def test_it_infers_only_while_it_is_active(setting):
    s = setting()
    s.step()
    assert s.node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    count = len(s.actions)
    for _ in range(3):
        s.publish()
        s.executor.spin_once(timeout_sec=0.1)
    assert len(s.actions) == count
    assert s.node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    assert s.node.policy is None
    for transition in (s.node.trigger_configure, s.node.trigger_activate):
        assert transition() == TransitionCallbackReturn.SUCCESS
    s.until(lambda: s.clouds.get_subscription_count() and s.front.color.get_subscription_count())
    assert s.step().step == 1


def test_what_was_seen_before_a_pause_is_forgotten(setting):
    s = setting()
    assert [s.step().step for _ in range(3)] == [1, 2, 3]
    assert s.node.trigger_deactivate() == s.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    assert s.step().step == 1


def test_an_action_that_is_not_finite_is_told_and_not_sent(setting, monkeypatch):
    s = setting()
    s.step()
    count, act = len(s.actions), s.node.policy.act
    error = ModelOutputError("the model's action is not finite: [nan], in torch.float16")
    monkeypatch.setattr(s.node.policy, "act", lambda observation: (_ for _ in ()).throw(error))
    s.waits_for("the model's action is not finite: [nan]")
    assert len(s.actions) == count and not s.node.failure
    monkeypatch.setattr(s.node.policy, "act", act)
    s.step()


def test_a_reader_that_lags_does_not_end_the_policy(setting, monkeypatch):
    s = setting()
    s.step()
    monkeypatch.setattr(s.node, "_timings", Failing())
    s.step()
    s.step()
    assert not s.node.failure


def test_a_firmware_that_cannot_be_read_changes_nothing(setting):
    s = setting()
    s.node._on_arm_status(ArmStatus(firmware="S-V1.6-2"))
    before = s.node.buffer.dh_is_offset
    s.node._on_arm_status(ArmStatus(firmware="latest"))
    assert s.node.buffer.dh_is_offset == before


class Failing:
    """A publisher whose reader does not keep up."""

    topic_name = "/tristage/timings"

    def publish(self, message):
        raise RuntimeError("failed to publish: timeout")


def test_frames_that_came_while_a_step_was_due_are_counted_as_missed(setting, monkeypatch):
    s = setting("rate_hz:=50.0")
    s.step()
    begun, go, act = threading.Event(), threading.Event(), s.node.policy.act

    def slow(observation):
        begun.set()
        assert go.wait(60.0)
        return act(observation)

    monkeypatch.setattr(s.node.policy, "act", slow)
    s.publish()
    s.until(begun.is_set)
    end = now() + 0.1  # several periods: by then the next step is overdue
    s.until(lambda: now() > end)
    for _ in range(4):
        stamp = s.publish()
        s.until(lambda stamp=stamp: s.node.buffer.clouds_between(stamp - 1e-4, now()))
    go.set()
    s.until(lambda: len(s.timings) == 3)
    assert [timing.frames_skipped for timing in s.timings] == [0, 0, 3]  # the newest of the four was used


def test_frames_that_came_before_a_step_was_due_are_not_missed(setting):
    s = setting("rate_hz:=0.1")
    s.step()
    s.step()
    for _ in range(5):
        s.publish()
        s.executor.spin_once(timeout_sec=0.05)
    s.until(lambda: s.node._waiting_for == RatePacing.PERIOD)
    assert s.node._wanted_since is None and s.node._frames_skipped == 0


def test_the_coloured_cloud_is_made_for_those_who_look(setting):
    s = setting()
    s.step()
    assert s.node._kept_clouds.get_subscription_count() == 0
    clouds = []
    s.helper.create_subscription(PointCloud2, "/tristage/kept_cloud", clouds.append, qos.IMAGES)
    s.until(lambda: s.node._kept_clouds.get_subscription_count())
    stamp = s.publish()
    s.until(lambda: clouds and seconds(clouds[-1].header.stamp) >= stamp - 1e-6)
    assert clouds[-1].width == len(POINTS) and clouds[-1].header.frame_id == "base_link"


def test_diagnostics_tell_of_rate_cost_and_sets(setting):
    s = setting()
    s.step()
    values = s.node._policy_part().values
    assert values["total [ms]"] > 0 and values["control rate [Hz]"] == 0.0 and "RANDOM" in values["checkpoint"]
    s.step()
    assert s.node._policy_part().values["control rate [Hz]"] > 0


def test_a_cloud_waits_for_the_joint_states_of_its_moment(setting):
    s = setting()
    stamp = now()
    s.front.publish_info(stamp)
    s.front.publish_joints(stamp - 0.05)
    s.front.publish_color(COLOR, stamp=stamp)
    s.clouds.publish(cloud_message(POINTS, stamp, "base_link"))
    s.until(lambda: "have not reached the stamp" in s.node._waiting_for)
    assert not s.pruning
    s.front.publish_joints(stamp + 0.01)
    s.until(lambda: s.pruning)


def test_joint_states_that_always_lag_hold_nothing_up_for_long(setting):
    s = setting()
    for _ in range(100):
        stamp = s.publish(joints=False)
        s.front.publish_joints(stamp - 0.05)
        for _ in range(20):
            s.executor.spin_once(timeout_sec=0.005)
        if s.pruning:
            break
    assert s.pruning


@pytest.mark.parametrize(("sends", "time_step"), [("keyframe", 0.0), ("rate", 0.1)])
def test_on_every_frame_means_one_step_per_frame(setting, sends, time_step):
    s = setting("control:=frame", f"frame_sends:={sends}")
    stamps = [s.publish() for _ in range(1)]
    s.until(lambda: len(s.actions) == 1)
    for count in (2, 3):
        stamps.append(s.publish())
        s.until(lambda count=count: len(s.actions) == count)
    assert [seconds(chunk.header.stamp) for chunk in s.actions] == pytest.approx(stamps, abs=1e-5)
    assert [chunk.time_step for chunk in s.actions] == pytest.approx([time_step] * 3)
