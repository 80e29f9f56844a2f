"""The arm's measurements: that they measure, and that the published table is the one that the code provokes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tristage_ros.bench.arm import lead
from tristage_ros.bench.arm.faults import FAULTS
from tristage_ros.bench.arm.jitter import JITTER, KINDS, jittered, over_all
from tristage_ros.bench.arm.reactions import NOT_A_FAULT, TEST
from tristage_ros.bench.arm.soak import Sample, growth, soak
from tristage_ros.bench.arm.stream import stream
from tristage_ros.devices.arm.smoothness import Smoothness

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "arm.md"


def samples(memory: float = 0.0, threads: float = 0.0, files: float = 0.0) -> list[Sample]:
    """Return twenty samples that grow by so much each time."""
    return [Sample(i, int(1e8 + i * memory), int(4 + i * threads), int(6 + i * files)) for i in range(20)]


@pytest.mark.parametrize(
    ("grows", "words"),
    [
        ({}, ""),
        ({"memory": 1e5}, ""),
        ({"memory": 2e6}, "memory by"),
        ({"threads": 0.3}, "threads"),
        ({"files": 1}, "files"),
    ],
)
def test_growth_is_found(grows: dict[str, float], words: str) -> None:
    found = growth(samples(**grows))
    assert words in found
    assert bool(found) == bool(words)


@pytest.mark.long
def test_a_short_soak_moves_the_arm_and_tells_how_much_it_uses() -> None:
    lines: list[str] = []
    soak(6.0, lines.append)
    assert "threads" in lines[0]
    assert int(lines[-1].split()[-2]) >= 1  # a loaded machine has no time for more


def test_streaming_is_measured_on_the_bus() -> None:
    measured = stream(6.0, rate=50.0)
    assert 20.0 < measured.rate < 51.0
    assert 0.0 < measured.error < measured.largest_error < 0.25
    assert 0.0 <= measured.lag < 0.3
    assert 0.0 < measured.processor < 1.0
    assert all(moved.variation > 2.0 and moved.reversals < 0.2 for moved in (measured.targets, measured.measured))
    assert np.isfinite([measured.jitter, measured.jitter_99]).all()


def test_how_closely_a_leader_is_followed_is_measured_on_both_buses() -> None:
    header, ruler, *rows = lead.table(1.0)
    assert len(rows) == 3 and header.count("|") == ruler.count("|") == rows[0].count("|")
    late, median, largest, behind = (float(cell.split()[0]) for cell in rows[1].split("|")[2:6])
    assert -50.0 <= late < behind < 400.0 and 0.0 < median <= largest < 500.0


@pytest.mark.long
def test_jitter_of_a_policy_is_seen_in_what_it_wishes_and_in_what_the_arm_does() -> None:
    moved = jittered(KINDS[1], JITTER, 5.0)
    assert moved.chunks >= 5  # a loaded machine has no time for more
    assert moved.wished.reversals > 0.1 and moved.wished.jerk > 2.0 * moved.targets.jerk > 0.0
    assert moved.targets.variation < moved.wished.variation
    assert moved.measured.variation > 0.5
    assert "timed actions for 5 s, 5 chunks/s, jitter 5 mm" in moved.lines()[0]


def test_windows_that_follow_one_another_add_up() -> None:
    whole = over_all([Smoothness(0.1, 2.0, 3.0), Smoothness(0.3, 1.0, 4.0)])
    assert (whole.reversals, whole.variation, whole.jerk) == pytest.approx((0.2, 3.0, np.sqrt(12.5)))


def test_the_published_table_has_every_fault_with_its_test() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    for fault in FAULTS:
        (row,) = [row for row in rows if row.startswith(f"| {fault.name} |")]
        assert f"`{TEST}[{fault.name}]`" in row
        assert fault.answer in row
        told = row.split("|")[4].strip()
        assert told == "-" if fault.name in NOT_A_FAULT else " ms" in told
