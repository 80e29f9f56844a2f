"""What the record of the arm's last minute costs: by the frame, in memory, and at the set-points meanwhile."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable

import can
import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.node import Node

from tristage_ros.bench.arm.rig import Rig
from tristage_ros.devices.arm.black_box import SPAN, TICK, BusRecord, LoopRecord, records
from tristage_ros.devices.arm.controller import ArmController
from tristage_ros.devices.arm.values import ArmFeedback, ArmMode
from tristage_ros.nodes.arm.black_box import BlackBox

_RATE = 3040.0  # frames per second of the arm
_OWN = 400.0  # of ours
_CALM = 3.0  # s between two files
_PATIENCE = 60.0  # s


def black_box_cost(times: int) -> list[str]:
    """Measure on the emulated arm, which holds and is streamed to, with a full minute written `times` times.

    Raises:
        RuntimeError: the emulated arm refuses.
        TimeoutError: a file was not written.
    """
    rclpy.init(args=[])
    node = Node("black_box_cost", start_parameter_services=False, enable_rosout=False)
    try:
        with tempfile.TemporaryDirectory() as folder, Rig(tapped=False) as rig:
            rig.enable()
            _fill(rig.controller)
            box = BlackBox(node, folder, keep=1)
            box.watch(rig.controller, rig.channel)
            written, size = _write(box, times)
            sent = _sent(rig.controller)
            memory = rig.controller.frames.nbytes + rig.controller.record.nbytes
            arm = rig.state().feedback
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return [*_costs(arm, memory), *_jitter(sent, written), f"a file has {size / 1e6:.1f} MB"]


def _fill(controller: ArmController) -> None:
    """Put frames of the last minute in front of those that there are, one of each direction at its rate."""
    now, wall = time.monotonic(), time.time()
    noise = np.random.default_rng(0).bytes(8 * int(SPAN * _RATE))
    for flags, rate in ((0, _RATE), (1, _OWN)):
        for number in range(int(SPAN * rate)):
            ago = SPAN - number / rate
            controller.frames.add(now - ago, wall - ago, 0x2A5, flags, 8, noise[8 * number : 8 * number + 8])


def _write(box: BlackBox, times: int) -> tuple[list[tuple[float, float]], int]:
    """Return from when to when (s, monotonic clock) every file was under way, and the last one's size."""
    spans, size = [], 0
    for _ in range(times):
        time.sleep(_CALM)
        began = time.monotonic()
        path, words = box.request()
        while path is None or not path.exists():
            if path is None or time.monotonic() > began + _PATIENCE:
                raise TimeoutError(words)
            time.sleep(0.02)
        spans.append((began, time.monotonic()))
        size = path.stat().st_size
    return spans, size


def _sent(controller: ArmController) -> NDArray[np.float64]:
    """Return when set-points went out, s."""
    ticks = records(TICK, controller.record.pieces(), time.monotonic())
    return np.array(ticks["monotonic"][ticks["sent"] == 1])


def _jitter(sent: NDArray[np.float64], written: list[tuple[float, float]]) -> list[str]:
    middle, periods = (sent[1:] + sent[:-1]) / 2, np.diff(sent)
    during = np.any([(middle >= began) & (middle <= ended) for began, ended in written], axis=0)
    calm = ~during & (middle > written[0][0] - _CALM)
    lasted = [ended - began for began, ended in written]
    lines = [f"a full minute is written within {np.median(lasted):.1f} s (median of {len(lasted)})"]
    for name, chosen in (("while none is written", calm), ("while one is written", during)):
        off = np.abs(periods[chosen] - 0.01) * 1e3
        lines.append(
            f"time between set-points {name}: {1e3 * periods[chosen].std():.2f} ms standard deviation, 99 % within "
            f"{np.quantile(off, 0.99):.2f} ms of the period, at most {off.max():.1f} ms off ({len(off)} of them)"
        )
    return lines


def _costs(arm: ArmFeedback, memory: int) -> list[str]:
    bus, loop = BusRecord(), LoopRecord()
    frame = can.Message(arbitration_id=0x2A5, data=bytes(8), is_extended_id=False)
    heard = _microseconds(lambda: bus.received(frame))
    sent = _microseconds(lambda: bus.sent(0x155, bytes(8)))
    tick = _microseconds(lambda: loop.tick(ArmMode.HOLDING, None, arm, 0, ""))
    share = (heard * _RATE + sent * _OWN + tick * 100.0) * 1e-6
    return [
        f"a frame heard {heard:.2f} us, one sent {sent:.2f} us, a tick {tick:.1f} us: {share:.2%} of one core",
        f"memory of bus and loop: {memory / 1e6:.1f} MB",
    ]


def _microseconds(act: Callable[[], None], times: int = 50_000) -> float:
    began = time.perf_counter()
    for _ in range(times):
        act()
    return (time.perf_counter() - began) / times * 1e6
