"""The policy node looks: before a step, on the arm's way to a key frame, and in a replay when it is told to."""

from functools import partial
from itertools import pairwise

import pytest
import rclpy
from node_setting import made_by
from std_msgs.msg import Float64
from std_srvs.srv import SetBool
from test_policy import Setting
from tristage_msgs.msg import ActionChunk, ArmStatus

from tristage_ros.ros import qos
from tristage_ros.ros.convert import header, seconds, to_stamp
from tristage_ros.ros.runner import ConfigurationError


@pytest.fixture
def setting(ros_domain, tmp_path):
    with made_by(partial(Setting, tmp_path, "allow_random_weights:=true", "control:=keyframe")) as make:
        yield make


class Arm:
    """Say what an arm says, again and again."""

    def __init__(self, setting):
        self._setting, self._status = setting, setting.helper.create_publisher(ArmStatus, "/arm/status", 10)
        setting.until(self._status.get_subscription_count)

    def until(self, condition, mode, chunk=None, state=ArmStatus.CHUNK_NONE, frames=True):
        """Speak, and show frames, until something holds."""
        s = self._setting

        def spoken():
            stamp = s.publish() if frames else None
            said = ArmStatus(mode=mode, chunk_state=state, header=header(stamp or s.node._now(), "base_link"))
            if chunk is not None:
                said.chunk_stamp = chunk.header.stamp
            self._status.publish(said)
            return condition()

        s.until(spoken)


def of(timings, look):
    return [timing for timing in timings if (timing.step == 0) == look]


def test_it_looks_on_the_way_and_decides_when_the_arm_is_there(setting):
    s = setting("looks:=moving", "rate_hz:=20.0")
    arm = Arm(s)
    arm.until(lambda: len(s.actions) == 1 and s.pruning and s.timings, ArmStatus.HOLDING)
    assert not of(s.timings, look=True), "there is nothing to look at on the way yet"
    arm.until(lambda: len(of(s.timings, look=True)) >= 3, ArmStatus.MOVING, s.actions[0], ArmStatus.CHUNK_EXECUTING)
    looks = of(s.timings, look=True)
    assert (len(s.actions), len(s.pruning)) == (1, 1), "nothing is decided"
    assert all(look.total_ms > 0 and look.prefill_ms > 0 and look.observation_age_ms >= 0 for look in looks)
    stamps = [seconds(s.actions[0].header.stamp), *(seconds(look.header.stamp) for look in looks)]
    assert all(after - before > 1 / 20 - 1e-3 for before, after in pairwise(stamps))
    there = (ArmStatus.HOLDING, s.actions[0], ArmStatus.CHUNK_REACHED)
    arm.until(lambda: len(s.pruning) == 2 and len(of(s.timings, look=False)) == 2, *there)
    assert s.pruning[1].step == 2 and s.pruning[1].pruned
    assert [timing.step for timing in of(s.timings, look=False)] == [1, 2]
    assert s.node._policy_part().values["looks"] >= 3


@pytest.mark.long
def test_without_looks_there_are_none(setting):
    s = setting()
    arm = Arm(s)
    arm.until(lambda: len(s.actions) == 1 and s.timings, ArmStatus.HOLDING)
    waits = iter(range(20))
    arm.until(lambda: next(waits) == 19, ArmStatus.MOVING, s.actions[0], ArmStatus.CHUNK_EXECUTING)
    assert [timing.step for timing in s.timings] == [1] and "looks" not in s.node._policy_part().values


@pytest.mark.long
def test_an_arm_that_arrives_ends_a_look(setting, monkeypatch):
    s = setting("looks:=moving", "rate_hz:=20.0")
    arm = Arm(s)
    arm.until(lambda: len(s.actions) == 1 and s.pruning, ArmStatus.HOLDING)
    look, given_up = s.node.policy.look, []

    def interrupted(observation, unless):
        def arrived():
            s.node.pacing.on_arm_status(there, s.node._steady())
            return unless()

        there = ArmStatus(mode=ArmStatus.HOLDING, chunk_state=ArmStatus.CHUNK_REACHED, chunk_stamp=chunk.header.stamp)
        there.header.stamp = to_stamp(observation.stamp)
        given_up.append(look(observation, arrived))
        return given_up[-1]

    chunk: ActionChunk = s.actions[0]
    monkeypatch.setattr(s.node.policy, "look", interrupted)
    arm.until(lambda: len(s.pruning) == 2, ArmStatus.MOVING, chunk, ArmStatus.CHUNK_EXECUTING)
    assert given_up == [None] and not of(s.timings, look=True)
    assert s.pruning[1].step == 2


def test_on_arrival_it_looks_at_what_it_acts_on(setting):
    s = setting("looks:=arrival")
    arm = Arm(s)
    arm.until(lambda: len(s.actions) == 1 and len(s.timings) == 2 and s.pruning, ArmStatus.HOLDING)
    look, step = s.timings
    assert (look.step, step.step) == (0, 1) and look.header.stamp == step.header.stamp
    assert s.pruning[0].pruned, "it has seen the frame unpruned"
    assert s.pruning[0].step == 1, "by which a replay knows that it began anew"


def test_a_replay_says_which_frames_are_only_looked_at(setting):
    s = setting("use_sim_time:=false", "control:=frame", "frame_sends:=keyframe", "looks:=moving")
    assert not s.helper.count_services("/policy/look"), "nobody tells a policy that leads an arm"
    s.node._looks_only = True
    s.publish()
    s.until(lambda: s.timings)
    assert s.timings[0].step == 0 and not s.actions and not s.pruning
    s.node._on_look(SetBool.Request(data=False), SetBool.Response())
    s.publish()
    s.until(lambda: s.actions and s.pruning)
    assert s.pruning[0].step == 1 and s.pruning[0].pruned


def test_at_a_rate_there_is_no_way_to_look_on(ros_domain, tmp_path):
    with pytest.raises(ConfigurationError, match="looks:=arrival needs control:=keyframe: at a rate every step looks"):
        Setting(tmp_path, "allow_random_weights:=true", "looks:=arrival")
    rclpy.try_shutdown()


@pytest.mark.long
def test_before_the_arm_can_move_it_rehearses_for_nothing_but_the_time_it_takes(setting):
    def first_action(*parameters):
        s = setting("initial_noise:=fresh", *parameters)
        ages, arm = [], Arm(s)
        s.helper.create_subscription(Float64, qos.REHEARSAL_TOPIC, lambda said: ages.append(said.data), 10)
        waits = iter(range(12))
        arm.until(
            lambda: len(ages) > 2 or ("rehearse:=true" not in parameters and next(waits) == 11), ArmStatus.DISABLED
        )
        assert not (s.actions or s.pruning or s.timings)
        arm.until(lambda: len(s.actions) == 1 and s.pruning, ArmStatus.HOLDING)
        assert s.pruning[0].step == 1 and not s.pruning[0].pruned
        action = s.actions[0].translation[0]
        s.close()
        return ages, (action.x, action.y, action.z)

    (ages, rehearsed), (none, as_ever) = first_action("rehearse:=true"), first_action()
    assert all(age > 0.0 for age in ages) and none == [] and rehearsed == as_ever
