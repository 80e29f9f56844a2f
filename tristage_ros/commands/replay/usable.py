"""What point cloud and policy would refuse of a recording, found before they start: they say so in their log alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tristage_ros.bags.reader import BagError
from tristage_ros.bags.recording import JOINTS, VIEW, Recording, color_topic, depth_topic, info_topic
from tristage_ros.perception.camera_info import camera_model
from tristage_ros.perception.color import color_image
from tristage_ros.ros.convert import depth_image
from tristage_ros.ros.joints import JointHistory

LOOKED_AT = 100  # messages of a topic: where none of them is of use, the rest will not be

Size = tuple[int, int]  # width, height


def require_usable(recording: Recording, lenses: Mapping[str, str]) -> None:
    """Ask of every topic that it has a message that the nodes take, by what they take it with.

    `lenses` are those of the cameras file.

    Raises:
        BagError: a topic has none, or an image is not of the size that its camera_info says.
    """
    waiting = _checks(recording, lenses)
    looked, reasons, sizes = Counter[str](), dict[str, str](), dict[str, Size]()
    for message in recording.messages():
        if message.topic not in waiting or looked[message.topic] == LOOKED_AT:
            continue
        looked[message.topic] += 1
        try:
            sizes[message.topic] = waiting[message.topic](message.value)
        except ValueError as error:
            reasons.setdefault(message.topic, str(error))
            continue
        del waiting[message.topic]
        if not waiting:
            break
    if waiting:
        found = "; ".join(f"{topic}: {reasons[topic]}" for topic in waiting)
        raise BagError(f"bag {recording.path} cannot be replayed: {found}")
    _require_size(recording, sizes)


def _checks(recording: Recording, lenses: Mapping[str, str]) -> dict[str, Callable[[Any], Size]]:
    checks: dict[str, Callable[[Any], Size]] = {JOINTS: _joints, color_topic(VIEW): _color}
    for camera in (VIEW, *recording.cameras):
        checks[info_topic(camera)] = partial(_camera, lens=lenses.get(camera, ""))
    return checks | {depth_topic(camera): _depth for camera in recording.cameras}


def _joints(state: Any) -> Size:
    JointHistory().add(state)
    return 0, 0


def _color(image: Any) -> Size:
    pixels = color_image(image.data, image.encoding, image.height, image.width, step=image.step)
    return pixels.shape[1], pixels.shape[0]


def _depth(image: Any) -> Size:
    depth = depth_image(image)
    return depth.shape[1], depth.shape[0]


def _camera(info: Any, lens: str) -> Size:
    camera = camera_model(info, lens)
    return camera.width, camera.height


def _require_size(recording: Recording, sizes: Mapping[str, Size]) -> None:
    images = {color_topic(VIEW): VIEW} | {depth_topic(camera): camera for camera in recording.cameras}
    for topic, camera in images.items():
        if sizes[topic] != sizes[info_topic(camera)]:
            size, said = ("x".join(map(str, sizes[of])) for of in (topic, info_topic(camera)))
            raise BagError(
                f"bag {recording.path} cannot be replayed: {topic} is {size}, {info_topic(camera)} says {said}; "
                "images have to be of its size, and depth aligned to colour"
            )
