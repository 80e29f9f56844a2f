"""The pruner's settings as parameters of a policy that runs: set, refused, brought along, from when on they hold."""

import math
from functools import partial
from types import SimpleNamespace

import pytest
import rclpy
import yaml
from camera_source import now
from node_setting import NodeSetting, made_by
from rcl_interfaces.msg import ParameterEvent
from rcl_interfaces.srv import GetParameters, ListParameters, SetParameters, SetParametersAtomically
from rclpy.parameter import Parameter, parameter_dict_from_yaml_file, parameter_value_to_python
from test_policy import Setting
from tristage_msgs.msg import ActionChunk, StageTimings

from tristage_ros.bags.changes import EVENTS, TIMINGS, changes_of
from tristage_ros.nodes.policy.node import PolicyNode
from tristage_ros.nodes.policy.readiness import RatePacing
from tristage_ros.nodes.policy.tuning import PARAMETERS, Tuning
from tristage_ros.pruning import PruningConfig
from tristage_ros.ros.convert import seconds


def messages(values):
    return [Parameter(name.replace("__", "."), value=value).to_parameter_msg() for name, value in values.items()]


class Tools:
    """The services of a policy's parameters, as the tools of ROS 2 use them."""

    def ask(self, kind, name, **request):
        client = self.helper.create_client(kind, f"/policy/{name}")
        self.until(client.service_is_ready)
        future = client.call_async(kind.Request(**request))
        self.until(future.done)
        return future.result()

    def set(self, **values):
        """Set all in one request and return the reasons of what was refused."""
        answer = self.ask(SetParameters, "set_parameters", parameters=messages(values))
        return [result.reason for result in answer.results if not result.successful]

    def get(self, *names):
        values = self.ask(GetParameters, "get_parameters", names=list(names)).values
        return [parameter_value_to_python(value) for value in values]

    def dumped(self):
        """Return the parameters as `ros2 param dump` writes them: sorted, dots as nested maps."""
        names = sorted(self.ask(ListParameters, "list_parameters").result.names)
        nested = {}
        for name, value in zip(names, self.get(*names), strict=True):
            *above, last = name.split(".")
            inside = nested
            for part in above:
                inside = inside.setdefault(part, {})
            inside[last] = list(value) if hasattr(value, "tolist") else value
        return yaml.dump({"/policy": {"ros__parameters": nested}})


class Idle(Tools, NodeSetting):
    """A policy that does nothing but have parameters."""

    def __init__(self, *parameters):
        super().__init__(PolicyNode, ["autostart:=false", *parameters])


class Tuned(Tools, Setting):
    """A policy that infers."""


@pytest.fixture
def idle(ros_domain):
    with made_by(Idle) as make:
        yield make


@pytest.fixture
def setting(ros_domain, tmp_path):
    with made_by(partial(Tuned, tmp_path, "allow_random_weights:=true")) as make:
        yield make


def test_every_setting_of_a_preset_is_a_parameter_that_holds_what_the_preset_says():
    names = {p.name for p in PARAMETERS if p.name != "pruning"}
    assert names == {f"pruner.{name}" for name in PruningConfig().to_dict()}
    carried = Tuning.of("carried")
    assert carried.changed(carried.parameters) == carried and carried.config.scale_3d is None
    for preset in ("robot", "paper"):
        tuning = Tuning.of(preset)
        assert tuning.changed(tuning.parameters) == tuning
        assert tuning.config == getattr(PruningConfig, preset)() and str(tuning) == preset
    assert Tuning.of("paper").parameters["pruner.target_rate"] == -1.0


def test_a_change_takes_hold_at_the_next_step_and_the_state_stays(setting):
    s = setting()
    s.step()
    before = s.step()
    observed = s.node.policy.pruner.state_dict()["patches"]["observations"]
    assert s.set(pruner__target_rate=0.5) == [] and s.get("pruner.target_rate") == [0.5]
    assert s.node.policy.pruner.config.target_rate == 0.7, "nothing changes before a step begins"
    after = s.step()
    assert after.step == 3 and before.rate > 0.68 and after.rate == 0.5
    assert (s.node.policy.pruner.state_dict()["patches"]["observations"] >= observed).all()
    assert str(s.node._pruning_part().values["settings"]) == "robot (changed: target_rate 0.5)"


def test_stamps_tell_with_which_step_a_change_took_hold(setting):
    """As a replay has to know: changes come at any moment, also within a step."""
    s, heard = setting(), []
    for kind, topic in ((ParameterEvent, EVENTS), (StageTimings, TIMINGS)):
        s.helper.create_subscription(kind, topic, partial(lambda topic, m: heard.append((topic, m)), topic), 100)
    s.until(lambda: s.helper.count_publishers(EVENTS))
    s.step()
    client = s.helper.create_client(SetParameters, "/policy/set_parameters")
    s.until(client.service_is_ready)
    for number in range(12):
        s.publish()
        end = now() + 0.003 * (number % 6)
        s.until(lambda end=end: now() > end)
        rate = 0.3 + 0.1 * (number % 2)
        client.call_async(SetParameters.Request(parameters=messages({"pruner__target_rate": rate})))
        s.until(lambda count=number + 2: len(s.pruning) >= count)
    s.until(lambda: [topic for topic, _ in heard].count(TIMINGS) == 13)
    stamped = [SimpleNamespace(topic=topic, value=m, header_stamp=stamp_of(m)) for topic, m in heard]
    wanted, changes = [0.7] * 13, changes_of(stamped)[1]
    for change in changes:
        wanted[change.step :] = [change.values["pruner.target_rate"]] * (13 - change.step)
    assert len(changes) == 12 and changes[0].step >= 1
    assert [stats.rate for stats in s.pruning[1:]] == pytest.approx(wanted[1:], abs=0.03)


def stamp_of(message):
    return 0 if isinstance(message, ParameterEvent) else round(seconds(message.header.stamp) * 1e9)


def test_features_measured_elsewhere_begin_anew(setting):
    s = setting()
    assert [s.step().step for _ in range(2)] == [1, 2]
    assert s.set(pruner__s1_feature="lm_head") == []
    assert s.step().step == 1


def test_the_scale_of_a_model_is_told_once_it_is_found_and_outlives_resets(setting):
    """As a replay has to know it; blank frames before the first one do not count."""
    s = setting()
    assert s.get("own_scale.pre_norm", "pruner.scale_3d") == [0.0, -1.0]
    s.step()
    s.until(lambda: s.get("own_scale.pre_norm") != [0.0])
    [found] = s.get("own_scale.pre_norm")
    assert found == s.node.policy.pruner.scale
    assert s.set(instruction="close the box") == [] and s.step().step == 1
    assert s.get("own_scale.pre_norm", "own_scale.lm_head") == [found, 0.0]
    [reason] = s.set(own_scale__pre_norm=found + 1)
    assert "set pruner.scale_3d" in reason
    assert s.set(pruner__scale_3d=found + 1) == [] and s.step().step == 1
    assert s.node.policy.pruner.scale == found + 1
    assert s.set(pruner__scale_3d=-1) == [] and s.step().step == 1
    assert s.node.policy.pruner.scale == found


def test_a_scale_that_is_given_stands_for_that_of_the_checkpoint(setting):
    s = setting("own_scale.pre_norm:=2.5")
    s.step()
    assert s.node.policy.pruner.scale == 2.5 and s.get("own_scale.pre_norm") == [2.5]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"pruner__scale_3d": 0.0}, "pruner.scale_3d = 0.0"),
        ({"pruner__scale_3d": -0.5}, "pruner.scale_3d = -0.5"),
        ({"pruner__tau_2d": math.nan}, "pruner.tau_2d = nan"),
        ({"pruner__tau_2d": 1.5}, "pruner.tau_2d = 1.5"),
        ({"pruner__tau_2d": 0.3}, "pruner.tau_2d = 0.3 must not exceed tau_3d = 0.2"),
        ({"pruner__tau_2d": "low"}, "pruner.tau_2d = 'low' is no double"),
        ({"pruner__target_rate": -0.5}, "pruner.target_rate = -0.5"),
        ({"pruner__window": 5000}, "pruner.window"),
        ({"pruner__stages": [4]}, "pruner.stages = [4]"),
        ({"pruner__tau_4d": 0.1}, "'pruner.tau_4d'"),
        ({"pruner__beta": 0.5, "pruner__watch_share": 2.0}, "pruner.watch_share = 2.0"),
        ({"pruning": "papper"}, "'papper'"),
        ({"pruning": "/nowhere/p.yaml"}, "/nowhere/p.yaml"),
        ({"rate_hz": 1000.0}, "rate_hz"),
        ({"seed": 3}, "seed"),
    ],
)
def test_what_is_wrong_is_refused_by_name_and_nothing_changes(idle, values, words):
    s = idle()
    before = s.dumped()
    assert all(words in reason for reason in s.set(**values)) and len(s.set(**values)) == len(values)
    result = s.ask(SetParametersAtomically, "set_parameters_atomically", parameters=messages(values)).result
    assert not result.successful and words in result.reason
    assert s.dumped() == before


def test_what_fits_together_only_is_set_together_and_an_integer_does_for_a_double(idle):
    s = idle()
    assert s.set(pruner__tau_2d=0.3, pruner__tau_3d=1) == []
    assert s.get("pruner.tau_2d", "pruner.tau_3d") == [0.3, 1.0]
    assert s.set(rate_hz=4) == [] and s.get("rate_hz") == [4.0]


def test_a_preset_sets_everything_again_and_what_is_set_with_it_is_beside_it(idle):
    s = idle("pruner.tau_2d:=0.1")
    assert s.get("pruner.tau_2d", "pruner.target_rate") == [0.1, 0.7]
    assert s.set(pruner__beta=0.5, pruning="paper") == []
    assert s.get("pruner.tau_2d", "pruner.target_rate", "pruner.beta") == [0.08, -1.0, 0.5]
    assert str(s.node.tuning) == "paper (changed: beta 0.5)"
    assert s.set(pruning="paper") == [] and str(s.node.tuning) == "paper"


def test_what_is_dumped_is_loaded_and_is_a_parameter_file(idle, tmp_path):
    s = idle()
    assert s.set(pruning="paper", pruner__tau_3d=0.5, pruner__tau_2d=0.4, pruner__stages=[1, 3]) == []
    path = tmp_path / "dumped.yaml"
    path.write_text(s.dumped())
    known = parameter_dict_from_yaml_file(str(path), target_nodes=["/policy"])
    s.set(pruning="robot")
    results = s.ask(SetParameters, "set_parameters", parameters=list(known.values())).results
    refused = {name for name, result in zip(known, results, strict=True) if not result.successful}
    assert not any(name.startswith("prun") for name in refused)
    assert s.dumped() == path.read_text()
    s.close()
    rclpy.init(args=["--ros-args", "--params-file", str(path)])
    again = PolicyNode()
    assert str(again.tuning) == "paper (changed: tau_2d 0.4, tau_3d 0.5, stages [1, 3])"
    again.destroy_node()


def test_another_rate_changes_how_long_is_waited_for_the_step_that_is_due():
    pacing = RatePacing(0.1, None)
    for _ in range(2):
        pacing.set_rate(0.1)
        pacing.on_sent(ActionChunk(), 100.0)
    assert pacing.waits_for(105.0, 0.0) == RatePacing.PERIOD
    pacing.set_rate(0.25)
    assert pacing.waits_for(103.9, 0.0) == RatePacing.PERIOD and pacing.waits_for(104.1, 0.0) == ""
