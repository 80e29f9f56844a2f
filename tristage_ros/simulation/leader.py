"""A second Piper that a hand moves: the same firmware in the role of a leader, on a CAN bus of its own.

It weighs nothing, and nothing is in its way; what it sends, and when it does not, is the firmware's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tristage_ros.simulation.cell import SERVED, open_bus
from tristage_ros.simulation.controller import SOFTWARE, Controller, Drive
from tristage_ros.simulation.firmware import Firmware
from tristage_ros.simulation.hand import Hand

Floats = NDArray[np.float64]


class HandHeld:
    """The mechanics of an arm that is where a hand has it."""

    def __init__(self, hand: Hand) -> None:
        """Give it into a hand."""
        self.hand = hand
        self.torque, self.gripper_effort = np.zeros(6), 0.0
        self.position, self.velocity, self.opening = hand.position, np.zeros(6), hand.opening

    def step(self, drive: Drive, time_step: float) -> None:
        """Advance by `time_step` seconds."""
        self.hand.pass_time(time_step)
        before, self.position = self.position, self.hand.position
        self.velocity, self.opening = (self.position - before) / time_step, self.hand.opening


class EmulatedLeader:
    """A leader in a hand; its `firmware` has a `wire` that can go wrong, as the follower's."""

    def __init__(
        self, interface: str, channel: str, position: Floats, opening: float = 0.07, seed: int = 0, held: bool = True
    ) -> None:
        """Switch it on at `position`, [6] rad, on a bus of its own; what it is to be like is changed at `controller`.

        Raises:
            ValueError, OSError: the bus cannot be opened.
        """
        self.hand = Hand(position, opening, seed, held)
        self.controller = Controller(HandHeld(self.hand), SOFTWARE)
        self.controller.become_leader()
        bus = open_bus(interface, channel)
        self.channel = bus.channel_info if interface == SERVED else channel
        self.firmware = Firmware(self.controller, bus)

    def start(self) -> None:
        """Let time run."""
        self.firmware.start()

    def close(self) -> None:
        """Switch it off, and leave the bus."""
        self.firmware.close()

    def reach(self, position: Floats) -> None:
        """Let the hand set out for joints [6] rad."""
        with self.firmware.lock:
            self.hand.reach(position)

    def grasp(self, opening: float) -> None:
        """Let the hand close or open the gripper to `opening`, m."""
        with self.firmware.lock:
            self.hand.grasp(opening)

    def put(self, position: Floats) -> None:
        """Let the arm be at joints [6] rad all at once."""
        with self.firmware.lock:
            self.hand.put(position)

    @property
    def position(self) -> Floats:
        """Return where its joints are, [6] rad."""
        with self.firmware.lock:
            return self.hand.position

    @property
    def busy(self) -> bool:
        """Tell whether the hand is on its way."""
        with self.firmware.lock:
            return self.hand.busy
