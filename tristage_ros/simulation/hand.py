"""A hand that has an arm: it sets out late, reaches smoothly, and is never quite still.

Reaching is minimum jerk (Flash and Hogan 1985), as long as the way asks for; tremor is a sum of sines between 7 and
11 Hz, and drift one below 1 Hz. How large they are at an arm that is led is an assumption.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

REACTION = (0.18, 0.35)  # s until a hand sets out
SPEED = 0.45  # rad/s, of the fastest joint on its way, at most
LEAST = 0.5  # s that the shortest way takes
GRASP = 0.4  # s to close or open the gripper
TREMOR, DRIFT = 3e-4, 1e-3  # rad


class Hand:
    """Move joints and gripper of an arm as a person does; times are s of its own clock."""

    def __init__(self, position: Floats, opening: float, seed: int = 0, held: bool = True) -> None:
        """Have the arm at `position`, [6] rad, its gripper open by `opening`, m; not `held`, it does not tremble."""
        self._rng = np.random.default_rng((seed, 0x4A4D))
        self.held, self.speed = held, SPEED
        self._from = self._to = np.array(position, dtype=float)
        self._open_from = self._open_to = float(opening)
        self._begin, self._lasts, self._grasp_begin = 0.0, 0.0, 0.0
        self._now = 0.0
        waves = self._rng.uniform(7.0, 11.0, (3, 6)), self._rng.uniform(0.2, 0.8, (1, 6))
        self._waves = 2 * np.pi * np.concatenate(waves)  # rad/s
        self._phases = self._rng.uniform(0.0, 2 * np.pi, (4, 6))
        self._heights = np.concatenate([np.full((3, 6), TREMOR), np.full((1, 6), DRIFT)])

    def reach(self, position: Floats) -> None:
        """Set out for joints [6] rad, from wherever the hand is by then."""
        self._from, self._to = self._smooth(), np.array(position, dtype=float)
        self._begin = self._now + self._rng.uniform(*REACTION)
        # the middle of a smooth way is 15/8 as fast as its mean
        self._lasts = max(LEAST, 15 / 8 * float(np.abs(self._to - self._from).max()) / self.speed)
        self._lasts *= self._rng.uniform(1.0, 1.2)

    def grasp(self, opening: float) -> None:
        """Close or open the gripper to `opening`, m."""
        self._open_from, self._open_to = self.opening, opening
        self._grasp_begin = self._now + self._rng.uniform(*REACTION)

    def put(self, position: Floats) -> None:
        """Be at joints [6] rad all at once, as no hand is."""
        self._from = self._to = np.array(position, dtype=float)
        self._begin, self._lasts = self._now, 0.0

    @property
    def busy(self) -> bool:
        """Tell whether it is on its way, or about to set out."""
        return self._now < max(
            self._begin + self._lasts, self._grasp_begin + GRASP * (self._open_to != self._open_from)
        )

    def pass_time(self, seconds: float) -> None:
        """Go on by so long."""
        self._now += seconds

    @property
    def position(self) -> Floats:
        """Return where the joints are, [6] rad."""
        place = self._smooth()
        if self.held:
            place = place + (self._heights * np.sin(self._waves * self._now + self._phases)).sum(0)
        return place

    @property
    def opening(self) -> float:
        """Return how far the gripper is open, m."""
        share = _smooth(self._now - self._grasp_begin, GRASP)
        return self._open_from + share * (self._open_to - self._open_from)

    def _smooth(self) -> Floats:
        there: Floats = self._from + _smooth(self._now - self._begin, self._lasts) * (self._to - self._from)
        return there


def _smooth(passed: float, lasts: float) -> float:
    """Return the share of a way that is gone after so long: 10 t^3 - 15 t^4 + 6 t^5."""
    t = min(1.0, max(0.0, passed / lasts)) if lasts > 0.0 else 1.0
    return t**3 * (10.0 - 15.0 * t + 6.0 * t * t)
