"""How fast every fault of the table is answered: `python -m tristage_ros.bench.arm reactions`."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable

from tristage_ros.bench.arm import faults
from tristage_ros.bench.arm.faults import FAULTS, Fault
from tristage_ros.bench.arm.rig import Rig

TEST = "test_faults.py::test_fault"
NOT_A_FAULT = ("CAN drops 10 %", "policy killed mid-chunk")  # nothing has to be noticed: the way is finished


def measure(repetitions: int) -> Iterable[tuple[str, str, str, float]]:
    """Provoke every fault `repetitions` times; yield its name, the answer, its test and the median reaction, s."""
    for fault in FAULTS:
        yield (
            fault.name,
            fault.answer,
            f"{TEST}[{fault.name}]",
            _median(repetitions, lambda fault=fault: _during(fault)),
        )
    yield (
        "enable refused",
        "gives up after 3 s, names the motors that stayed off; sends nothing more",
        "test_faults.py::test_enable_refused",
        _median(repetitions, _enable_refused),
    )
    yield (
        "firmware unknown",
        "does not connect: nobody knows where J2 and J3 have their zero",
        "test_faults.py::test_firmware_unknown",
        _median(1, faults.firmware_unknown),
    )
    yield (
        "Ctrl-C while moving",
        "slows down along the path, holds, disconnects; the motors stay on",
        "test_faults.py::test_interrupted_in_motion, test_arm_process.py",
        _median(repetitions, _interrupted),
    )


def table(repetitions: int) -> str:
    """Return the fault table in Markdown."""
    rows = ["| fault | answer | test | reaction |", "|---|---|---|---|"]
    for name, answer, test, seconds in measure(repetitions):
        told = f"{seconds * 1e3:.0f} ms" if seconds >= 1e-3 else "< 1 ms"
        reaction = "-" if name in NOT_A_FAULT else told
        rows.append(f"| {name} | {answer} | `{test}` | {reaction} |")
    return "\n".join(rows)


def _median(repetitions: int, once: Callable[[], float]) -> float:
    return statistics.median(once() for _ in range(repetitions))


def _during(fault: Fault) -> float:
    with Rig(tapped=False) as rig:
        rig.enable()
        return faults.provoke(rig, fault)


def _enable_refused() -> float:
    with Rig(tapped=False) as rig:
        return faults.enable_refused(rig)


def _interrupted() -> float:
    with Rig(tapped=False) as rig:
        rig.enable()
        return faults.interrupted(rig)
