"""What a recorded run tells beside its outcome: the way of the tool, how smoothly the arm moved, what it refused."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.bags.facts import Facts, read_facts
from tristage_ros.bags.reader import BagReader
from tristage_ros.devices.arm.clock import ArmClock
from tristage_ros.devices.arm.smoothness import Resampler
from tristage_ros.reports.dilation import TOPIC as DILATION
from tristage_ros.reports.dilation import clock_of
from tristage_ros.reports.run import JOINTS, KINDS, STATUS, Run
from tristage_ros.reports.smoothness import ARM_JOINTS, of_joint_states
from tristage_ros.reports.summary import arm_events


@dataclass(frozen=True)
class Measures:
    """Hold it; None what is unknown."""

    path: float | None = None  # m, of the grasp centre
    jerk: float | None = None  # rad/s^3, RMS, of the measured joints
    reversals: float | None = None  # 0..1, likewise
    refused: int = 0  # chunks that the arm did not accept
    faults: int = 0


def measured(bag: Path) -> Measures:
    """Return the measures of a bag; its images are not decoded.

    Raises:
        BagError: it cannot be read.
    """
    from tristage_ros.reports.figures import tool_path  # and with it matplotlib, only where it is needed

    states, status, told, facts = [], [], [], Facts()
    with BagReader(bag) as reader:
        with suppress(ValueError):  # a foreign bag may have something else on that topic
            facts = read_facts(reader)
        for message in reader.messages_of({topic: KINDS[topic] for topic in (JOINTS, STATUS, DILATION)}):
            if message.topic == JOINTS:
                states.append(message.value)
            else:
                (status if message.topic == STATUS else told).append((message.stamp * 1e-9, message.value))
    clock, counts = clock_of(told), [value.chunks_refused for _, value in status]
    moved = of_joint_states(states, clock)
    run = Run(bag, True, facts=facts, status=status, joint_positions=_positions(states, clock))
    return Measures(
        float(np.linalg.norm(np.diff(tool_path(run), axis=0), axis=1).sum()) if moved.known else None,
        moved.jerk if moved.known else None,
        moved.reversals if moved.known else None,
        int(counts[-1] - counts[0]) if counts else 0,
        sum(event.count for event in arm_events(run) if event.alarming),
    )


def _positions(states: Sequence[Any], clock: ArmClock) -> NDArray[np.float64]:
    """Return joint positions [n, 6], rad, at the rate at which smoothness is taken of them.

    Of every sample the path of the tool would add up the flicker of the encoders, which is a way of its own.
    """
    resampler, rows = Resampler(), []
    for state in states:
        position = dict(zip(state.name, state.position, strict=False))
        if position.keys() >= set(ARM_JOINTS):
            stamp = clock.at(state.header.stamp.sec + state.header.stamp.nanosec * 1e-9)
            joints = np.array([position[name] for name in ARM_JOINTS])
            rows += [there for _, there in resampler.add(stamp, joints)]
    return np.array(rows).reshape(-1, len(ARM_JOINTS))
