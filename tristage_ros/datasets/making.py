"""Episodes of the simulated cell's experts, recorded like those of a person: big sets, faster than real time."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.bags import facts
from tristage_ros.bags.episodes.episode import CAMERAS_FILE, FAILURE, START_PICTURE, SUCCESS, Episode
from tristage_ros.bags.episodes.folder import Collection, Place
from tristage_ros.bags.episodes.pictures import write_picture
from tristage_ros.bags.images import ColorFormat
from tristage_ros.bags.messages import IMAGE, new_message, typestore
from tristage_ros.bags.recording import (
    ARM_STATUS,
    CAMERA_INFO,
    JOINT_STATE,
    JOINTS,
    STATUS,
    VIEW,
    color_topic,
    depth_topic,
    info_topic,
)
from tristage_ros.bags.writer import BagWriter
from tristage_ros.devices.arm.values import BASE_FRAME, ArmMode, CommandSource
from tristage_ros.observing.joints import ARM_JOINTS, GRIPPER_JOINT
from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.lens_models import PLUMB_BOB
from tristage_ros.resources import read_text, resource
from tristage_ros.simulation import episode as simulated
from tristage_ros.simulation.closed_loop import ClosedLoop
from tristage_ros.simulation.controller import SOFTWARE
from tristage_ros.training.episodes import FRAMES_AFTER_SUCCESS, episode_of, run_all
from tristage_ros.yaml_text import parse

OPERATOR = "scripted expert"
FIRST_SEED = 40_000_000  # beyond those of training and evaluation
WAITING = 64  # messages that may wait for the disk
PATIENCE = 600.0  # s for these to be written


@dataclass(frozen=True)
class Job:
    """Say what one episode is to be."""

    place: Place
    folder: Path
    task: str
    seed: int
    continuous: bool
    rate: float  # Hz, of the cameras
    color: ColorFormat


@dataclass(frozen=True)
class Made:
    """Say what became of one."""

    task: str
    success: bool
    frames: int


def make(
    folder: Path, tasks: Sequence[str], episodes: int, *, continuous: bool = True, rate: float = 10.0,
    color: ColorFormat = "jpeg", first_seed: int | None = None, workers: int | None = None,
) -> list[Made]:  # fmt: skip
    """Record `episodes` of each of `tasks` into a folder of episodes, behind those that it has.

    Args:
        folder: of the episodes.
        tasks: of the simulated cell.
        episodes: of each task.
        continuous: led in a closed loop, else by key frames.
        rate: of the cameras, Hz.
        color: how colour is compressed.
        first_seed: of the scenes; None: one that no episode of the folder had.
        workers: processes; None: one per processor.

    Raises:
        OSError: the folder cannot be written.
    """
    collection = Collection(folder)
    wanted = [task for _ in range(episodes) for task in tasks]  # in turn: a part of them has something of each
    places = [collection.begin() for _ in wanted]
    first = FIRST_SEED + places[0].number - 1 if first_seed is None else first_seed
    jobs = [
        Job(place, folder, task, first + index, continuous, rate, color)
        for index, (place, task) in enumerate(zip(places, wanted, strict=True))
    ]
    try:
        return list(run_all("episodes", record, jobs, workers))
    finally:
        for place in places:
            shutil.rmtree(place.path, ignore_errors=True)  # of what was not finished; its seed makes it again


def record(job: Job) -> Made:
    """Let the expert do the task once, and make the episode whole.

    Raises:
        OSError: it cannot be written; what is there of it stays unfinished.
    """
    episode = episode_of(job.task)
    episode.reset(job.seed)
    writer = BagWriter(job.place.bag, color=job.color)
    camera = Camera(episode, writer, job)
    try:
        episode.on_tick = camera.look
        camera.look()
        led, expert = (ClosedLoop(episode), episode.guidance) if job.continuous else (episode, episode.expert)
        while not led.finished:
            led.step(expert())
        success = episode.success()
        for _ in range(FRAMES_AFTER_SUCCESS if success else 0):
            led.step(expert())
    finally:
        episode.on_tick = None
        writer.close(PATIENCE)
    if lost := sum(writer.dropped.values()):
        raise OSError(f"{job.place.path}: {lost} messages were not written")
    known = Episode(
        task=episode.task.instruction,
        operator=OPERATOR,
        outcome=SUCCESS if success else FAILURE,
        reason="the task is done" if success else "the expert did not succeed",
        began=datetime.fromtimestamp(camera.began * 1e-9, timezone.utc).strftime("%Y-%m-%d %H:%M:%S"),
        stamp=camera.began * 1e-9,
        seconds=round(episode.time, 3),
        messages=sum(writer.written.values()),
        bytes=writer.size,
        frames={name: writer.written[color_topic(name)] for name in camera.cameras},
        rates=dict.fromkeys(camera.cameras, job.rate),
        command_source=["policy"],
        firmware=SOFTWARE,
        versions=facts.versions(),
        others={"simulated": {"task": job.task, "seed": job.seed}},
    )
    known.written(job.place.path)
    (job.place.path / CAMERAS_FILE).write_text(read_text(resource("config", "cameras.yaml")), encoding="utf-8")
    Collection(job.folder).finish(job.place)
    return Made(job.task, success, known.frames[VIEW])


class Camera:
    """Write what the simulated cell's nodes would publish."""

    def __init__(self, episode: simulated.Episode, writer: BagWriter, job: Job) -> None:
        """Begin at the beginning of an episode."""
        self.began = time.time_ns()  # of simulated time
        self.cameras: tuple[str, ...] = ()
        self._episode, self._writer, self._job = episode, writer, job
        self._due, self._sent = 0.0, 0
        self._write(facts.TOPIC, facts.TYPE, self._facts().message(), self.began)

    def look(self) -> None:
        """Write the arm's state, and the images if they are due."""
        episode = self._episode
        nanoseconds = self.began + round(episode.time * 1e9)
        stamp = new_message("builtin_interfaces/msg/Time", sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
        joints, sent = episode.joints, episode.sent
        self._say(JOINTS, JOINT_STATE, nanoseconds, header=_header(stamp, BASE_FRAME),
                  name=[*ARM_JOINTS, GRIPPER_JOINT], position=joints)  # fmt: skip
        self._say(
            STATUS, ARM_STATUS, nanoseconds, header=_header(stamp, BASE_FRAME),
            mode=int(ArmMode.HOLDING if episode.idle else ArmMode.MOVING), command_source=int(CommandSource.POLICY),
            joint_position=joints[:6], joint_target=sent[:6], gripper_opening=joints[6], gripper_target=sent[6],
            speed_scale=1.0, firmware=SOFTWARE,
        )  # fmt: skip
        if episode.time >= self._due - 1e-9:
            self._due += 1.0 / self._job.rate
            self._see(stamp, nanoseconds)

    def _see(self, stamp: Any, nanoseconds: int) -> None:
        frames = self._episode.frames()
        if not self.cameras:
            self.cameras = tuple(frames)
            write_picture(self._job.place.path / START_PICTURE, frames[VIEW].color)
        for name, frame in frames.items():
            header = _header(stamp, frame.camera.frame_id)
            self._say(info_topic(name), CAMERA_INFO, nanoseconds, header=header, **_intrinsics(frame.camera))
            millimetres = np.rint(np.nan_to_num(frame.depth) * np.float32(1000)).astype(np.uint16)
            for topic, encoding, pixels in (
                (depth_topic(name), "16UC1", millimetres),
                (color_topic(name), "rgb8", frame.color),
            ):
                self._say(topic, IMAGE, nanoseconds, header=header, encoding=encoding, **_image(pixels))

    def _say(self, topic: str, kind: str, nanoseconds: int, **fields: Any) -> None:
        message = new_message(kind, **fields)
        self._write(topic, kind, bytes(typestore().serialize_cdr(message, kind)), nanoseconds)

    def _write(self, topic: str, kind: str, data: bytes, nanoseconds: int) -> None:
        """Write a message; simulated time waits for the disk."""
        writer = self._writer
        while self._sent - sum(writer.written.values()) > WAITING and writer.failure is None:
            time.sleep(0.002)
        writer.write(topic, kind, data, nanoseconds)
        self._sent += 1

    def _facts(self) -> facts.Facts:
        shipped = parse(read_text(resource("config", "piper_pick.yaml")))
        parameters = {node: dict(shipped[node]["ros__parameters"]) for node in ("simulation", "point_cloud", "policy")}
        parameters["simulation"] |= {"task": self._job.task, "seed": self._job.seed, "frame_rate": self._job.rate}
        parameters["policy"] |= {"cameras_file": "", "instruction": self._episode.task.instruction}
        return facts.gather(parameters, {})[0]


def _header(stamp: Any, frame_id: str) -> Any:
    return new_message("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)


def _image(pixels: NDArray[Any]) -> dict[str, Any]:
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels).reshape(-1).view(np.uint8)
    return {"height": height, "width": width, "step": len(data) // height, "data": data}


def _intrinsics(camera: CameraModel) -> dict[str, Any]:
    matrix = camera.matrix
    return {
        "height": camera.height, "width": camera.width, "distortion_model": PLUMB_BOB, "d": np.zeros(5),
        "k": matrix.reshape(-1), "r": np.eye(3).reshape(-1), "p": np.pad(matrix, ((0, 0), (0, 1))).reshape(-1),
    }  # fmt: skip
