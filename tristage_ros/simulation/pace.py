"""How slowly a cell's time has to pass on this computer, so that its cameras and its policy keep up with the arm.

Two things cost time that a real cell has for nothing: the images, which are drawn here, and, on a busy computer, the
way from an image to the action. Both are measured before the arm is enabled, and a factor is chosen that leaves room:
simulated time passes so many times more slowly. It is raised later where that turns out to be too little, and never
lowered, since a computer that was busy once will be again. No clock, no thread.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median

MOST = 20.0  # times slower; a computer that needs more is none for this
_DRAWN, _ACTED = 15, 5  # newest images and actions that are looked at, and that are wanted before it is settled
_DRAWING = 0.7  # of a camera's period that drawing may take
_ROOM = 0.6  # of the age at which an action is refused that it may have, in the middle of five, for real time
_MORE_ROOM = 0.4  # likewise in slowed time: what a busy computer takes varies
_ALARM = 0.8  # likewise of a single one, from where on time is too fast
_REAL = 1.1  # up to where real time will do
_GRAIN = 0.5


@dataclass(frozen=True)
class Demands:
    """Hold what a cell in real time is asked for."""

    frame_rate: float  # Hz, of the cameras
    max_age: float  # s, of an observation when the arm begins to act on it


class Pace:
    """Choose by how much simulated time is slower."""

    def __init__(self, demands: Demands) -> None:
        """Begin in real time, with nothing measured."""
        self.dilation = 1.0
        self.settled = False
        self._demands = demands
        self._drawn: deque[float] = deque(maxlen=_DRAWN)  # s
        self._acted: deque[float] = deque(maxlen=_ACTED)  # s

    @property
    def drawing(self) -> float:
        """Return how long the images of a moment take, s; NaN before the first."""
        return median(self._drawn) if self._drawn else math.nan

    @property
    def acting(self) -> float:
        """Return how old an observation is when its action is there, s; NaN before the first."""
        return median(self._acted) if self._acted else math.nan

    def drew(self, seconds: float) -> None:
        """Take how long the images of all cameras took, s of the clock."""
        self._drawn.append(seconds)

    def acted(self, age: float) -> None:
        """Take how old, s of the clock, an observation was when its action was there."""
        if math.isfinite(age) and age > 0.0:
            self._acted.append(age)

    def look(self) -> bool:
        """Settle it once enough is measured, and raise it later where that is too little; return whether it changed."""
        if len(self._drawn) < _DRAWN or not (self._acted or self.settled):
            return False
        if not self.settled:
            if len(self._acted) < _ACTED:
                return False
            self.settled = True
            keeps_up = self.dilation == 1.0 and self._keeps_up()
            return not keeps_up and self._set(max(self.dilation, self._needed()))
        late = bool(self._acted) and self._acted[-1] > _ALARM * self._demands.max_age * self.dilation
        slow = self.drawing > self.dilation / self._demands.frame_rate
        return (late or slow) and self._set(max(self._needed(), self.dilation + _GRAIN))

    def stuck(self) -> bool:
        """Double it: not one action has come of what was drawn, since all of it was too old; return whether it may."""
        return self._set(2.0 * self.dilation)

    def _keeps_up(self) -> bool:
        """Tell whether this computer is fast enough for real time."""
        drawing = self.drawing * self._demands.frame_rate / _DRAWING
        return max(drawing, self.acting / (_ROOM * self._demands.max_age)) <= _REAL

    def _needed(self) -> float:
        """Return how many times slower time has to be, on one that is not."""
        drawing = self.drawing * self._demands.frame_rate / _DRAWING
        ages = [0.0] if not self._acted else [self.acting / _MORE_ROOM, max(self._acted) / _ROOM]
        return math.ceil(max(drawing, max(ages) / self._demands.max_age) / _GRAIN) * _GRAIN

    def _set(self, dilation: float) -> bool:
        before, self.dilation = self.dilation, min(MOST, dilation)
        if self.dilation == before:
            return False
        self._drawn.clear()  # what was measured before tells of another pace
        self._acted.clear()
        return True

    def in_words(self) -> str:
        """Say how simulated time passes, for a person."""
        if self.dilation == 1.0:
            return "in real time" if self.settled else "in real time, until it is known how fast this computer is"
        return f"{self.dilation:g} times slower than the clock: this computer is too slow, or too busy, for real time"
