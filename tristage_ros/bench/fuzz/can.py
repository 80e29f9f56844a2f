"""Frames of a CAN bus, as the arm's driver hears them: whatever comes, nothing is refused and nothing is thrown."""

from __future__ import annotations

import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tristage_ros.bench.fuzz.judge import Kind
from tristage_ros.devices.arm import flash, traffic
from tristage_ros.devices.arm.can_bus import OF_A_MASTER, permits
from tristage_ros.devices.arm.values import ArmFeedback, MotorHealth

FRAME = struct.Struct("<I8s")  # id and data
IDS = (
    *range(0x151, 0x15F),
    *range(0x251, 0x2B0),
    *range(0x2B0, 0x2D0),
    *range(0x3A0, 0x3B0),
    *range(0x470, 0x480),
    0x4AF,
)
BITS, ALARMS = 0x263, 0x2A1


def kinds(_: Path) -> dict[str, Kind]:
    """Return the kinds by name."""
    return {"frames": Kind(_frames(), _hear)}


def _frames() -> SearchStrategy[bytes]:
    one = st.builds(
        FRAME.pack,
        st.one_of(st.sampled_from(IDS), st.sampled_from(sorted(OF_A_MASTER)), st.integers(0, 2**29 - 1)),
        st.one_of(
            st.binary(min_size=8, max_size=8), st.sampled_from((bytes(8), b"\xff" * 8, b"\x7f" * 8, b"\x80" * 8))
        ),
    )
    return st.lists(one, max_size=40).map(b"".join)


def _hear(data: bytes) -> None:
    heard, limits = traffic.Traffic(0.0), flash.Flash()
    for number in range(len(data) // FRAME.size):
        identifier, content = FRAME.unpack_from(data, number * FRAME.size)
        heard.note(identifier, 0.05 * number)
        permits(identifier, content, for_person=False)
        motor, upper, lower, speed = struct.unpack_from(">BhhH", content)
        told = {"motor_num": motor, "max_angle_limit": upper, "min_angle_limit": lower, "max_joint_spd": speed}
        limits.take_angles(SimpleNamespace(**told))
        limits.take_acceleration(SimpleNamespace(joint_motor_num=motor, max_joint_acc=speed))
        _in_words(content)
    for ids in (heard.heard, set(heard.rates)):
        _lines(traffic.role(ids), traffic.beside(ids), traffic.ids(ids))
    traffic.group_rates(heard.rates)
    _lines(heard.role(), traffic.masters(heard.rates), flash.corrupt(limits.limits), flash.unusual(limits.limits))
    limits.missing()


def _in_words(content: bytes) -> None:
    """Put in words what the arm says of itself, whatever the bytes of its status are."""
    health, joints = MotorHealth(*[np.zeros(6)] * 4, bits=tuple(content[:6])), [np.zeros(6)] * 3
    status = content[6], content[7], int.from_bytes(content[:2], "big")
    arm = ArmFeedback(0.0, *joints, 0.0, 0.0, content[5], health, *status, frames_per_second=0.0, bus_load=0.0)
    _lines(arm.complaint(), arm.complaint(motors_off=False), arm.errors(), health.trouble(), arm.silent())


def _lines(*texts: str) -> None:
    assert all(text.isprintable() for text in texts), texts
