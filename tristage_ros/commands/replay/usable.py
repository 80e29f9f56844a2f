"""What point cloud and policy would refuse of a recording, found before they start: they say so in their log alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from tristage_ros.bags.reader import BagError
from tristage_ros.bags.recording import JOINTS, VIEW, Recording, color_topic, depth_topic, info_topic
from tristage_ros.perception.color import color_image
from tristage_ros.ros.convert import camera_model, depth_image
from tristage_ros.ros.joints import JointHistory

LOOKED_AT = 100  # messages of a topic: where none of them is of use, the rest will not be

Check = Callable[[Any], object]


def require_usable(recording: Recording) -> None:
    """Ask of every topic that it has a message that the nodes take, by what they take it with.

    Raises:
        BagError: a topic has none, or an image is not of the size that its camera_info says.
    """
    waiting, looked, reasons = _checks(recording), Counter[str](), dict[str, str]()
    sizes: dict[str, tuple[int, int]] = {}
    for message in recording.messages():
        if message.topic not in waiting or looked[message.topic] == LOOKED_AT:
            continue
        looked[message.topic] += 1
        try:
            waiting[message.topic](message.value)
        except ValueError as error:
            reasons.setdefault(message.topic, str(error))
            continue
        del waiting[message.topic]
        if hasattr(message.value, "width"):
            sizes[message.topic] = message.value.width, message.value.height
        if not waiting:
            break
    if waiting:
        found = "; ".join(f"{topic}: {reasons[topic]}" for topic in waiting)
        raise BagError(f"bag {recording.path} cannot be replayed: {found}")
    _require_size(recording, sizes)


def _checks(recording: Recording) -> dict[str, Check]:
    checks: dict[str, Check] = {JOINTS: lambda state: JointHistory().add(state), color_topic(VIEW): _color}
    for camera in (VIEW, *recording.cameras):
        checks[info_topic(camera)] = camera_model
    return checks | {depth_topic(camera): depth_image for camera in recording.cameras}


def _color(image: Any) -> object:
    return color_image(image.data, image.encoding, image.height, image.width, step=image.step)


def _require_size(recording: Recording, sizes: dict[str, tuple[int, int]]) -> None:
    images = {color_topic(VIEW): VIEW} | {depth_topic(camera): camera for camera in recording.cameras}
    for topic, camera in images.items():
        if sizes[topic] != sizes[info_topic(camera)]:
            size, said = ("x".join(map(str, sizes[of])) for of in (topic, info_topic(camera)))
            raise BagError(
                f"bag {recording.path} cannot be replayed: {topic} is {size}, {info_topic(camera)} says {said}; "
                "images have to be of its size, and depth aligned to colour"
            )
