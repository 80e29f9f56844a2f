"""The arm on a CAN bus: one thread that takes commands, steps the controller and sends its feedback at 200 Hz.

Its time may pass more slowly than the clock's, on a computer that cannot keep up. The feedback still comes 200 times a
second, but less happens between two of it, and a frame that no Piper sends says so on the bus.
Between the arm and the bus is a `Wire`, which loses, exchanges and freezes frames when a test asks for it.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Iterable

import can

from tristage_ros.devices.arm.clock import DILATION_FRAME, MOST, dilation_data
from tristage_ros.simulation.arm import TIME_STEP, Obstacle
from tristage_ros.simulation.controller import Controller
from tristage_ros.simulation.frames import ArmStatus, Frame, MotorStatus

RATE = 200.0  # Hz, of the 14 feedback frames
HEALTH_EVERY = 5  # ticks: motor health at 40 Hz


class Firmware:
    """Run a controller in real time on a python-can bus: 14 frames at 200 Hz and six at 40 Hz, 3040 frames/s.

    Commands take effect, and are answered, at the next tick. Ticks that come a period late or more are skipped and
    counted, not caught up: simulated time then falls behind, but for a slower time, in which there is time for that.
    `lock` guards the controller and its plant: hold it to read or change them while the thread runs. `wire` loses,
    exchanges and freezes frames on demand.
    """

    def __init__(self, controller: Controller, bus: can.BusABC) -> None:
        """Take over `bus`: it is shut down by close()."""
        self.lock = threading.Lock()
        self.missed_ticks = 0
        self.stamp = time.time()  # s, Unix time of the present mechanical state
        self.wire = Wire()
        self._controller, self._bus = controller, bus
        self._ticks = 0
        self._dilation, self._tells = 1.0, False  # and whether that was ever another
        self._owed = 0.0  # s of simulated time that have not been stepped: less than a step of the physics
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="firmware", daemon=True)

    def start(self) -> None:
        """Begin to tick in real time."""
        self._thread.start()

    def close(self) -> None:
        """End the thread and shut the bus down; a second call does nothing."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._bus.shutdown()

    @property
    def dilation(self) -> float:
        """Return how many seconds of the clock a simulated one takes."""
        return self._dilation

    def dilate(self, dilation: float) -> None:
        """Let simulated time pass so many times more slowly from the next tick on, and say so on the bus.

        Raises:
            ValueError: not 1 to `MOST`.
        """
        if not 1.0 <= dilation <= MOST:
            raise ValueError(f"simulated time is 1 to {MOST:g} times slower, not {dilation}")
        with self.lock:
            self._dilation = dilation
            self._tells = self._tells or dilation > 1.0

    def silence(self, seconds: float | None) -> None:
        """Neither hear nor say anything for `seconds`; see Wire.silence."""
        self.wire.silence(seconds)

    def fail_motor(self, joint: int, fault: MotorStatus = MotorStatus.DRIVER_ERROR) -> None:
        """Break the motor of joint 0..5; see Controller.fail_motor."""
        with self.lock:
            self._controller.fail_motor(joint, fault)

    def press_emergency_stop(self) -> None:
        """Press the button on the arm; see Controller.press_emergency_stop."""
        with self.lock:
            self._controller.press_emergency_stop()

    def alarm(self, joint: int, bits: MotorStatus) -> None:
        """Let a motor's driver complain, and nothing else; see Controller.alarm."""
        with self.lock:
            self._controller.alarm(joint, bits)

    def press_teach_button(self, obeys: bool = False) -> None:
        """Give the arm to a person's hands, or take it back; `obeys`: a 0x151 takes it back, too."""
        with self.lock:
            self._controller.obeys_while_teaching = obeys
            self._controller.press_teach_button()

    @property
    def teaching(self) -> bool:
        """Tell whether a person has the arm in the hands."""
        with self.lock:
            return self._controller.teaching

    def become_leader(self) -> None:
        """Give the arm the role of a leader; see Controller.become_leader."""
        with self.lock:
            self._controller.become_leader()

    def restart(self) -> None:
        """Switch the arm off and on; see Controller.restart."""
        with self.lock:
            self._controller.restart()

    def lie(self, *joints: int) -> None:
        """Let the encoders of joints 0..5 say what was commanded, from now on; none: they tell the truth."""
        with self.lock:
            self._controller.lying = frozenset(joints)

    def obey(self, *frames: Frame) -> None:
        """Take commands that a master sends whom this computer does not hear."""
        with self.lock:
            for frame in frames:
                self._controller.handle(frame)

    def put_in_the_way(self, *obstacles: Obstacle) -> None:
        """Put things into the arm's way, instead of those that were there."""
        with self.lock:
            self._controller.plant.obstacles = obstacles

    def report(self, status: ArmStatus) -> None:
        """Let the arm stop and report a state of its own accord; see Controller.report."""
        with self.lock:
            self._controller.report(status)

    def refuse_enabling(self, refuse: bool) -> None:
        """Let no motor switch on, as with the power supply of the motors off."""
        with self.lock:
            self._controller.refuses_enabling = refuse

    def tick(self, missed: int = 0) -> None:
        """Take the waiting commands, advance by one period and send answers and feedback; `missed` ticks before."""
        received = self.wire.up(self._received())
        self._ticks += 1
        with self.lock:
            sent = [answer for frame in received for answer in self._controller.handle(frame)]
            self._step(1 + missed * (self._dilation > 1.0))
            self.stamp = time.time()
            health = self._ticks % HEALTH_EVERY == 0
            sent += self._controller.feedback(with_health=health)
            if self._tells and health:
                sent.append(Frame(DILATION_FRAME, dilation_data(self._dilation)))
        for can_id, data in self.wire.down(sent):
            self._bus.send(can.Message(self.stamp, can_id, is_extended_id=False, data=data))

    def _step(self, ticks: int) -> None:
        """Let the simulated time of so many ticks pass, in whole steps of the physics."""
        self._owed += ticks / (RATE * self._dilation)
        if steps := math.floor(self._owed / TIME_STEP + 1e-6):
            self._controller.step(steps * TIME_STEP)
            self._owed = max(0.0, self._owed - steps * TIME_STEP)

    def _received(self) -> list[Frame]:
        received = []
        while (message := self._bus.recv(0)) is not None:
            received.append(Frame(message.arbitration_id, bytes(message.data)))
        return received

    def _run(self) -> None:
        due, missed = time.monotonic(), 0
        while not self._stop.is_set():
            self.tick(missed)
            due += 1 / RATE
            missed = max(0, math.floor((time.monotonic() - due) * RATE))
            self.missed_ticks += missed
            due += missed / RATE
            self._stop.wait(max(0.0, due - time.monotonic()))


# Faults between the arm and the computer, on demand and repeatable.

JOINT_FEEDBACK = (0x2A5, 0x2A6, 0x2A7)
GROUPS = {  # of feedback frames
    "status": (0x2A1,),
    "joints": JOINT_FEEDBACK,
    "gripper": (0x2A8,),
    "speeds": tuple(range(0x251, 0x257)),
    "motors": tuple(range(0x261, 0x267)),
}
_FREEZABLE = frozenset({*range(0x2A1, 0x2A9), *range(0x251, 0x257), *range(0x261, 0x267)})


class Wire:
    """Pass frames in both directions, except for the faults that were asked for.

    Each fault lasts until it is taken back; `silence` may end by itself.
    """

    def __init__(self, seed: int = 0) -> None:
        """Begin without faults; `seed` decides which frames `drop` loses."""
        self._random = random.Random(seed)
        self._silent_until = -math.inf  # s, monotonic clock
        self._dropped = 0.0
        self._swapped: tuple[int, int] | None = None
        self._frozen: frozenset[int] = frozenset()
        self._stopped: frozenset[int] = frozenset()
        self._every, self._latency = 1, 0.0
        self._passed = 0  # ticks
        self._under_way: list[tuple[float, list[Frame]]] = []  # when it arrives, s (monotonic clock), and what
        self._last: dict[int, Frame] = {}  # by id, before they were frozen
        self._unheard: tuple[Frame, ...] = ()

    def silence(self, seconds: float | None) -> None:
        """Pass nothing for `seconds`, as with the cable pulled out; None: until silence(0)."""
        self._silent_until = math.inf if seconds is None else time.monotonic() + seconds

    def drop(self, share: float) -> None:
        """Lose this share, 0..1, of the frames of both directions, at random.

        Raises:
            ValueError: share out of range.
        """
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"a share of lost frames is 0 to 1, not {share}")
        self._dropped = share

    def swap(self, first: int, second: int) -> None:
        """Exchange the places of two frames of each tick, by id; the same id twice: none."""
        self._swapped = (first, second) if first != second else None

    def freeze(self, ids: Iterable[int] = JOINT_FEEDBACK) -> None:
        """Repeat the present content of these feedback frames from now on; none: they are fresh again."""
        self._frozen = frozenset(ids) & _FREEZABLE

    def stop(self, *groups: str) -> None:
        """Pass none of these groups of feedback from now on, by the names in GROUPS; none: all come again."""
        self._stopped = frozenset(id for group in groups for id in GROUPS[group])

    def slow(self, every: int, latency: float) -> None:
        """Pass only the feedback of every so-manieth tick from now on, and that so late, s; (1, 0.0): as it was."""
        self._every, self._latency = max(1, every), max(0.0, latency)

    def lead(self, *frames: Frame) -> None:
        """Let a master send these at every tick from now on, whom this computer does not hear; none: he is gone."""
        self._unheard = frames

    def up(self, received: list[Frame]) -> list[Frame]:
        """Return what the arm hears of the frames that were sent to it; the master that is not heard speaks last."""
        return self._survivors([*received, *self._unheard])

    def down(self, sent: list[Frame]) -> list[Frame]:
        """Return what the computer hears of the frames that the arm sends in one tick."""
        result = [self._last.get(frame.id, frame) if frame.id in self._frozen else frame for frame in sent]
        self._last.update((frame.id, frame) for frame in result if frame.id in _FREEZABLE)
        if self._swapped:
            result = _exchanged(result, *self._swapped)
        return self._late(self._survivors([frame for frame in result if frame.id not in self._stopped]))

    def _late(self, frames: list[Frame]) -> list[Frame]:
        """Return what arrives now of what was sent, some of it perhaps a while ago."""
        self._passed += 1
        if self._passed % self._every:
            frames = [frame for frame in frames if frame.id not in _FREEZABLE]
        if not self._latency and not self._under_way:
            return frames
        now = time.monotonic()
        self._under_way.append((now + self._latency, frames))
        arrived = [batch for due, batch in self._under_way if due <= now]
        self._under_way = [(due, batch) for due, batch in self._under_way if due > now]
        return [frame for batch in arrived for frame in batch]

    def _survivors(self, frames: list[Frame]) -> list[Frame]:
        if time.monotonic() < self._silent_until:
            return []
        return [frame for frame in frames if not self._dropped or self._random.random() >= self._dropped]


def _exchanged(frames: list[Frame], first: int, second: int) -> list[Frame]:
    result, places = frames.copy(), {frame.id: place for place, frame in enumerate(frames)}
    if first in places and second in places:
        result[places[first]], result[places[second]] = frames[places[second]], frames[places[first]]
    return result
