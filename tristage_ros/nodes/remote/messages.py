"""What one answer of a policy server says: action chunk, timings, what the server told of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from geometry_msgs.msg import Quaternion, Vector3
from std_msgs.msg import String
from tristage_msgs.msg import ActionChunk, StageTimings

from tristage_ros.devices.arm import values
from tristage_ros.openpi.connection import described
from tristage_ros.openpi.mapping import PolicyMap
from tristage_ros.ros.convert import header, to_stamp

OF_THE_SERVER = ("server_timing", "policy_timing")  # where servers say how long they took


@dataclass(frozen=True)
class Took:
    """Hold how long one step took; s, but where it says otherwise."""

    asking: float  # from the observation to the question
    total: float  # from there to the answer, with that
    observation_age: float  # when the step began
    action_age: float  # camera stamp to action published
    rate: float  # Hz
    missed: int  # frames


def chunk_message(chunk: values.ActionChunk, sequence: int) -> ActionChunk:
    """Return a chunk whose stamp is s of ROS time as a message."""
    return ActionChunk(
        header=header(chunk.stamp, chunk.frame_id),
        sequence=sequence,
        time_step=chunk.time_step,
        translation=[Vector3(x=float(x), y=float(y), z=float(z)) for x, y, z in chunk.translation],
        orientation=[Quaternion(x=float(x), y=float(y), z=float(z), w=float(w)) for x, y, z, w in chunk.orientation],
        gripper=[float(value) for value in chunk.gripper],
    )


def timings_message(stamp: float, step: int, took: Took) -> StageTimings:
    """Return the timings of a step: of its parts only what is done here is known."""
    message = StageTimings(step=step, frames_skipped=took.missed, control_rate_hz=took.rate)
    message.header.stamp = to_stamp(stamp)
    message.preprocess_ms, message.total_ms = took.asking * 1e3, took.total * 1e3
    message.parts_ms = np.array([took.asking * 1e3, 0.0, 0.0, 0.0, 0.0], np.float32)
    message.observation_age_ms, message.action_age_ms = took.observation_age * 1e3, took.action_age * 1e3
    return message


def server_message(url: str, mapped: PolicyMap, metadata: Mapping[str, Any]) -> String:
    """Return who answers, and what it says of itself, as JSON."""
    return String(
        data=json.dumps({"server": url, "map": str(mapped.path), "metadata": json.loads(described(metadata))})
    )


def server_milliseconds(answer: Mapping[Any, Any]) -> dict[str, object]:
    """Return how long a server says that it took."""
    told = {name: answer[name] for name in OF_THE_SERVER if isinstance(answer.get(name), Mapping)}
    return {
        f"{name}, {key}": value for name, times in told.items() for key, value in times.items() if type(value) is float
    }
