"""A bag through the mapping: what a run looked like, from the files that it was recorded with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tristage_ros.bags.facts import Facts, read_facts
from tristage_ros.bags.reader import BagError, BagReader
from tristage_ros.devices.arm.site import Site, load_site, parse_site
from tristage_ros.perception.extrinsics import CameraMount, load_extrinsics, parse_extrinsics
from tristage_ros.resources import resource
from tristage_ros.viewing.environment import Environment, ViewerError
from tristage_ros.viewing.logger.wire import Record
from tristage_ros.viewing.mapping import Scene
from tristage_ros.viewing.stream import logger

CAMERAS_FILES = ("policy.cameras_file", "point_cloud.cameras_file", "arm.cameras_file")
MOST_TOLD = 5  # messages that could not be shown


def play(path: str | Path, log: Callable[[Record], None]) -> list[str]:
    """Log what a bag, or that of a run's folder, holds; return what a person should know of it, in lines.

    Raises:
        BagError: there is none, it is damaged, or holds nothing that can be shown.
    """
    folder = Path(path) / "bag"
    with BagReader(folder if folder.exists() else path) as bag:
        facts, told = _facts(bag)
        scene = Scene(_mounts(facts, told), _site(facts, told), bag.start)
        shown = [topic for topic, kind in bag.topics.items() if scene.kinds.get(topic) == kind]
        if not shown:
            raise BagError(f"bag {path} has no message that could be shown; {bag.contents}")
        for record in scene.begin():
            log(record)
        refused: list[str] = []
        for message in bag.messages_of(scene.kinds):
            try:
                for record in scene.records(message):
                    log(record)
            except ValueError as error:
                refused.append(str(error))
        more = [f"{len(refused) - MOST_TOLD} more messages were not shown"] if len(refused) > MOST_TOLD else []
        return [*bag.told, *told, *refused[:MOST_TOLD], *more]


def write_recording(path: str | Path, out: Path, environment: Environment) -> list[str]:
    """Write what `play` logs as a recording of Rerun to `out`, all of it or nothing; return what is to be known of it.

    Raises:
        BagError: as `play`.
        ViewerError: it cannot be written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    stream = logger(environment, ["--save", str(part)], name_of(path), patient=True)
    try:
        told = play(path, stream.put)
        if why := stream.finish():
            raise ViewerError(f"{out} is not written: {why}")
        part.replace(out)
    finally:
        stream.close()
        part.unlink(missing_ok=True)
    return told


def name_of(path: str | Path) -> str:
    """Return what the recording of a bag is called: as its run's folder."""
    bag = Path(path).resolve()
    return bag.parent.name if bag.name == "bag" else bag.stem


def _facts(bag: BagReader) -> tuple[Facts, list[str]]:
    try:
        return read_facts(bag), []
    except ValueError as error:  # a foreign bag may have something else on that topic
        return Facts(), [str(error)]


def _mounts(facts: Facts, told: list[str]) -> dict[str, CameraMount]:
    """Return the cameras as they were recorded, those of the package where they were not."""
    text = next((facts.files[name] for name in CAMERAS_FILES if name in facts.files), None)
    if text is not None:
        try:
            return parse_extrinsics(text, "the recorded cameras file")
        except ValueError as error:
            told.append(str(error))
    told.append("cameras are where config/cameras.yaml says: the bag does not tell")
    return load_extrinsics(resource("config", "cameras.yaml"))


def _site(facts: Facts, told: list[str]) -> Site:
    """Return the site as it was recorded, that of the package where it was not."""
    text = facts.files.get("arm.site_file")
    if text is not None:
        try:
            return parse_site(text, Path("the recorded site file"))
        except ValueError as error:
            told.append(str(error))
    told.append("the site is that of config/site.yaml: the bag does not tell")
    return load_site()
