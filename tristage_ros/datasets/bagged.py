"""A folder of recorded episodes as a dataset: every frame is what the policy node would have answered."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tristage_ros.bags.episodes import episode as sidecar
from tristage_ros.bags.facts import Facts, read_facts
from tristage_ros.bags.reader import BagError, BagReader
from tristage_ros.bags.recording import VIEW, Recording, color_topic, info_topic
from tristage_ros.bags.recording import Frame as Moment
from tristage_ros.datasets.recorded import Recorded, found, wanted
from tristage_ros.datasets.sampling import Sampling, at_key_frames, at_rate, busy
from tristage_ros.datasets.seeing import Eyes, Seeing
from tristage_ros.datasets.track import Track, read_track
from tristage_ros.datasets.values import DatasetError, Episode, Frame, Trim
from tristage_ros.devices.arm.kinematics import matrix_to_rpy, quaternion_to_matrix, robot_state
from tristage_ros.words import one_line

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class BaggedDataset:
    """Read the episodes of a folder one after the other, their frames one by one."""

    recorded: Sequence[Recorded]
    sampling: Sampling
    cameras_file: Path | None = None  # calibration in the place of the recorded one
    clouds: bool = True  # whether frames have the model's cloud: a fifth of the time that reading them takes

    @property
    def rate(self) -> float:
        """Return frames per second, Hz; 0: key frames."""
        return self.sampling.rate

    def __len__(self) -> int:
        """Return the number of episodes."""
        return len(self.recorded)

    def __iter__(self) -> Iterator[Episode]:
        """Yield the episodes.

        Raises:
            DatasetError: one cannot be read; the message names its bag.
        """
        for number, one in enumerate(self.recorded):
            yield self.episode(number, one)

    def episode(self, number: int, recorded: Recorded) -> Episode:
        """Return an episode, `number` in the dataset.

        Raises:
            DatasetError: it cannot be used; the message names its bag, and says why.
        """
        known = recorded.read()
        try:
            plan = _plan(recorded, known, self.sampling, self.cameras_file, self.clouds)
            infos = {name: plan.recording.first(info_topic(name)) for name in (VIEW, *plan.eyes.mounts)}
            calibration = plan.eyes.calibration(infos)
        except (OSError, ValueError) as error:
            raise _told(recorded, error) from error
        return Episode(
            number=number,
            where=recorded.where,
            task=plan.task,
            calibration=calibration,
            trim=plan.trim,
            frames=partial(_frames, recorded, plan, self.sampling),
            outcome=known.outcome,
            complaints=(*known.complaints, *plan.notes),
            dh_is_offset=plan.track.dh_is_offset,
            facts=_facts(known),
        )

    def labels(self, recorded: Recorded) -> Iterator[tuple[Numbers, Numbers]]:
        """Yield state and action of the frames of an episode without a look at its images.

        Both are [7]: x, y, z (m; of the action relative to the tool), roll, pitch, yaw (rad), gripper 0..1.

        Raises:
            DatasetError: it cannot be used; the message names its bag, and says why.
        """
        try:
            plan = _plan(recorded, recorded.read(), self.sampling, self.cameras_file)
        except (OSError, ValueError) as error:
            raise _told(recorded, error) from error
        for moment, until in zip(plan.moments, plan.until, strict=True):
            joints = plan.track.at(moment.stamp * 1e-9)
            action = plan.track.action(joints, moment.stamp * 1e-9, until, 0.0)
            turned = matrix_to_rpy(quaternion_to_matrix(action.orientation[0]))
            label = np.array([*action.translation[0], *turned, *action.gripper])
            yield robot_state(joints, plan.track.dh_is_offset).astype(np.float64), label


def open_dataset(
    folder: Path, sampling: Sampling | None = None, cameras_file: Path | None = None, failures: bool = False,
    clouds: bool = True,
) -> BaggedDataset:  # fmt: skip
    """Return the episodes of a folder that are to be learnt from.

    Raises:
        DatasetError: there are none, or what is known of one is wrong.
    """
    return BaggedDataset(wanted(found(folder), failures), sampling or Sampling(), cameras_file, clouds)


@dataclass(frozen=True)
class _Plan:
    """Hold which frames of a bag are to be shown, and all that is needed for it."""

    recording: Recording
    eyes: Eyes
    track: Track
    task: str
    trim: Trim
    moments: Sequence[Moment]
    until: Sequence[float]  # s, by moment: for when it is told what to do
    notes: Sequence[str]
    clouds: bool


def _plan(
    recorded: Recorded, known: sidecar.Episode, sampling: Sampling, cameras_file: Path | None, clouds: bool = False
) -> _Plan:
    with BagReader(recorded.bag) as bag:
        facts, track, begin, topics = read_facts(bag), read_track(bag), bag.start * 1e-9, bag.topics
    eyes = Eyes.of(facts, recorded.folder, cameras_file)
    eyes = eyes if clouds else eyes.without_cloud()
    pictures = [name for name in eyes.mounts if color_topic(name) in topics]
    recording = Recording(recorded.bag, list(eyes.mounts), None, eyes.cloud.sync_tolerance, pictures)
    moments, left_out = recording.frames()
    recorded_for = (recording.end - recording.start) * 1e-9
    span = _span(known, begin, recorded_for)
    first, last = busy(track, *span) if sampling.trims else span
    inside = [moment for moment in moments if first <= moment.stamp * 1e-9 <= last]
    if not inside:
        raise ValueError(f"length 0: none of {len(moments)} whole frames is from {_shown(first, last, begin)}")
    stamps = np.array([moment.stamp * 1e-9 for moment in inside])
    if sampling.rate:
        chosen, goal = at_rate(stamps, sampling.rate), min(last, float(stamps[-1]) + 1.0 / sampling.rate)
    else:
        chosen, goal = at_key_frames(stamps, track, first, last)
    return _Plan(
        recording, eyes, track, _task(known, facts),
        Trim(round(first - begin, 3), round(last - begin, 3), round(recorded_for, 3)),
        [inside[index] for index in chosen],
        [*(float(stamps[index]) for index in chosen[1:]), goal],
        _notes(recording, left_out), clouds,
    )  # fmt: skip


def _span(known: sidecar.Episode, begin: float, seconds: float) -> tuple[float, float]:
    first, last = known.trim or (0.0, seconds)
    if first >= seconds:
        raise ValueError(f"length 0: trimmed from {first:g} to {last:g} s, the bag has {seconds:.2f} s")
    return begin + first, begin + min(last, seconds)


def _shown(first: float, last: float, begin: float) -> str:
    return f"{first - begin:.2f} to {last - begin:.2f} s"


def _task(known: sidecar.Episode, facts: Facts) -> str:
    task = known.task or str(facts.parameters.get("policy", {}).get("instruction", ""))
    if not task.strip():
        raise ValueError("no task: the sentence that the policy is told is missing; write it into episode.yaml")
    return task


def _notes(recording: Recording, left_out: Counter[str]) -> list[str]:
    return [*recording.notes, *(f"{count} frames left out: {reason}" for reason, count in left_out.items())]


def _facts(known: sidecar.Episode) -> dict[str, str]:
    told = {"operator": known.operator, "began": known.began, "firmware": known.firmware, "reason": known.reason}
    told["versions"] = json.dumps(known.versions, sort_keys=True) if known.versions else ""
    return {name: value for name, value in told.items() if value}


def _frames(recorded: Recorded, plan: _Plan, sampling: Sampling) -> Iterator[Frame]:
    seeing = Seeing(plan.eyes)
    shown = plan.recording.play(plan.moments)
    for played, until in zip(shown, plan.until, strict=True):
        stamp = played.frame.stamp * 1e-9
        try:
            seen = seeing.see(played)
        except ValueError as error:
            raise _told(recorded, f"at {stamp - plan.recording.start * 1e-9:.2f} s: {error}") from error
        observation = seen.observation
        yield Frame(
            stamp=observation.stamp,
            images=seen.images,
            depths=seen.depths,
            state=observation.state,
            joints=seen.joints,
            action=plan.track.action(seen.joints, observation.stamp, until, until - stamp if sampling.rate else 0.0),
            source=plan.track.source(observation.stamp),
            points=observation.points if plan.clouds else None,
        )


def _told(recorded: Recorded, error: object) -> DatasetError:
    text = str(error)
    if isinstance(error, BagError):  # which names its bag itself
        text = text.replace(f"bag {recorded.bag}", "the bag", 1)
    return DatasetError(f"{recorded.where}: {one_line(text, 600)}")
