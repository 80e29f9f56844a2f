"""Every fault of the table, provoked on the emulated arm behind the real SDK."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from tristage_ros.bench.arm.faults import (
    FAR,
    FAULTS,
    Fault,
    enable_refused,
    interrupted,
    provoke,
)
from tristage_ros.bench.arm.rig import Rig
from tristage_ros.devices.arm.controller import ControllerConfig
from tristage_ros.devices.arm.guard import GuardConfig
from tristage_ros.devices.arm.piper import PiperError
from tristage_ros.devices.arm.values import ArmMode, ChunkState
from tristage_ros.simulation.controller import OLD_SOFTWARE, SOFTWARE

# a computer under load schedules late; these tests are about what happens, not about when
CONFIG = ControllerConfig(guard=GuardConfig(stale_after=0.15, gap_after=0.3, lost_after=1.0, command_timeout=0.3))
CONFIG = replace(CONFIG, chunks=replace(CONFIG.chunks, max_age=1.5))


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Rig(CONFIG) as rig:
        yield rig
        assert_harmless(rig)


def assert_harmless(rig: Rig) -> None:
    """Nothing that drops the arm was sent, and no set-point stepped farther than the velocity limit allows.

    Except to where an arm is that was out of sight: there it stays.
    """
    assert {identifier for _, identifier, _ in rig.tap.frames} <= {0x151, 0x155, 0x156, 0x157, 0x159, 0x471}
    targets = rig.tap.setpoints()[:, 1:]
    steps = np.abs(np.diff(targets, axis=0)).max(axis=1, initial=0.0)
    leaps = targets[1:][steps > CONFIG.guard.max_velocity * 0.02 + 1e-4]
    assert len(leaps) <= 1 and (np.abs(leaps - rig.state().position) < 0.02).all()


def still(rig: Rig) -> None:
    """Wait until the targets stand still, and see them do so."""
    rig.until(lambda state: state.mode is not ArmMode.MOVING)
    rig.until(lambda state: bool(np.abs(state.velocity).max() < 0.05))
    end = time.monotonic() + 20.0
    while True:
        rows = rig.tap.setpoints()
        recent = rows[rows[:, 0] > time.monotonic() - 0.3, 1:]
        if not len(recent) or not np.ptp(recent, axis=0).any():
            return
        assert time.monotonic() < end, "the set-points do not come to rest"
        time.sleep(0.05)


def flange(rig: Rig) -> np.ndarray:
    """Return where the wrist camera really is, which no firmware's idea of zero moves."""
    return rig.cell.capture()["wrist"].camera.pose[:3, 3]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault(rig: Rig, fault: Fault) -> None:
    rig.enable()
    provoke(rig, fault)
    state = rig.state()
    assert fault.words in f"{state.reason} {state.chunk_reason}"
    if not fault.latched:
        fault.undo(rig)
        still(rig)
        rig.until(lambda state: state.feedback_age < 0.1)
        while not (done := rig.submit((0.0, -0.02, 0.0)))[0]:
            assert "before a gap ended" in done[1], done
        rig.until(lambda state: state.chunk_state is ChunkState.REACHED)
        return
    rig.until(lambda state: state.mode is ArmMode.FAULT)
    fault.undo(rig)
    assert not rig.submit(FAR)[0]
    assert rig.state().mode is ArmMode.FAULT, "a fault must not clear itself"
    assert not rig.controller.enable()[0]
    rig.until(lambda state: state.feedback_age < 0.1)
    told = rig.state().feedback.stamp  # the motors' own states come a little later
    rig.until(lambda state: state.feedback.stamp > told + 0.2)
    now = rig.state()
    if now.feedback.follows_targets and not fault.silent:
        rig.until(lambda state: state.setpoints_sent > now.setpoints_sent + 20)
        still(rig)
    else:
        rig.until(lambda state: state.stamp > now.stamp + 0.3)
        assert rig.state().setpoints_sent == now.setpoints_sent


@pytest.mark.parametrize("firmware", [SOFTWARE, OLD_SOFTWARE])
def test_both_generations_of_firmware_reach_what_they_are_asked_for(firmware: str) -> None:
    with Rig(CONFIG, firmware) as rig:
        before = flange(rig)  # rendering for the first time takes a while
        rig.enable()
        done, reason = rig.submit((0.02, 0.05, -0.04))
        assert done, reason
        rig.until(lambda state: state.chunk_state is ChunkState.REACHED)
        rig.until(lambda state: bool(np.abs(state.velocity).max() < 0.01))
        np.testing.assert_allclose(flange(rig) - before, (0.02, 0.05, -0.04), atol=3e-3)


def test_enable_refused(rig: Rig) -> None:
    assert enable_refused(rig) > 0.0
    assert rig.state().mode is ArmMode.DISABLED
    sent = len(rig.tap.setpoints())
    rig.until(lambda state: state.feedback.stamp > rig.state().stamp - 1.0)
    assert len(rig.tap.setpoints()) == sent


@pytest.mark.parametrize("version", ["S-V1.8_9", *(pytest.param(v, marks=pytest.mark.long) for v in ("", "H-V2.0-1"))])
def test_firmware_unknown(version: str) -> None:
    before = set(threading.enumerate())
    with pytest.raises(PiperError, match="firmware version"):
        Rig(firmware=version)
    assert set(threading.enumerate()) == before


def test_interrupted_in_motion(rig: Rig) -> None:
    rig.enable()
    interrupted(rig)
    last = rig.tap.setpoints()[-3:, 1:]
    assert np.ptp(last, axis=0).max() < 2e-3
    rig.controller = rig.connect()
    assert all(rig.state().feedback.motors_enabled)
    assert rig.state().mode is ArmMode.DISABLED


def test_feedback_that_cannot_be_true_leads_nothing(rig: Rig) -> None:
    """Frozen, it says that the arm is where it was: to let go towards that would be to drive back."""
    frozen = next(fault for fault in FAULTS if fault.name.startswith("feedback frozen"))
    rig.enable()
    provoke(rig, frozen)
    time.sleep(0.5)
    held = rig.state().target
    time.sleep(1.0)
    np.testing.assert_array_equal(rig.state().target, held)
    frozen.undo(rig)
