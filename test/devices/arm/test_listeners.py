"""Who else has a CAN channel open, from text as the kernel writes it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tristage_ros.devices.arm.clock import ArmClock
from tristage_ros.devices.arm.controller import ArmController
from tristage_ros.devices.arm.listeners import company, receivers
from tristage_ros.devices.arm.traffic import Traffic

from .test_motion import Bench

TITLE = "  device   can_id   can_mask  function  userdata   matches  ident\n"
OURS, OTHER, HIDDEN = "00000000a1b2c3d4", "00000000e5f60718", "0" * 16


def row(device: str, socket: str, identifier: int = 0, mask: int = 0, kind: str = "raw", matches: int = 4711) -> str:
    """Write a line as net/can/proc.c does: an identifier of 29 bits has its flag set and eight digits."""
    if identifier & 0x80000000:
        return f"   {device:<5}  {identifier:08x}  {mask:08x}  {'f' * 16}  {socket}  {matches:8d}  {kind}\n"
    return f"   {device:<5}     {identifier:03x}    {mask:08x}  {'f' * 16}  {socket}  {matches:8d}  {kind}\n"


def write(folder: Path, name: str, *rows: str) -> None:
    lines = TITLE + "".join(rows) if rows else "  (can0: no entry)\n"
    (folder / f"rcvlist_{name}").write_text(f"\nreceive list 'rx_{name}':\n  (any: no entry)\n{lines}\n")


def test_where_the_kernel_says_nothing_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert receivers("can0", tmp_path) is None and company("can0", 1, tmp_path) == ""


def test_our_own_socket_is_no_company(tmp_path: Path) -> None:
    write(tmp_path, "all", row("can0", OURS))
    write(tmp_path, "fil")
    assert receivers("can0", tmp_path) == {"raw": 1} and company("can0", 1, tmp_path) == ""


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("all", row("can0", OTHER)),
        ("all", row("any", OTHER)),
        ("all", row("can0", HIDDEN)),
        ("fil", row("can0", OTHER, 0x2A0, 0x7F0)),
        ("inv", row("can0", OTHER, 0x2A1, 0x7FF)),
        ("sff", row("can0", OTHER, 0x2A1, 0xC00007FF)),
        ("eff", row("can0", OTHER, 0x80000123, 0xDFFFFFFF)),
    ],
)
def test_another_socket_is_seen_in_whichever_list_it_is(tmp_path: Path, name: str, line: str) -> None:
    write(tmp_path, "all", row("can0", OURS), *([line] if name == "all" else []))
    if name != "all":
        write(tmp_path, name, line)
    assert company("can0", 1, tmp_path).startswith("1 other receiver on can0 (1 raw)")


def test_a_socket_with_many_filters_is_one_and_another_kind_is_named(tmp_path: Path) -> None:
    write(tmp_path, "all", row("can0", OURS), row("can1", OTHER))
    filters = [row("can0", OTHER, identifier, 0xC00007FF) for identifier in range(0x2A1, 0x2A9)]
    write(tmp_path, "sff", *filters, row("can0", "00000000deadbeef", 0x155, 0xC00007FF, "bcm"))
    assert receivers("can0", tmp_path) == {"raw": 2, "bcm": 1}
    assert "2 other receivers on can0 (1 bcm, 1 raw)" in company("can0", 1, tmp_path)
    assert receivers("can1", tmp_path) == {"raw": 1}


def test_lines_that_are_none_count_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "rcvlist_all").write_text(f"can0\n{TITLE}can0 a b c d e f\n\n")
    assert receivers("can0", tmp_path) == {}


@pytest.mark.parametrize(
    ("answer", "others", "words"),
    [
        ((True, "motors on"), "1 other receiver on can0", "motors on; 1 other receiver on can0"),
        ((True, "motors on"), "", "motors on"),
        ((False, "fault"), "1 other receiver on can0", "fault"),
    ],
)
def test_enabling_names_who_listens_and_is_not_refused_for_it(monkeypatch, answer, others: str, words: str) -> None:
    driver = SimpleNamespace(dh_is_offset=True, read=lambda: Bench(on=False).feedback, listeners=lambda: others)
    driver.limits, driver.traffic, driver.clock = (), Traffic(0.0), ArmClock()
    monkeypatch.setattr(ArmController, "_enable", lambda self: answer)
    assert ArmController(driver).enable() == (answer[0], words)
