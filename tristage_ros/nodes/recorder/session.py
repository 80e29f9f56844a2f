"""One episode after the other: idle, recording, or making the last one whole; then the next may begin.

Nothing here speaks ROS, and nothing waits: what takes long is done by a thread, and `tick` looks whether it is done.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tristage_ros.bags import facts
from tristage_ros.bags.episodes.episode import CAMERAS_FILE, KEPT, REDONE, SITE_FILE, UNMARKED, Episode, EpisodeError
from tristage_ros.bags.episodes.folder import Collection
from tristage_ros.bags.episodes.judging import Judge
from tristage_ros.bags.episodes.room import Room
from tristage_ros.bags.writer import BagWriter
from tristage_ros.nodes.recorder.running import Running, Wish
from tristage_ros.resources import resource

LOOK_AT_DISK = 1.0  # s
GLANCE = 5.0  # s that a look at the streams takes while nothing is recorded
GRACE = 0.3  # s after the end in which what was published before it still arrives
LAST_PATIENCE = 5.0  # s for the episode that runs when the recorder is stopped
Answer = tuple[bool, str]  # whether it was done; what was done, or why not


@dataclass(frozen=True)
class Tools:
    """Hold what a session needs of its node."""

    open_bag: Callable[[Path], BagWriter]
    close_bag: Callable[[], None]  # nothing more is written to it
    judge: Callable[[bool], Judge]  # a new one, that compares pictures or does not
    now: Callable[[], int]  # ns, ROS time
    files: tuple[str, str]  # cameras and site file, "" for the package's
    on_closed: Callable[[Running], None]


class Session:
    """Record episodes into a collection."""

    def __init__(self, folder: Path, room: Room, tools: Tools) -> None:
        """Begin idle."""
        self.collection, self.room = Collection(folder), room
        self.running: Running | None = None  # until its bag is whole
        self.last: Running | None = None
        self._tools = tools
        self._closing: threading.Thread | None = None
        self._afterwards: list[Callable[[], object]] = []
        self._look_at_disk = 0.0
        self._seen: list[str] = []  # of the streams, while nothing is recorded
        self._idle = tools.judge(False)

    @property
    def recording(self) -> Running | None:
        """Return the episode that is being recorded now."""
        return self.running if self.running and self.running.ended is None else None

    @property
    def judge(self) -> Judge:
        """Return who judges what comes now."""
        return self.recording.judge if self.recording else self._idle

    def complaints(self) -> list[str]:
        """Return what is wrong with the episode, or with the streams while there is none."""
        return self.running.complaints() if self.running else self._seen

    def start(self, wish: Wish) -> Answer:
        """Begin an episode."""
        if self.running:
            doing = "being recorded" if self.recording else "still being made whole"
            return False, f"episode {self.running.place.number} is {doing}"
        if not wish.task:
            return False, "nobody says what the task is: set the parameter task, or give it with the goal"
        try:
            self.room.require(self.collection.path, wish.max_seconds)
            self.running = self._begin(wish)
        except (OSError, ValueError) as error:
            return False, f"cannot record in {self.collection.path}: {error}"
        return True, f"recording episode {self.running.place.number} in {self.running.place.path}"

    def end(self, outcome: str, reason: str, standing: str = KEPT) -> Answer:
        """End the episode that is being recorded."""
        running = self.recording
        if running is None:
            return False, "no episode is being recorded"
        running.end(outcome, reason, standing)
        return True, f"episode {running.place.number}: {reason}"

    def mark(self, mark: str) -> Answer:
        """Mark the last episode success, failure, discard or redone, as soon as it is whole."""
        if self.running:
            self._afterwards.append(partial(self.mark, mark))
            return True, f"episode {self.running.place.number} is marked {mark} as soon as it is whole"
        if self.last is None:
            return False, "no episode was recorded yet"
        place = self.last.place
        try:
            known = place.read()
            self.last.episode = replace(known, standing=REDONE) if mark == REDONE else known.marked(mark)
            self.last.episode.written(place.path)
        except (OSError, EpisodeError) as error:
            return False, str(error)
        return True, f"episode {place.number} is marked {mark}"

    def redo(self) -> Answer:
        """Begin the same anew; the one before stays on the disk, marked."""
        before = self.running or self.last
        if before is None:
            return False, "there is nothing to do again: no episode was recorded yet"
        if self.running is None:
            done, told = self.mark(REDONE)
            return self.start(before.wish) if done else (done, told)
        if self.recording:
            self.end(UNMARKED, "the operator does it again", REDONE)
        else:
            self.mark(REDONE)
        self._afterwards.append(partial(self.start, before.wish))
        return True, f"episode {before.place.number} is marked redone; the next begins as soon as it is whole"

    def tick(self) -> None:
        """Look how it goes, end an episode that has to end, and take leave of one that is whole."""
        running, now = self.running, time.monotonic()
        if running is None:
            if now > self._idle.verdict.begin + GLANCE:
                self._seen, self._idle = self._idle.verdict.complaints(now), self._new_idle(self._idle)
        elif running.ended is None:
            if reason := self._must_end(running, now):
                self.end(UNMARKED, reason)
        elif self._closing is None:
            if now > running.ended + GRACE or running.writer.failure:
                self._tools.close_bag()
                self._closing = threading.Thread(target=running.close, name="closing", daemon=True)
                self._closing.start()
        elif not self._closing.is_alive():
            self._closed(running)

    def close(self) -> None:
        """End the episode that runs, as whole as a short while allows."""
        running = self.running
        if running is None:
            return
        if running.ended is None:
            running.end(UNMARKED, "the recorder was stopped", KEPT)
        if self._closing:
            self._closing.join(LAST_PATIENCE)
        else:
            self._tools.close_bag()
            running.close(LAST_PATIENCE)
        self._afterwards.clear()
        self._closed(running)

    def _begin(self, wish: Wish) -> Running:
        stamp = self._tools.now() * 1e-9
        place = self.collection.begin()
        episode = Episode(
            task=wish.task,
            operator=wish.operator,
            began=time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(stamp)),
            stamp=stamp,
            command_source=self._idle.sources[-1:],
            firmware=self._idle.firmware,
            versions=facts.versions(),
        )
        episode.written(place.path)
        for given, name in zip(self._tools.files, (CAMERAS_FILE, SITE_FILE), strict=True):
            shutil.copyfile(given or resource("config", name), place.path / name)
        judge = self._tools.judge(True)
        judge.sources, judge.firmware = list(episode.command_source), episode.firmware
        return Running(wish, self.collection, place, self._tools.open_bag(place.bag), judge, episode)

    def _must_end(self, running: Running, now: float) -> str:
        """Return why an episode has to end now, empty when it has not."""
        limit = running.wish.max_seconds
        if running.writer.failure:
            return f"the bag cannot be written: {running.writer.failure}"
        if limit and running.seconds >= limit:
            return f"{limit:g} s are over"
        if now >= self._look_at_disk:
            self._look_at_disk = now + LOOK_AT_DISK
            self.room.learn(running.size(), running.seconds)
            try:
                free = self.room.free(self.collection.path)
            except OSError as error:
                return f"the disk does not answer: {error}"
            running.judge.verdict.disk(free, self.room.rate)
            if free <= 0.0:
                return f"the disk is nearly full: {(free + self.room.keep) / 1e6:.0f} MB left"
        return ""

    def _closed(self, running: Running) -> None:
        self.running, self.last, self._closing = None, running, None
        self._seen, self._idle = [], self._new_idle(running.judge)
        self._tools.on_closed(running)
        waiting, self._afterwards = self._afterwards, []
        for action in waiting:
            action()

    def _new_idle(self, before: Judge) -> Judge:
        judge = self._tools.judge(False)
        judge.sources, judge.firmware = before.sources[-1:], before.firmware
        return judge
