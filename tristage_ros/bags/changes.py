"""What was set on the policy while it ran, and with which control step it took hold.

The policy looks at its clock when a step takes over what was set, and its parameter events carry the time of the same
clock: the step that begins next after the event is the first one with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tristage_ros.bags import facts
from tristage_ros.bags.reader import BagReader, Message

EVENTS, TIMINGS = "/parameter_events", "/tristage/timings"
TOPICS = {
    facts.TOPIC: facts.TYPE,
    EVENTS: "rcl_interfaces/msg/ParameterEvent",
    TIMINGS: "tristage_msgs/msg/StageTimings",
}
HELD_AT = 2_000  # ns after an event from which on a step has it; the begin of a step is known to less
FIELDS = ("", "bool_value", "integer_value", "double_value", "string_value", "byte_array_value", "bool_array_value",
          "integer_array_value", "double_array_value", "string_array_value")  # fmt: skip


@dataclass(frozen=True)
class Change:
    """Hold what was set at one moment."""

    time: int  # ns, when
    step: int  # index of the first step with it, among all of the bag; as many as there are: none came after it
    stamp: int | None  # ns, of that step's observation
    values: dict[str, Any]  # by parameter
    before: dict[str, Any]  # of the same parameters, as far as the bag knows

    def in_words(self) -> list[str]:
        """Return what is other than before, such as `pruner.tau_2d: 0.08 -> 0.3`."""
        told = {name: (self.before.get(name, "not known"), value) for name, value in self.values.items()}
        return [f"{name}: {_word(old)} -> {_word(new)}" for name, (old, new) in told.items() if old != new]


def read_changes(path: str | Path) -> tuple[dict[str, Any], list[Change]]:
    """Return the policy's parameters at the beginning of a bag, and its changes; see `changes_of`.

    Raises:
        BagError: the bag cannot be read.
    """
    with BagReader(path) as bag:
        return changes_of(bag.messages_of(TOPICS))


def changes_of(messages: Iterable[Message]) -> tuple[dict[str, Any], list[Change]]:
    """Return the policy's parameters at the beginning, empty where nobody knows, and its changes in order of time.

    `messages` are those of `TOPICS`, in any order. What was set before the recorder had asked for parameters is known
    from when on it was set, but not what was there before.
    """
    known: dict[str, Any] = {}
    own: dict[str, Any] = {}  # what the policy found of its model, and nobody set
    steps, told = list[tuple[int, int]](), list[tuple[int, dict[str, Any]]]()
    for message in messages:
        if message.topic == facts.TOPIC:
            known = known or _parameters(message.value)
        elif message.topic == TIMINGS:
            if not message.value.step:
                continue  # a look takes over nothing
            began = message.header_stamp + round(message.value.observation_age_ms * 1e6)
            steps.append((began, message.header_stamp))
        elif values := _set(message.value):
            own |= {name: value for name, value in values.items() if name.startswith(facts.OWN_SCALE)}
            if values := {name: value for name, value in values.items() if name not in own}:
                told.append((message.value.stamp.sec * 10**9 + message.value.stamp.nanosec, values))
    known = known and known | own
    return known, list(_in_order(known, sorted(steps), sorted(told, key=lambda change: change[0])))


def _in_order(
    known: Mapping[str, Any], steps: list[tuple[int, int]], told: list[tuple[int, dict[str, Any]]]
) -> Iterable[Change]:
    now = dict(known)
    for time, values in told:
        first = next((index for index, (began, _) in enumerate(steps) if began > time + HELD_AT), len(steps))
        stamp = steps[first][1] if first < len(steps) else None
        yield Change(time, first, stamp, values, {name: now[name] for name in values if name in now})
        now |= values


def _parameters(message: Any) -> dict[str, Any]:
    try:
        return dict(facts.Facts.parsed(message.data).parameters.get("policy", {}))
    except ValueError:  # a foreign bag may have something else on that topic
        return {}


def _set(event: Any) -> dict[str, Any]:
    """Return what an event says was set on the policy."""
    if event.node.strip("/") != "policy":
        return {}
    return {parameter.name: _value(parameter.value) for parameter in event.changed_parameters}


def _value(told: Any) -> Any:
    value = getattr(told, FIELDS[told.type]) if told.type else None
    return value.tolist() if hasattr(value, "tolist") else value


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
