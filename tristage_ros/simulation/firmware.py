"""The arm on a CAN bus: one thread that takes commands, steps the controller and sends its feedback at 200 Hz."""

from __future__ import annotations

import math
import threading
import time

import can

from tristage_ros.simulation.controller import Controller
from tristage_ros.simulation.frames import ArmStatus, Frame, MotorStatus
from tristage_ros.simulation.wire import Wire

RATE = 200.0  # Hz, of the 14 feedback frames
HEALTH_EVERY = 5  # ticks: motor health at 40 Hz


class Firmware:
    """Run a controller in real time on a python-can bus: 14 frames at 200 Hz and six at 40 Hz, 3040 frames/s.

    Commands take effect, and are answered, at the next tick. Ticks that come a period late or more are skipped and
    counted, not caught up: simulated time then falls behind.
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

    def report(self, status: ArmStatus) -> None:
        """Let the arm stop and report a state of its own accord; see Controller.report."""
        with self.lock:
            self._controller.report(status)

    def refuse_enabling(self, refuse: bool) -> None:
        """Let no motor switch on, as with the power supply of the motors off."""
        with self.lock:
            self._controller.refuses_enabling = refuse

    def tick(self) -> None:
        """Take the waiting commands, advance by one period and send answers and feedback."""
        received = self.wire.up(self._received())
        self._ticks += 1
        with self.lock:
            sent = [answer for frame in received for answer in self._controller.handle(frame)]
            self._controller.step(1 / RATE)
            self.stamp = time.time()
            sent += self._controller.feedback(with_health=self._ticks % HEALTH_EVERY == 0)
        for can_id, data in self.wire.down(sent):
            self._bus.send(can.Message(self.stamp, can_id, is_extended_id=False, data=data))

    def _received(self) -> list[Frame]:
        received = []
        while (message := self._bus.recv(0)) is not None:
            received.append(Frame(message.arbitration_id, bytes(message.data)))
        return received

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self.tick()
            due += 1 / RATE
            missed = max(0, math.floor((time.monotonic() - due) * RATE))
            self.missed_ticks += missed
            due += missed / RATE
            self._stop.wait(max(0.0, due - time.monotonic()))
