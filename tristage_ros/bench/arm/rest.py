"""In a fault, and after a stop, nothing moves but what slows down, and then what lets go."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from tristage_ros.bench.arm.log import Log
from tristage_ros.bench.arm.setpoints import RELIEF, Stream

SETTLED = 0.7  # s in which everything comes to rest
LETS_GO = 0.12  # rad that a joint's target may move away from the arm to let go: it hangs 40 mrad, creeps 50; noise
LATE_STEP = 0.03  # s of motion that one set-point may stand for
BRAKES, ACCELERATION = 3.0, 4.0  # 1/s, slope of the path's feed rate; rad/s^2 of a path
UNSLOWED = 0.08  # s of motion at full speed after a stop's answer: two late set-points, and what is on its way
STOPS = ("stop", "deactivate")
PRESSES, PRESSES_FOR = 0.2, 4.0  # rad from the arm that a target may be, and s that it may stay there
MOVES = 0.1  # rad/s, from where on a stop has something to slow down
_ONE_FAULT = 0.5  # s between two statuses of one fault, at most


class Rest:
    """Judge how the arm comes to rest, and stays there."""

    def __init__(self, log: Log, stream: Stream, until: float) -> None:
        """Take the log of an attack that ended at `until`."""
        self._log, self._stream, self._until = log, stream, until
        self.stops = 0  # that found the arm in motion

    def findings(self) -> Iterator[str]:
        """Yield what broke a rule."""
        for begin, end in self.faults():
            yield from self._stays(begin + SETTLED, end, "in a fault")
        yield from self._stops()
        yield from self._presses()

    def faults(self) -> list[tuple[float, float]]:
        """Return from when to when the arm was in one fault, by its own account."""
        ended = [
            when for call in self._log.called("clear_fault", "enable", "recover") for when in (call.sent, call.answered)
        ]
        found, last = [], -math.inf
        begin = math.nan
        for stamp, fault in sorted(self._log.statuses):
            same = stamp - last < _ONE_FAULT and not any(last <= when <= stamp for when in ended)
            if not math.isnan(begin) and not (fault and same):
                found.append((begin, last))
                begin = math.nan
            if fault and math.isnan(begin):
                begin = stamp
            last = stamp
        return found if math.isnan(begin) else [*found, (begin, last)]

    def _stays(self, begin: float, end: float, when: str) -> Iterator[str]:
        """Judge what is at rest; once somebody has asked it to go back, its speed only."""
        stream = self._stream
        back = min(
            (call.sent for call in self._log.called("back_off") if begin - SETTLED < call.sent < end), default=end
        )
        away = stream.away(begin, min(end, back))
        if away.max() > LETS_GO:
            yield f"{begin:.3f}: {when} the target of joint {away.argmax() + 1} went {away.max():.3f} rad from the arm"
        within = (stream.stamps[1:] > begin) & (stream.stamps[1:] < end)
        for k in np.flatnonzero(within & (stream.sizes > RELIEF * LATE_STEP + 1e-3)):
            if not stream.begins_anew(int(k)):
                yield f"{stream.told(int(k))} {when}"

    def _stops(self) -> Iterator[str]:
        """Judge what moves once a stop was answered; what another call may set going meanwhile is not judged."""
        log = self._log
        going = list(log.called("enable", "back_off", "configure"))
        ends = [life[-1] for life in log.lives]
        for stop in log.called(*STOPS):
            if not stop.success or any(g.sent < stop.answered and g.answered > stop.sent for g in going):
                continue
            end = min(when for when in (*(g.sent for g in going), *ends, self._until + SETTLED) if when > stop.answered)
            yield from self._stays(stop.answered + SETTLED, end, f"after {stop.name}")
            travel = float(self._stream.away(stop.answered, min(end, stop.answered + SETTLED)).max())
            speed = self._stream.speed(stop.sent)
            self.stops += speed > MOVES
            brakes = self._stream.scale(stop.sent) / BRAKES  # s
            stalled = log.stalled(stop.sent - SETTLED, stop.answered + SETTLED)
            allowed = speed * (UNSLOWED + brakes / 2 + stalled) + ACCELERATION * brakes**2 / 8 + LETS_GO / 2
            if travel > allowed:
                how = f"at {speed:.2f} rad/s, more than {allowed:.3f}"
                yield f"{stop.answered:.3f}: {travel:.3f} rad after {stop.name} {how}"

    def _presses(self) -> Iterator[str]:
        """Judge whether a target stays where the arm cannot go."""
        stamps, begin = self._stream.stamps, math.nan
        frozen = np.zeros(len(stamps), bool)
        for since, to in self._log.frozen:
            frozen |= (stamps > since) & (stamps < to + SETTLED)
        for stamp, far in zip(stamps, (self._stream.leads() > PRESSES) & ~frozen, strict=True):
            if not far:
                begin = math.nan
            elif math.isnan(begin):
                begin = stamp
            elif stamp - begin > PRESSES_FOR:
                yield f"{begin:.3f}: for {PRESSES_FOR:g} s the target was more than {PRESSES} rad from the arm"
                return
