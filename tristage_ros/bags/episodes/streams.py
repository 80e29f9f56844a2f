"""How one camera's images flow, by stamps, arrivals and checksums: rate, gaps, frozen images, a clock that jumps."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

RATE_SPAN = 5.0  # s over which a rate is taken
LOW_RATE = 0.9  # of the nominal rate; less is worth a word
JITTER = 0.02  # s backwards that are no jump
KNOWN = 5  # gaps from which on the usual one is known
SILENT = 1.0  # s without a message
FROZEN, FROZEN_FOR = 5, 1.0  # equal images in a row, and s that they cover, before they are called frozen
MOVED = 0.1  # rad that the arm's joints have to go before an equal image is a frozen one: nothing may have moved
JUMP = 0.5  # s that stamps may be ahead of the earliest arrival known before the clock has jumped


@dataclass
class Clock:
    """Watch that stamps go on as time does. A message may come late, but none comes before it was made."""

    backwards: int = 0
    furthest_back: float = 0.0  # s
    forward: float = 0.0  # s, the largest jump
    repeated: int = 0
    _last: float | None = None
    _ahead: float = -math.inf  # s, the most that a stamp was ahead of the clock of arrivals

    def step(self, stamp: float, arrival: float) -> float | None:
        """Return the s since the stamp before, None where there is none or the clock has jumped.

        `stamp` in s of the sender's clock, `arrival` in s of one that nobody sets.
        """
        last, self._last = self._last, stamp
        ahead, known = stamp - arrival, self._ahead
        self._ahead = max(known, ahead)
        if last is None:
            return None
        if stamp == last:
            self.repeated += 1
            return 0.0
        if last - JITTER < stamp < last:  # stamps that went from one clock to another
            return 0.0
        if stamp < last:
            self.backwards += 1
            self.furthest_back = max(self.furthest_back, last - stamp)
            self._ahead = ahead
            return None
        if ahead > known + JUMP:
            self.forward = max(self.forward, ahead - known)
            return None
        return stamp - last

    def complaints(self) -> list[str]:
        """Return how the clock has jumped, a line each."""
        told = []
        if self.backwards:
            often = f", {self.backwards} times" if self.backwards > 1 else ""
            told.append(f"the clock jumped: stamps {self.furthest_back:.2f} s backwards{often}")
        if self.forward:
            told.append(f"the clock jumped: stamps {self.forward:.2f} s forward")
        return told


@dataclass
class _Run:
    """Hold how long the same image comes again and again."""

    checksum: int = 0
    frames: int = 0
    since: float = 0.0  # s, arrival
    travelled: float | None = None  # rad, of the arm before; None: not known

    def frozen(self, arrival: float, travelled: float | None) -> bool:
        """Return whether that is more than a scene in which nothing moves."""
        if self.frames < FROZEN or arrival - self.since < FROZEN_FOR:
            return False
        return travelled is None or self.travelled is None or travelled - self.travelled > MOVED


@dataclass
class ImageStream:
    """Watch one stream of images from `begin` on (s, as arrivals)."""

    name: str  # for a person
    nominal: float  # Hz
    begin: float
    frames: int = 0
    dropped: int = 0
    longest_gap: float = 0.0  # s between stamps
    lowest_rate: float = math.inf  # Hz, over `RATE_SPAN`
    clock: Clock = field(default_factory=Clock)
    _first: float | None = None  # s, stamps; those of before a jump do not count
    _newest: float = 0.0
    _counted: int = 0
    _arrival: float | None = None
    _recent: deque[float] = field(default_factory=deque)
    _run: _Run = field(default_factory=_Run)
    _frozen: tuple[int, float, bool] = (0, 0.0, False)  # frames, s, whether the arm is known to have moved

    def add(self, stamp: float, arrival: float, checksum: int = 0, travelled: float | None = None) -> None:
        """Take an image: its stamp and arrival in s, a `checksum` of its pixels (0: not known).

        `travelled` is how far the arm's joints have gone so far, rad, None where nobody knows.
        """
        self.frames += 1
        gap = self.clock.step(stamp, arrival)
        self._arrival = arrival
        if gap is None:
            self._recent.clear()
            self._first, self._counted = stamp, 0
        else:
            self.longest_gap = max(self.longest_gap, gap)
            self.dropped += max(round(gap / self._period()) - 1, 0) if gap * self.nominal > 1.5 else 0
        self._newest = stamp
        self._counted += gap != 0.0
        self._note_rate(stamp)
        self._note_picture(arrival, checksum, travelled)

    def expect(self, nominal: float) -> None:
        """Expect another rate, Hz; what was counted against the one before counts no more."""
        if nominal != self.nominal:
            self.nominal, self.dropped, self.lowest_rate = nominal, 0, math.inf

    @property
    def rate(self) -> float:
        """Return images per second since the beginning, or since the clock jumped; 0 before the second one."""
        span = self._newest - self._first if self._first is not None else 0.0
        return (self._counted - 1) / span if span > 0 else 0.0

    def silence(self, now: float) -> float:
        """Return for how long nothing came, s."""
        return now - (self.begin if self._arrival is None else self._arrival)

    def complaints(self, now: float) -> list[str]:
        """Return what is or was wrong, without its name, a line each with its figure; `now` in s, as arrivals."""
        told = []
        if (silence := self.silence(now)) > SILENT:
            told.append(f"nothing for {silence:.1f} s" if self.frames else f"no image within {silence:.1f} s")
        if self.lowest_rate < LOW_RATE * self.nominal:
            told.append(f"down to {self.lowest_rate:.1f} of {self.nominal:g} Hz")
        if self.dropped:
            told.append(
                f"{self.dropped} of {self.frames + self.dropped} frames dropped, {self.longest_gap:.2f} s at most"
            )
        frames, seconds, moved = self._frozen
        if frames:
            meanwhile = " while the arm moved" if moved else ""
            told.append(f"frozen: the same image {frames} times in {seconds:.1f} s{meanwhile}")
        if self.clock.repeated:
            told.append(f"{self.clock.repeated} stamps repeated")
        return told + self.clock.complaints()

    def _period(self) -> float:
        """Return the s from one image to the next; a camera that is slow as a whole drops nothing."""
        gaps = sorted(later - sooner for sooner, later in pairwise(self._recent))
        usual = gaps[len(gaps) // 2] if len(gaps) >= KNOWN else 0.0
        return max(1.0 / self.nominal, usual)

    def _note_rate(self, stamp: float) -> None:
        recent = self._recent
        recent.append(stamp)
        while recent[0] < stamp - RATE_SPAN:
            recent.popleft()
        span = stamp - recent[0]
        if span > RATE_SPAN - 2.0 / self.nominal:
            self.lowest_rate = min(self.lowest_rate, (len(recent) - 1) / span)

    def _note_picture(self, arrival: float, checksum: int, travelled: float | None) -> None:
        run = self._run
        if not checksum or checksum != run.checksum:
            self._run = _Run(checksum, 1, arrival, travelled)
            return
        run.frames += 1
        if run.frozen(arrival, travelled) and arrival - run.since > self._frozen[1]:
            self._frozen = run.frames, arrival - run.since, travelled is not None
