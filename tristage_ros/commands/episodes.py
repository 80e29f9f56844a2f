"""The command `tristage episodes`: what lies in a folder of episodes, and what a person says of each."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tristage_ros.bags.episodes.episode import KEPT, SITE_FILE, Episode, EpisodeError
from tristage_ros.bags.episodes.folder import Collection, Place
from tristage_ros.bags.episodes.judging import judged
from tristage_ros.bags.episodes.pictures import strip, write_picture
from tristage_ros.bags.facts import Facts, read_facts
from tristage_ros.bags.reader import BagError, BagReader
from tristage_ros.bags.recording import color_topic
from tristage_ros.commands.options import EPISODE_ACTIONS
from tristage_ros.commands.table import print_table
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.resources import user_path

CAMERAS = ("front", "wrist")  # where nothing says which
STRIP = "strip.png"
UNFINISHED = "unfinished"


def run(options: argparse.Namespace) -> int:
    """List, mark, trim or show as the options say; return the exit code.

    Raises:
        EpisodeError: there is no such episode, or what was asked for is not possible.
        BagError: a bag cannot be read.
        OSError: a file cannot be written.
    """
    words = list(options.words)
    folder = user_path(words.pop(0)) if words and words[0] not in EPISODE_ACTIONS else Path("episodes")
    action, *rest = words or ["list"]
    if action not in EPISODE_ACTIONS:
        raise EpisodeError(f"{action!r} is nothing that can be done; there are: {', '.join(EPISODE_ACTIONS)}")
    collection = Collection(folder)
    if not folder.is_dir():
        raise EpisodeError(f"there is no folder {folder}; give the one that `tristage teach` wrote into")
    return {"list": _list, "mark": _mark, "trim": _trim, "show": _show}[action](collection, rest, options)


def _numbers(words: Sequence[str], action: str) -> list[int]:
    if not words or not all(word.isdecimal() for word in words):
        raise EpisodeError(f"{action} wants the number of an episode, not {' '.join(words) or 'nothing'}")
    return [int(word) for word in words]


def _list(collection: Collection, words: Sequence[str], options: argparse.Namespace) -> int:
    places = collection.places()
    if not places:
        print(f"{collection.path} has no episodes")
        return 0
    names = ("no.", "task", "operator", "outcome", "ended because", "s", "frames", "Hz", "verdict")
    print_table(names, map(_row, places), right=("no.", "s"))
    return 0


def _row(place: Place) -> Sequence[str]:
    try:
        episode = _known(place)
    except (EpisodeError, BagError) as error:
        return (str(place.number), *[""] * 7, str(error))
    outcome = (episode.outcome or "not marked") + ("" if episode.standing == KEPT else f", {episode.standing}")
    begin, end = episode.span
    return (
        str(place.number),
        episode.task,
        episode.operator,
        outcome if place.is_whole else UNFINISHED,
        episode.reason,
        f"{episode.seconds:.1f}" + (f" ({begin:g} to {end:g})" if episode.trim else ""),
        _by_camera(episode.frames, "{}"),
        _by_camera(episode.rates, "{:.1f}"),
        "\n".join(episode.complaints) or "all is well",
    )


def _by_camera(values: dict[str, int] | dict[str, float], form: str) -> str:
    return "\n".join(f"{camera} {form.format(value)}" for camera, value in values.items())


def _known(place: Place) -> Episode:
    """Return what is known of an episode; what of one that was cut off its bag still tells."""
    if place.is_whole:
        return place.read()
    episode = Episode()
    with suppress(EpisodeError):
        episode = place.read()
    try:
        return _counted(place, episode)
    except BagError as error:
        return replace(episode, complaints=[*episode.complaints, str(error)])


def _counted(place: Place, episode: Episode) -> Episode:
    cameras = _cameras(place)
    judge, seconds, told = judged(place.bag, cameras)
    streams = {camera: judge.verdict.images[color_topic(camera)] for camera in cameras}
    return replace(
        episode,
        seconds=round(seconds, 3),
        frames={camera: stream.frames for camera, stream in streams.items()},
        rates={camera: round(stream.rate, 2) for camera, stream in streams.items()},
        complaints=[*told, *judge.verdict.complaints(judge.verdict.begin + seconds)],
    )


def _cameras(place: Place) -> list[str]:
    try:
        return list(load_extrinsics(place.path / "cameras.yaml"))
    except (OSError, ValueError):
        return list(CAMERAS)


def _mark(collection: Collection, words: Sequence[str], options: argparse.Namespace) -> int:
    *numbers, mark = words or [""]
    for number in _numbers(numbers, "mark"):
        place = collection.place(number)
        place.read().marked(mark).written(place.path)
        print(f"episode {number} is marked {mark}")
    return 0


def _trim(collection: Collection, words: Sequence[str], options: argparse.Namespace) -> int:
    place = collection.place(_numbers(words, "trim")[0])
    episode = _known(place)
    end = episode.seconds if options.end is None else options.end
    trimmed = replace(place.read(), trim=episode.trimmed(options.begin, end).trim)
    trimmed.written(place.path)
    used = "from {:g} to {:g} s".format(*trimmed.trim) if trimmed.trim else "all of it"
    print(f"episode {place.number}: {used} is used; the bag keeps everything")
    return 0


def _show(collection: Collection, words: Sequence[str], options: argparse.Namespace) -> int:
    place = collection.place(_numbers(words, "show")[0])
    episode = _known(place)
    with BagReader(place.bag) as bag:
        contents, told = bag.contents, bag.told
        try:
            facts = read_facts(bag)
        except ValueError:
            facts = Facts()
    for line in _lines(place, episode, facts):
        print(line)
    for note in told:
        print(f"note: {note}")
    print(f"the bag: {contents}")
    out: Path = options.picture or place.path / STRIP
    write_picture(out, strip(place.bag, _cameras(place), episode.span))
    print(f"{out}: the episode from start to end; {place.path / 'start.png'}: its start")
    return 0


def _lines(place: Place, episode: Episode, facts: Facts) -> Sequence[str]:
    begin, end = episode.span
    standing = "" if episode.standing == KEPT else f", {episode.standing}"
    rates = ", ".join(f"{c} {n} at {episode.rates.get(c, 0.0):.1f} Hz" for c, n in episode.frames.items())
    return [
        f"episode {place.number}: {episode.task}" + ("" if place.is_whole else f" ({UNFINISHED})"),
        f"by {episode.operator or 'nobody named'}, {episode.began} UTC, {episode.seconds:.1f} s"
        + (f", used from {begin:g} to {end:g} s" if episode.trim else ""),
        f"outcome: {episode.outcome or 'not marked'}{standing}; ended because: {episode.reason or 'not known'}",
        f"colour images: {rates}; {episode.messages} messages, {episode.bytes / 1e6:.1f} MB",
        f"led by: {', '.join(episode.command_source) or 'not known'}; firmware: {episode.firmware or 'not known'}",
        f"site: {place.path / SITE_FILE}; nodes heard: {', '.join(sorted(facts.parameters)) or 'none'}",
        f"versions: {json.dumps(episode.versions)}",
        *([f"! {line}" for line in episode.complaints] or ["verdict: all is well"]),
    ]
