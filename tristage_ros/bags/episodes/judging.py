"""Feed serialised messages to a verdict: a recorder's as they come, or those of a bag."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tristage_ros.bags.episodes.verdict import Verdict
from tristage_ros.bags.facts import Facts, read_facts
from tristage_ros.bags.images import raw_topic
from tristage_ros.bags.messages import COMPRESSED_IMAGE, IMAGE, typestore
from tristage_ros.bags.reader import BagReader
from tristage_ros.bags.recording import ARM_STATUS, JOINT_STATE, JOINTS, STATUS, color_topic, depth_topic
from tristage_ros.devices.arm.kinematics import JOINT_LIMITS
from tristage_ros.devices.arm.site import parse_site
from tristage_ros.devices.realsense.capture import Profile

SOURCES = ("policy", "trajectory", "operator", "leader", "joints", "twist")  # by their number in ArmStatus
LEADERS = ("leader", "joints")  # which tell where they are again and again; a twist rests when it is let go
FALLBACK = 15.0  # Hz of a camera that nobody knows the rate of
_NAMES = tuple(f"joint{number}" for number in range(1, 7))
_PROFILES = ("rgb_camera.color_profile", "depth_module.depth_profile")  # parameters of a camera's node
Limits = Sequence[tuple[float, float]]
OWN_LIMITS: Limits = tuple((float(low), float(high)) for low, high in JOINT_LIMITS)  # rad, the arm's


class Judge:
    """Judge the messages of one stretch of time; remember who could move the arm, and its firmware."""

    def __init__(self, rates: Mapping[str, float], limits: Limits, begin: float, *, pictures: bool = True) -> None:
        """Begin at `begin` (s, as arrivals).

        Args:
            rates: nominal rate in Hz by camera.
            limits: lower and upper of the joints, rad.
            begin: s.
            pictures: compare images with each other, which takes a look at all their bytes.
        """
        streams = {topic(camera): (f"{camera} {what}", rate) for camera, rate in rates.items()
                   for topic, what in ((color_topic, "colour"), (depth_topic, "depth"))}  # fmt: skip
        self.verdict = Verdict(streams, limits, begin)
        self.sources: list[str] = []  # one after the other
        self.firmware = ""
        self._pictures = pictures

    def take(self, topic: str, kind: str, data: bytes, arrival: float) -> None:
        """Take a message as CDR; one that is damaged, or of no use for a verdict, is passed over."""
        with suppress(struct.error, KeyError, ValueError, AttributeError, IndexError):
            if topic in self.verdict.images:
                checksum = zlib.crc32(memoryview(data)[12:]) if self._pictures else 0  # behind the stamp
                self.verdict.image(topic, stamp_of(data), arrival, checksum)
            elif topic == JOINTS and kind == JOINT_STATE:
                self._joints(typestore().deserialize_cdr(data, kind), stamp_of(data), arrival)
            elif topic == STATUS and kind == ARM_STATUS:
                self.status(typestore().deserialize_cdr(data, kind), arrival)

    def expect(self, rates: Mapping[str, float]) -> None:
        """Expect other rates, Hz by camera: its node told them only now."""
        for camera, rate in rates.items():
            for topic in (color_topic(camera), depth_topic(camera)):
                self.verdict.images[topic].expect(rate)

    def status(self, status: Any, arrival: float) -> None:
        """Take what the arm says of itself."""
        source = SOURCES[status.command_source]
        if self.sources[-1:] != [source]:
            self.sources.append(source)
        self.firmware = status.firmware or self.firmware
        if source in LEADERS:
            silent = float(getattr(status, "leading_age_ms", 0.0)) * 1e-3  # of one that was never heard: very long
            self.verdict.leader(min(silent, arrival - self.verdict.begin))

    def _joints(self, state: Any, stamp: float, arrival: float) -> None:
        named = dict(zip(state.name, state.position, strict=False))
        self.verdict.joints([float(named[name]) for name in _NAMES], stamp, arrival)


def stamp_of(data: bytes) -> float:
    """Return the stamp in the header of a message as CDR, s; raise struct.error where it is cut off."""
    seconds, nanoseconds = struct.unpack_from(f"{'<' if data[1] & 1 else '>'}iI", data, 4)
    return float(seconds) + float(nanoseconds) * 1e-9


def nominal_rates(
    parameters: Mapping[str, Mapping[str, Any]], cameras: Sequence[str], fallback: float = FALLBACK
) -> dict[str, float]:
    """Return how many frames a second every camera is set to deliver, by its own parameters or the simulation's.

    `parameters` are those of all nodes; `fallback` is for a camera whose driver has none that are known here.
    """
    simulated = parameters.get("simulation", {}).get("frame_rate")
    default = float(simulated) if isinstance(simulated, (int, float)) else fallback
    rates = dict.fromkeys(cameras, default)
    for camera in cameras:
        profiles = [parameters.get(camera, {}).get(name) for name in _PROFILES]
        with suppress(ValueError):
            known = [Profile.parse(profile).rate for profile in profiles if isinstance(profile, str) and profile]
            rates[camera] = float(min(known)) if known else default
    return rates


def judged(path: str | Path, cameras: Sequence[str]) -> tuple[Judge, float, list[str]]:
    """Return a bag's verdict, how long the bag is in s, and what is to be known of the bag itself.

    Raises:
        BagError: it cannot be read.
    """
    with BagReader(path) as bag:
        try:
            facts = read_facts(bag)
        except ValueError:
            facts = Facts()
        begin = bag.start * 1e-9
        judge, end = Judge(nominal_rates(facts.parameters, cameras), _limits(facts), begin), begin
        wanted = (*judge.verdict.images, JOINTS, STATUS)
        for connection, stamp, data in bag.stored([c for c in bag.connections if raw_topic(c.topic) in wanted]):
            kind = IMAGE if connection.msgtype == COMPRESSED_IMAGE else connection.msgtype
            end = stamp * 1e-9
            judge.take(raw_topic(connection.topic), kind, data, end)
        return judge, end - begin, bag.told


def _limits(facts: Facts) -> Limits:
    texts = [text for name, text in facts.files.items() if name.endswith(".site_file")]
    with suppress(ValueError):
        if texts:
            return parse_site(texts[0], Path("site.yaml")).joint_limits
    return OWN_LIMITS
