"""Where in a recorded run the policy began anew: an operator reset it, or gave it another instruction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tristage_ros.bags import facts
from tristage_ros.bags.reader import BagReader
from tristage_ros.bags.recording import PRUNING

EVENTS = "/parameter_events"


@dataclass(frozen=True)
class Restart:
    """Say before which observation the policy forgot the ones before, and what it was told to do then."""

    stamp: int  # ns, of the observation
    instruction: str = ""  # empty: the same as before


def restarts(path: str | Path) -> tuple[str, list[Restart]]:
    """Return the instruction that the run began with, empty when the bag does not know it, and its restarts.

    Raises:
        BagError: the bag cannot be read.
    """
    began, told, firsts = "", list[tuple[int, str]](), list[tuple[int, int, int]]()
    before = 0
    with BagReader(path) as bag:
        for message in bag.messages(facts.TOPIC, EVENTS, PRUNING):
            if message.topic == facts.TOPIC:
                began = began or _instruction(facts.Facts.parsed(message.value.data))
            elif message.topic == EVENTS:
                told += [(message.stamp, text) for text in _told(message.value)]
            else:
                if message.value.step == 1 and before:
                    firsts.append((message.header_stamp, before, message.stamp))
                before = message.stamp
    return began, [Restart(stamp, _newest(told, after, until)) for stamp, after, until in firsts]


def _instruction(known: facts.Facts) -> str:
    return str(known.parameters.get("policy", {}).get("instruction", ""))


def _told(event: object) -> list[str]:
    if event.node.strip("/") != "policy":
        return []
    return [p.value.string_value for p in event.changed_parameters if p.name == "instruction"]


def _newest(told: Sequence[tuple[int, str]], after: int, until: int) -> str:
    return next((text for stamp, text in reversed(told) if after < stamp <= until), "")
