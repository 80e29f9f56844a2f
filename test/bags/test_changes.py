"""What a bag tells of parameters that were changed while it was recorded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tristage_ros.bags import facts
from tristage_ros.bags.changes import EVENTS, TIMINGS, changes_of
from tristage_ros.bags.facts import Facts
from tristage_ros.bags.messages import new_message

MS = 10**6
PARAMETER = "rcl_interfaces/msg/Parameter"


def step(stamp: int, age: int, number: int = 1) -> SimpleNamespace:
    """Return the timings of a step on the observation of `stamp` (ms) that began when this was `age` (ms) old."""
    value = new_message("tristage_msgs/msg/StageTimings", step=number, observation_age_ms=float(age))
    return SimpleNamespace(topic=TIMINGS, header_stamp=stamp * MS, value=value)


def event(time: int, node: str = "/policy", **values: float) -> SimpleNamespace:
    """Return what was set at `time` (ms)."""
    told = [
        new_message(
            PARAMETER,
            name=name.replace("__", "."),
            value=new_message("rcl_interfaces/msg/ParameterValue", type=3, double_value=value),
        )
        for name, value in values.items()
    ]
    stamp = new_message("builtin_interfaces/msg/Time", sec=0, nanosec=time * MS)
    value = new_message("rcl_interfaces/msg/ParameterEvent", node=node, stamp=stamp, changed_parameters=told)
    return SimpleNamespace(topic=EVENTS, header_stamp=0, value=value)


def known(**values: Any) -> SimpleNamespace:
    text = Facts({"policy": {name.replace("__", "."): value for name, value in values.items()}}).dumped()
    return SimpleNamespace(topic=facts.TOPIC, header_stamp=0, value=new_message(facts.TYPE, data=text))


def test_a_change_holds_from_the_step_that_begins_next() -> None:
    steps = [step(100, 20), step(200, 20), step(300, 90)]
    before, within, after = event(219, rate_hz=1.0), event(221, rate_hz=2.0), event(391, rate_hz=3.0)
    _, changes = changes_of([*steps, after, within, before])
    assert [change.step for change in changes] == [1, 2, 3]
    assert [change.stamp for change in changes] == [200 * MS, 300 * MS, None]


def test_a_look_takes_over_nothing() -> None:
    told = [step(100, 20), event(130, rate_hz=1.0), step(150, 10, number=0), step(200, 20, number=2)]
    _, (change,) = changes_of(told)
    assert (change.step, change.stamp) == (1, 200 * MS)


def test_what_was_before_is_what_the_first_facts_say() -> None:
    facts_then, facts_now = known(pruner__tau_2d=0.08, seed=0), known(pruner__tau_2d=0.1)
    told = [event(10, pruner__tau_2d=0.1, pruner__beta=0.5), event(20, pruner__tau_2d=0.1), event(30, "/arm", x=1.0)]
    began, changes = changes_of([facts_then, *told, facts_now])
    assert began == {"pruner.tau_2d": 0.08, "seed": 0}
    words = [change.in_words() for change in changes]
    assert words == [["pruner.tau_2d: 0.08 -> 0.1", "pruner.beta: not known -> 0.5"], []]


def test_what_the_policy_found_of_its_model_is_no_change_but_as_it_began() -> None:
    found = event(20, own_scale__pre_norm=38.5)
    began, changes = changes_of([event(10, rate_hz=1.0), found, known(own_scale__pre_norm=0.0, seed=1)])
    assert began == {"own_scale.pre_norm": 38.5, "seed": 1}
    assert [change.values for change in changes] == [{"rate_hz": 1.0}]
    assert changes_of([found]) == ({}, []), "of a bag without facts nobody knows the rest either"


def test_the_pruner_is_told_as_a_preset_spells_it_and_compared_by_that() -> None:
    files = {"policy.pruning": "tau_2d: 0.08\nmax_age: 10\n"}
    set_since = Facts({"policy": {"pruner.tau_2d": 0.3, "pruner.max_age": -1}}, files)
    assert set_since.pruning == {"tau_2d": 0.3, "max_age": None}
    assert facts.differences(Facts({"policy": {"seed": 0}}, files), set_since) == [
        "pruning.max_age: 10 -> None",
        "pruning.tau_2d: 0.08 -> 0.3",
    ]
