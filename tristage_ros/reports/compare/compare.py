"""Two runs on the same observations: how far their actions, masks, rates and times are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tristage_ros.bags.facts import Facts, differences, read_facts
from tristage_ros.bags.messages import IMAGE, new_message
from tristage_ros.bags.reader import BagError, BagReader
from tristage_ros.devices.arm.kinematics import quaternion_to_matrix
from tristage_ros.devices.arm.smoothness import Smoothness
from tristage_ros.reports.compare.options import LEAST
from tristage_ros.reports.dilation import TOPIC as DILATION
from tristage_ros.reports.dilation import clock_of
from tristage_ros.reports.run import ACTION, JOINTS, KINDS, PRUNING, STATUS, TIMINGS
from tristage_ros.reports.smoothness import as_numbers, of_arm_status, of_joint_states

SAME_MOMENT = 20_000_000  # ns; observations this close are the same
AXES = ("x", "y", "z", "about x", "about y", "about z", "gripper")
UNITS = ("mm", "mm", "mm", "deg", "deg", "deg", "%")
RATES = ("rate", "rate_2d", "rate_3d")
COLOR = "/color/image_raw"  # what the topics of colour images end with
JPEG = b"\xff\xd8\xff"  # what a picture in that form begins with
HEAD = 256  # bytes of a stored message in which its picture begins
Pictures = Literal["", "whole", "lossy"]  # of a bag; "": it has none, as that of a replay


@dataclass(frozen=True)
class Step:
    """Hold what one control step published."""

    stamp: int  # ns, of the observation
    action: Any  # tristage_msgs/ActionChunk
    pruning: Any  # tristage_msgs/PruningStats
    timings: Any | None  # tristage_msgs/StageTimings


@dataclass(frozen=True)
class Steps:
    """Hold the control steps of a run."""

    path: Path
    facts: Facts
    steps: list[Step]
    pictures: Pictures = ""
    targets_moved: Smoothness = field(default_factory=Smoothness)
    joints_moved: Smoothness = field(default_factory=Smoothness)
    notes: Sequence[str] = ()  # what is to be known of the bag


@dataclass(frozen=True)
class Spread:
    """Hold how a difference is distributed over the steps."""

    mean: float
    p95: float
    max: float

    @staticmethod
    def of(values: NDArray[np.float64]) -> Spread:
        """Return the spread of the sizes of `values`; zeros when there are none."""
        sizes = np.abs(values)
        if not sizes.size:
            return Spread(0.0, 0.0, 0.0)
        return Spread(float(sizes.mean()), float(np.percentile(sizes, 95)), float(sizes.max()))


@dataclass(frozen=True)
class Comparison:
    """Hold how far two runs are apart, over the steps that both have."""

    first: str
    second: str
    steps: int  # in both
    only_first: int
    only_second: int
    identical: bool  # every step in both, with masks and actions equal bit by bit
    first_difference: int | None  # step, from 1
    settings: list[str]  # what the second run had set differently
    lossy: bool  # one run saw the other's pictures as they were recorded, which is not as they were
    action: dict[str, Spread]  # by axis, in UNITS
    rates: dict[str, list[list[float]]]  # by name: those of the first and of the second run, step by step
    masks_2d: list[float]  # share of tokens with the same fate, step by step
    masks_3d: list[float]
    milliseconds: list[list[float]]  # of the whole step, first and second run
    errors: list[list[float]]  # of the action, [steps][7], in UNITS
    moved: dict[str, list[Smoothness]]  # targets and measured joints of the first and of the second run, where recorded

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        moved = {name: [as_numbers(run) for run in runs] for name, runs in self.moved.items()}
        return asdict(self) | {"measures": self.measures(), "moved": moved}

    def measures(self) -> dict[str, float]:
        """Return the numbers that can be limited, by the names that `options.LIMITS` explains."""
        largest = [self.action[axis].max for axis in AXES]
        rates = [abs(np.subtract(*pair)).max(initial=0.0) for pair in self.rates.values()]
        medians = [float(np.median(times)) if times else 0.0 for times in self.milliseconds]
        return {
            "position_mm": max(largest[:3]),
            "rotation_deg": max(largest[3:6]),
            "gripper_percent": largest[6],
            "rate": float(max(rates)),
            "masks": min([*self.masks_2d, *self.masks_3d], default=1.0),
            "unmatched": float(self.only_first + self.only_second),
            "slower_ms": medians[1] - medians[0],
        }

    def violations(self, limits: Mapping[str, float], identical: bool = False) -> list[str]:
        """Return which of `limits`, by the names of the measures, do not hold, a line each."""
        measures = self.measures()
        found = []
        for name, limit in limits.items():
            value = measures[name]
            if value < limit if name in LEAST else value > limit:
                found.append(f"{name} is {value:.4g}, {'at least' if name in LEAST else 'at most'} {limit:g} allowed")
        if identical and not self.identical:
            found.append("the runs are not identical")
        return found


def read_steps(path: str | Path) -> Steps:
    """Read the control steps of a bag.

    Raises:
        BagError: it cannot be read or holds no control step; the message says what it lacks.
    """
    by_topic: dict[str, dict[int, Any]] = {topic: {} for topic in (ACTION, PRUNING, TIMINGS, STATUS, JOINTS, DILATION)}
    with BagReader(path) as bag:
        facts, pictures = read_facts(bag), _pictures(bag)
        for message in bag.messages_of({topic: KINDS[topic] for topic in by_topic}):
            if message.topic == TIMINGS and not message.value.step:
                continue  # a look
            stamp = message.stamp if message.topic == DILATION else message.header_stamp
            by_topic[message.topic].setdefault(stamp, message.value)
        if "server" in facts.parameters.get("policy", {}):  # which does not say what it prunes
            by_topic[PRUNING] = dict.fromkeys(by_topic[ACTION], new_message(KINDS[PRUNING]))
        missing = [topic for topic in (ACTION, PRUNING) if not by_topic[topic]]
        if missing:
            lacks = f"bag {path} has no messages on {' and '.join(missing)}: there is nothing to compare"
            raise BagError(f"{lacks}; {bag.contents}")
    steps = [
        Step(stamp, action, by_topic[PRUNING][stamp], by_topic[TIMINGS].get(stamp))
        for stamp, action in sorted(by_topic[ACTION].items())
        if stamp in by_topic[PRUNING]
    ]
    clock = clock_of((stamp * 1e-9, message) for stamp, message in by_topic[DILATION].items())
    moved = (
        of_arm_status(list(by_topic[STATUS].values()), clock),
        of_joint_states(list(by_topic[JOINTS].values()), clock),
    )
    return Steps(Path(path), facts, steps, pictures, *moved, notes=bag.told)


def _pictures(bag: BagReader) -> Pictures:
    """Return how the first colour image of every camera is stored."""
    names = [name for name, kind in bag.topics.items() if kind == IMAGE and name.endswith(COLOR)]
    first = [image for name in names if (image := next(bag.messages(name), None)) is not None]
    if any(JPEG in image.stored[:HEAD] and len(image.stored) < len(image.value.data) for image in first):
        return "lossy"
    return "whole" if first else ""


def compare(first: Steps, second: Steps) -> Comparison:
    """Return how far two runs are apart; steps belong together when their observations were made together."""
    pairs = _pairs(first.steps, second.steps)
    equal = [_identical(one, other) for one, other in pairs]
    errors = np.array([row for one, other in pairs for row in _errors(one.action, other.action)]).reshape(-1, 7)
    timed = [(one.timings, other.timings) for one, other in pairs if one.timings and other.timings]
    moved = {
        "targets": [run.targets_moved for run in (first, second)],
        "measured": [run.joints_moved for run in (first, second)],
    }
    only = len(first.steps) - len(pairs), len(second.steps) - len(pairs)
    return Comparison(
        first=str(first.path),
        second=str(second.path),
        steps=len(pairs),
        only_first=only[0],
        only_second=only[1],
        identical=all(equal) and only == (0, 0) and bool(pairs),
        first_difference=next((index for index, same in enumerate(equal, 1) if not same), None),
        settings=differences(first.facts, second.facts),
        lossy={first.pictures, second.pictures} == {"lossy", ""},
        action={axis: Spread.of(errors[:, column]) for column, axis in enumerate(AXES)},
        rates={name: [[float(getattr(pair[run].pruning, name)) for pair in pairs] for run in (0, 1)] for name in RATES},
        masks_2d=[_agreement(one.pruning.keep_2d, other.pruning.keep_2d) for one, other in pairs],
        masks_3d=[_agreement(one.pruning.keep_3d, other.pruning.keep_3d) for one, other in pairs],
        milliseconds=[[float(pair[run].total_ms) for pair in timed] for run in (0, 1)],
        errors=errors.tolist(),
        moved={name: runs for name, runs in moved.items() if any(run.known for run in runs)},
    )


def _pairs(first: Sequence[Step], second: Sequence[Step]) -> list[tuple[Step, Step]]:
    stamps = np.array([step.stamp for step in second], np.int64)
    pairs, taken = [], set[int]()
    for step in first:
        if not len(stamps):
            break
        near = int(np.argmin(abs(stamps - step.stamp)))
        if abs(stamps[near] - step.stamp) <= SAME_MOMENT and near not in taken:
            taken.add(near)
            pairs.append((step, second[near]))
    return pairs


def _identical(one: Step, other: Step) -> bool:
    masks = all(
        np.array_equal(getattr(one.pruning, name), getattr(other.pruning, name)) for name in ("keep_2d", "keep_3d")
    )
    return masks and np.array_equal(_numbers(one.action), _numbers(other.action))


def _numbers(chunk: Any) -> NDArray[np.float64]:
    """Return [n, 8] translation (m), quaternion x, y, z, w and gripper of a chunk, as they were sent."""
    rows = zip(chunk.translation, chunk.orientation, chunk.gripper, strict=True)
    return np.array([[t.x, t.y, t.z, q.x, q.y, q.z, q.w, g] for t, q, g in rows], np.float64).reshape(-1, 8)


def _errors(one: Any, other: Any) -> NDArray[np.float64]:
    """Return [n, 7] the differences of two chunks: mm, degrees about the base axes, percent of the opening."""
    first, second = _numbers(one), _numbers(other)
    length = min(len(first), len(second))
    first, second = first[:length], second[:length]
    turns = [
        _rotation_vector(quaternion_to_matrix(b[3:7]) @ quaternion_to_matrix(a[3:7]).T)
        for a, b in zip(first, second, strict=True)
    ]
    errors = np.zeros((length, 7))
    errors[:, :3] = 1e3 * (second[:, :3] - first[:, :3])
    errors[:, 3:6] = np.degrees(np.array(turns).reshape(-1, 3))
    errors[:, 6] = 100.0 * (second[:, 7] - first[:, 7])
    return errors


def _rotation_vector(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return axis times angle (rad) of a rotation matrix."""
    return np.asarray(cv2.Rodrigues(rotation)[0], np.float64).ravel()


def _agreement(first: Sequence[bool], second: Sequence[bool]) -> float:
    one, other = np.asarray(first, bool), np.asarray(second, bool)
    if len(one) != len(other):
        return 0.0
    return float((one == other).mean()) if len(one) else 1.0
