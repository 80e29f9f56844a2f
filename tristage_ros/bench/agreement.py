"""Measure cameras against joints: `tristage bench agreement`.

The experts' episodes of the tasks on the table in simulation, with sensor noise, holes and a hand over it, looked at
once per simulated second as the point cloud node does: first as everything is, then with joints that lie and cameras
that have moved, which is the same images with other joints or other extrinsics told.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tristage_ros.devices.arm.kinematics import forward
from tristage_ros.devices.arm.shapes import arm_shape
from tristage_ros.perception.agreement import ARM, FRONT, WRIST, Limits, Look, look
from tristage_ros.perception.cloud import RgbdFrame
from tristage_ros.perception.surfaces import Table
from tristage_ros.perception.watch import OUT_OF, Watch
from tristage_ros.simulation.episode import Episode
from tristage_ros.simulation.instructions import TABLE
from tristage_ros.simulation.sensing import SensingConfig
from tristage_ros.simulation.setting import Variation

Floats = NDArray[np.float64]
PERIOD = 1.0  # s, simulated
LONGEST = 30.0  # s, simulated, of an episode
JOINTS, ANGLES = (1, 2, 4), (5.0, 10.0, 30.0)  # J2, J3, J5 and degrees
SHIFTS, TURNS = (5.0, 10.0, 12.0, 20.0), (1.0, 2.0, 5.0)  # mm and degrees


@dataclass(frozen=True)
class Shot:
    """Hold what was seen at one moment, and where the joints truly were."""

    front: RgbdFrame
    wrist: RgbdFrame
    joints: Floats  # [7]

    def told(self, joints: Floats, mount: Floats | None = None, front: Floats | None = None) -> Shot:
        """Return it as a node would place it that is told other `joints` [7], with the cameras moved by [4, 4]."""
        real = np.linalg.inv(forward(self.joints[:6])) @ self.wrist.camera.pose
        pose = forward(joints[:6]) @ real @ (np.eye(4) if mount is None else mount)
        seen = self.front.camera.pose @ (np.eye(4) if front is None else front)
        moved = replace(self.front, camera=self.front.camera.at(seen))
        return Shot(moved, replace(self.wrist, camera=self.wrist.camera.at(pose)), joints)


Error = Callable[[np.random.Generator], Callable[[Shot], Shot]]  # draws one, the same for a whole episode


@dataclass
class Row:
    """Count what became of the episodes with one error."""

    episodes: int = 0
    told: int = 0
    after: list[int] = field(default_factory=list)  # looks
    named: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def add(self, other: Row) -> None:
        """Count what another process counted."""
        self.episodes, self.told = self.episodes + other.episodes, self.told + other.told
        self.after += other.after
        self.named += other.named

    def text(self, name: str, right: str) -> str:
        """Return the line of the table; `right` is who it was."""
        one, pair = self.named[(right,)], sum(n for who, n in self.named.items() if len(who) > 1 and right in who)
        other = self.told - one - pair
        soon = f"{np.mean(self.after):.1f} (at most {max(self.after)})" if self.after else "-"
        return f"| {name} | {self.told}/{self.episodes} | {soon} | {one} | {pair} | {other} |"


@dataclass
class Tally:
    """Hold what one task came to."""

    looks: int = 0
    over: int = 0
    unknown: int = 0
    alarms: int = 0
    episodes: int = 0
    seconds: float = 0.0  # of looking alone
    figures: list[Look] = field(default_factory=list)
    rows: dict[str, Row] = field(default_factory=dict)


def errors() -> dict[str, tuple[str, Error]]:
    """Return every error by its name, and who it is."""
    found: dict[str, tuple[str, Error]] = {}
    for joint in JOINTS:
        for angle in ANGLES:
            found[f"J{joint + 1} {angle:.0f} deg"] = ARM, partial(_lying, joint, math.radians(angle))
    for who in (FRONT, WRIST):
        for shift in SHIFTS:
            found[f"{who} {shift:.0f} mm"] = who, partial(_moved, who, shift * 1e-3, 0.0)
        for turn in TURNS:
            found[f"{who} {turn:.0f} deg"] = who, partial(_moved, who, 0.0, math.radians(turn))
    return found


def _lying(joint: int, angle: float, rng: np.random.Generator) -> Callable[[Shot], Shot]:
    by = np.zeros(7)
    by[joint] = angle * rng.choice((-1.0, 1.0))
    return lambda shot: shot.told(shot.joints + by)


def _moved(who: str, shift: float, turn: float, rng: np.random.Generator) -> Callable[[Shot], Shot]:
    way = rng.normal(size=3)
    way /= np.linalg.norm(way)
    step = np.eye(4)
    step[:3, :3], step[:3, 3] = Rotation.from_rotvec(turn * way).as_matrix(), shift * way
    which = "front" if who == FRONT else "mount"
    return lambda shot: shot.told(shot.joints, **{which: step})


def shots(episode: Episode) -> Iterator[Shot]:
    """Yield what is seen once per second while the expert is at work."""
    while not episode.finished and episode.time < LONGEST:
        if episode.idle:
            episode.submit(episode.expert())
        episode.advance(PERIOD)
        frames = episode.frames()
        yield Shot(frames["front"], frames["wrist"], episode.joints)


def measure(task: str, looks: int, episodes: int, first_seed: int) -> Tally:
    """Look at `task` this often as it is, and provoke every error in as many episodes."""
    tally, table = Tally(), Table.under(SensingConfig.of_the_cell().workspace, 0.0)
    tally.rows = {name: Row() for name in errors()}
    watch, stamp, alarmed = Watch(Limits()), 0.0, False
    with Episode(task, first_seed, Variation(sensor_noise=True, hand=True)) as episode:
        seed = first_seed
        while tally.looks < looks or tally.episodes < episodes:
            episode.reset(seed)
            seen = list(shots(episode))
            for shot in seen:
                start = time.perf_counter()
                told = look(shot.front, shot.wrist, arm_shape(shot.joints), table)
                tally.seconds += time.perf_counter() - start
                stamp += PERIOD
                watch.add(stamp, told)
                tally.figures.append(told)
                tally.over += watch.excess > 1.0
                tally.unknown += math.isnan(watch.excess)
                tally.alarms += watch.finding is not None and not alarmed
                alarmed = watch.finding is not None
            tally.looks += len(seen)
            if tally.episodes < episodes and len(seen) >= OUT_OF - 1:
                tally.episodes += 1
                _provoke(tally, seen[:OUT_OF], table, seed)
            seed += 1
    return tally


def _provoke(tally: Tally, seen: list[Shot], table: Table, seed: int) -> None:
    for number, (name, (_, error)) in enumerate(errors().items()):
        row, watch = tally.rows[name], Watch(Limits())
        spoil = error(np.random.default_rng((seed, number)))
        row.episodes += 1
        for count, shot in enumerate(map(spoil, seen), 1):
            watch.add(float(count), look(shot.front, shot.wrist, arm_shape(shot.joints), table))
            if watch.finding is not None:
                row.told += 1
                row.after.append(count)
                row.named[watch.finding.suspects] += 1
                break


def run(options: argparse.Namespace) -> int:
    """Measure and print; return 1 for a false alarm."""
    tasks = list(TABLE)
    each = partial(
        measure,
        looks=math.ceil(options.looks / len(tasks)),
        episodes=math.ceil(options.episodes / len(tasks)),
        first_seed=options.first_seed,
    )
    with get_context("spawn").Pool(options.processes) as pool:
        tallies = dict(zip(tasks, pool.map(each, tasks, chunksize=1), strict=True))
    _print_right(tallies)
    rows = {name: Row() for name in errors()}
    for tally in tallies.values():
        for name, row in tally.rows.items():
            rows[name].add(row)
    print(f"\n| error | told within {OUT_OF} looks | after looks | named | named as one of two | others named |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, (right, _) in errors().items():
        print(rows[name].text(name, right))
    return 1 if any(tally.alarms for tally in tallies.values()) else 0


def _print_right(tallies: dict[str, Tally]) -> None:
    print("| task | looks | over a limit | false alarms | nothing told | ms per look |\n|---|--:|--:|--:|--:|--:|")
    for task, one in tallies.items():
        each = 1e3 * one.seconds / one.looks
        print(f"| {task} | {one.looks} | {one.over} | {one.alarms} | {one.unknown} | {each:.0f} |")
    print("\n| figure | told in | median | 99 % | largest | limit = 1: largest |\n|---|--:|--:|--:|--:|--:|")
    every = [figure for one in tallies.values() for figure in one.figures]
    for name in Look.__dataclass_fields__:
        values = np.array([getattr(one, name) for one in every])
        known = values[~np.isnan(values)]
        if not len(known):
            print(f"| {name} | 0 % | - | - | - | - |")
            continue
        largest = max(one.excess(Limits()).get(name, 0.0) for one in every)
        middle, high = np.quantile(known, (0.5, 0.99))
        share = len(known) / len(values)
        print(f"| {name} | {share:.0%} | {middle:.4f} | {high:.4f} | {known.max():.4f} | {largest:.2f} |")
