"""Random operations on the arm's surface, by a seed, judged frame by frame at the bus.

Chunks and trajectories, good and bad; stops, enabling, faults cleared, ways home and back; speeds and sources; a wire
that drops, swaps, freezes and falls silent, as a whole or by groups of frames; things in the way, payloads, motors that
complain, the teach button, a second master. Whatever comes, what is on the bus has to keep the rules in `Judge`.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import can
import numpy as np
from numpy.typing import NDArray

from tristage_ros.bench.arm.conditions import HANGS
from tristage_ros.bench.arm.rig import Rig
from tristage_ros.devices.arm.controller import ControllerConfig
from tristage_ros.devices.arm.joint_path import JointPath
from tristage_ros.devices.arm.kinematics import JOINT_LIMITS
from tristage_ros.devices.arm.values import ArmMode, CommandSource
from tristage_ros.simulation.arm import JointStop
from tristage_ros.simulation.frames import MotorStatus

ALLOWED = {0x151, 0x155, 0x156, 0x157, 0x159, 0x471}
GRACE = 0.06  # s in which a set-point may still leave after the frame that ends them
FASTEST = 2.0  # rad/s, of set-points
IN_FAULT = 0.55  # rad/s, likewise, once a fault is this old:
SETTLED = 0.6  # s
LEAP = 0.03  # rad from the measured joints, to where a set-point may leap


@dataclass
class Judge:
    """Collect what breaks a rule."""

    findings: list[str] = field(default_factory=list)
    frames: int = 0
    setpoints: int = 0

    def look(self, rig: Rig, ends: list[tuple[float, str]], faults: list[tuple[float, float]], begun: float) -> None:
        """Judge the frames of one rig.

        Args:
            rig: whose tap has noted every command frame.
            ends: when set-points had to end (s, monotonic clock) and why; "" when they may go on.
            faults: from when to when the arm was in fault.
            begun: when it was enabled first; infinite if never.
        """
        assert rig.tap is not None
        frames = list(rig.tap.frames)
        self.frames += len(frames)
        for stamp, identifier, data in frames:
            if identifier not in ALLOWED:
                self.findings.append(f"frame 0x{identifier:03x} {data.hex()}")
            if identifier == 0x151 and (data[:2] != b"\1\1" or not 1 <= data[2] <= 100 or data[3]):
                self.findings.append(f"mode {data.hex()}")
            if identifier == 0x471 and data[1] != 2:
                self.findings.append(f"motors {data.hex()}")
            if identifier in (0x155, 0x159) and stamp < begun:
                self.findings.append(f"frame 0x{identifier:03x} before anything was enabled")
        rows = rig.tap.setpoints()
        self.setpoints += len(rows)
        if len(rows) < 2:
            return
        if (rows[:, 1:] < JOINT_LIMITS[:, 0] - 1e-4).any() or (rows[:, 1:] > JOINT_LIMITS[:, 1] + 1e-4).any():
            self.findings.append("a set-point beyond a joint limit")
        self._steps(rows, faults, rig.measured)
        for when, why in ends:
            back = min((t for t, reason in ends if not reason and t > when), default=float("inf"))
            late = rows[(rows[:, 0] > when + GRACE) & (rows[:, 0] < back)]
            if why and len(late):
                self.findings.append(f"{len(late)} set-points after: {why}")

    def _steps(
        self,
        rows: NDArray[np.float64],
        faults: list[tuple[float, float]],
        measured: list[tuple[float, NDArray[np.float64]]],
    ) -> None:
        steps = np.abs(np.diff(rows[:, 1:], axis=0)).max(axis=1)
        spans = np.diff(rows[:, 0])
        for k in np.flatnonzero(steps > 1e-6):
            stamp, allowed = rows[k + 1, 0], FASTEST
            if any(begin + SETTLED < stamp < end for begin, end in faults):
                allowed = IN_FAULT
            # A set-point may stand for up to 20 ms of motion, however soon it follows.
            if steps[k] <= allowed * max(0.02, min(float(spans[k]), 0.03)) + 1e-3:
                continue
            near = [position for when, position in measured if abs(when - stamp) < 0.1]
            if spans[k] < 0.3 and not any(np.abs(position - rows[k + 1, 1:]).max() < LEAP for position in near):
                self.findings.append(f"a step of {steps[k]:.3f} rad in {1e3 * spans[k]:.0f} ms")


class Attack:
    """Do random things to one arm after the other."""

    def __init__(self, seed: int) -> None:
        """Begin with the same things for the same seed, as far as an arm in real time repeats itself."""
        self._luck = random.Random(seed)
        self.judge = Judge()
        self.counts: Counter[str] = Counter()

    def run(self, seconds: float, tell: Callable[[str], None]) -> None:
        """Go on for so long; `tell` hears a line for every arm."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            scale = self._luck.choice((1.0, 0.5, 0.1))
            with Rig(ControllerConfig(speed_scale=scale)) as rig:
                self._one_arm(rig, min(end, time.monotonic() + self._luck.uniform(10.0, 40.0)))
            tell(
                f"{sum(self.counts.values())} operations, {self.judge.frames} frames, {self.judge.setpoints} "
                f"set-points, {len(self.judge.findings)} findings"
            )

    def _one_arm(self, rig: Rig, end: float) -> None:
        luck, plant = self._luck, rig.plant
        plant.compliance, plant.payload = HANGS, luck.choice((0.0, 0.0, 0.5))
        self._ends: list[tuple[float, str]] = []
        faults: list[tuple[float, float]] = []
        begun, fault_since = float("inf"), float("nan")
        names = list(OPERATIONS)
        weights = [OPERATIONS[name][1] for name in names]
        while time.monotonic() < end:
            name = luck.choices(names, weights)[0]
            self.counts[name] += 1
            if name == "enable":
                self._ends.append((time.monotonic(), ""))
                begun = min(begun, time.monotonic())
            OPERATIONS[name][0](rig, luck)
            if name in TAKES_OVER and rig.state().mode is ArmMode.FAULT:
                self._ends.append((time.monotonic(), name))
            until = time.monotonic() + luck.uniform(0.0, 0.35)
            while time.monotonic() < until:
                rig.measured.append((time.monotonic(), rig.state().position))
                in_fault = rig.state().mode is ArmMode.FAULT
                if in_fault and np.isnan(fault_since):
                    fault_since = time.monotonic()
                elif not in_fault and not np.isnan(fault_since):
                    faults.append((fault_since, time.monotonic()))
                    fault_since = float("nan")
                time.sleep(0.02)
        if not np.isnan(fault_since):
            faults.append((fault_since, time.monotonic()))
        self.judge.look(rig, self._ends, faults, begun)


Operation = Callable[[Rig, random.Random], object]


def _chunk(rig: Rig, luck: random.Random) -> object:
    many = luck.choice((1, 1, 2, 5, 256))
    reach = luck.choice((0.02, 0.1, 0.3))
    steps = [tuple(luck.uniform(-reach, reach) for _ in range(3)) for _ in range(many)]
    return rig.submit(*steps, time_step=luck.choice((0.0, 0.0, 0.1, 0.2, 10.0)), gripper=np.full(many, luck.random()))


def _bad_chunk(rig: Rig, luck: random.Random) -> object:
    bad = luck.choice((float("nan"), float("inf"), 1e9, -3.0))
    changes = luck.choice(
        ({"translation": np.full((1, 3), bad)}, {"gripper": np.ones(3)}, {"stamp": bad}, {"time_step": bad})
    )
    return rig.submit((0.0, 0.0, 0.0), **changes)


def _trajectory(rig: Rig, luck: random.Random) -> object:
    many = luck.choice((1, 3, 50))
    start = rig.state().position
    way = np.cumsum(np.array([[luck.uniform(-0.1, 0.1) for _ in range(6)] for _ in range(many)]), axis=0)
    times = np.cumsum([luck.uniform(0.02, 0.5) for _ in range(many)])
    begin = time.monotonic() + luck.choice((0.0, 0.0, -0.2, -60.0, 60.0))
    return rig.controller.follow(JointPath(begin, times, start + way))


def _wire(rig: Rig, luck: random.Random) -> object:
    wire = rig.arm.wire
    wire.drop(luck.choice((0.0, 0.0, 0.1, 0.5)))
    wire.swap(*luck.choice(((0, 0), (0, 0), (0x2A5, 0x2A7))))
    wire.freeze(luck.choice(((), (), (0x2A5, 0x2A6, 0x2A7))))
    wire.stop(*luck.choice(((), (), (), ("status",), ("motors",), ("gripper",), ("speeds",), ("joints",))))
    return wire.silence(luck.choice((0.0, 0.0, 0.05, 0.4, 1.5)))


def _whole_wire(rig: Rig, luck: random.Random) -> object:
    wire = rig.arm.wire
    wire.drop(0.0), wire.swap(0, 0), wire.freeze(()), wire.stop()
    return wire.silence(0.0)


def _obstacle(rig: Rig, luck: random.Random) -> object:
    joint, side = luck.randrange(6), luck.choice((-1, 1))
    at = float(rig.state().position[joint]) + side * luck.uniform(0.01, 0.1)
    return rig.arm.put_in_the_way(JointStop(joint, at, side, stiffness=luck.choice((500.0, 2000.0, 8000.0))))


def _meddle(rig: Rig, luck: random.Random) -> object:
    with can.Bus(interface="virtual", channel=rig.channel) as other:
        for _ in range(luck.randrange(1, 4)):
            other.send(can.Message(arbitration_id=0x151, data=bytes([1, 1, 50, 0, 0, 0, 0, 0]), is_extended_id=False))
    return time.sleep(0.05)


def _teach(rig: Rig, luck: random.Random) -> object:
    rig.arm.press_teach_button(luck.random() < 0.5)
    time.sleep(0.05)
    return None


def _heal(rig: Rig, luck: random.Random) -> object:
    """Do what a person does until the arm moves again."""
    _whole_wire(rig, luck)
    rig.arm.put_in_the_way()
    if rig.state().feedback.control_mode == 2:
        rig.arm.press_teach_button()
    time.sleep(0.3)
    return rig.controller.clear_fault()


OPERATIONS: dict[str, tuple[Operation, float]] = {  # and how often
    "chunk": (_chunk, 12.0),
    "bad chunk": (_bad_chunk, 3.0),
    "trajectory": (_trajectory, 4.0),
    "enable": (lambda rig, luck: rig.controller.enable(), 6.0),
    "stop": (lambda rig, luck: rig.controller.stop("attack"), 2.0),
    "clear fault": (lambda rig, luck: rig.controller.clear_fault(), 3.0),
    "heal": (_heal, 5.0),
    "home": (lambda rig, luck: rig.controller.move_home(), 2.0),
    "back off": (lambda rig, luck: rig.controller.back_off(), 2.0),
    "speed": (lambda rig, luck: rig.controller.set_speed_scale(luck.uniform(0.01, 1.0)), 2.0),
    "source": (lambda rig, luck: rig.controller.set_source(luck.choice(list(CommandSource))), 2.0),
    "policy again": (lambda rig, luck: rig.controller.set_source(CommandSource.POLICY), 3.0),
    "wire": (_wire, 2.0),
    "wire whole": (_whole_wire, 3.0),
    "obstacle": (_obstacle, 2.0),
    "obstacle gone": (lambda rig, luck: rig.arm.put_in_the_way(), 2.0),
    "alarm": (lambda rig, luck: rig.arm.alarm(luck.randrange(6), MotorStatus.OVERCURRENT), 0.15),
    "second master": (_meddle, 0.4),
    "teach button": (_teach, 0.5),
}
TAKES_OVER = ("second master", "teach button")


def told(counts: Counter[str]) -> Iterable[str]:
    """Yield how often each operation was done."""
    yield ", ".join(f"{name} {count}" for name, count in counts.most_common())
