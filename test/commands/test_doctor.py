from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from tristage_ros.cli import main
from tristage_ros.commands.doctor import (
    Level,
    Machine,
    ask,
    check_arm,
    check_bus,
    check_cameras,
    check_clock,
    check_gpu,
    check_listeners,
    check_ros,
    check_shared_memory,
    examine,
    run,
)
from tristage_ros.commands.options import add_doctor_options
from tristage_ros.resources import resource


def machine(root: Path = Path("/"), answer: str | None = None, **environment: str) -> Machine:
    return Machine(root, lambda command: answer, environment)


def can(root: Path, state: str) -> None:
    (root / "sys/class/net/can0").mkdir(parents=True)
    (root / "sys/class/net/can0/operstate").write_text(f"{state}\n")


def link(bitrate: int, state: str = "ERROR-ACTIVE") -> str:
    return json.dumps([{"linkinfo": {"info_data": {"state": state, "bittiming": {"bitrate": bitrate}}}}])


@pytest.mark.parametrize(
    ("state", "answer", "level", "words"),
    [
        ("up", link(1_000_000), Level.OK, "up at 1000000"),
        ("up", link(500_000), Level.FAIL, "up at 500000 bit/s instead of 1000000"),
        ("up", link(1_000_000, "BUS-OFF"), Level.FAIL, "BUS-OFF"),
        ("up", None, Level.WARN, "its bit rate is unknown"),
        ("up", "[]", Level.WARN, "its bit rate is unknown"),
        ("down", link(1_000_000), Level.FAIL, "down"),
    ],
)
def test_bus(tmp_path: Path, state: str, answer: str | None, level: Level, words: str) -> None:
    can(tmp_path, state)
    finding = check_bus(machine(tmp_path, answer), "can0")
    assert (finding.level, words in finding.text) == (level, True)
    assert bool(finding.remedy) == (level is not Level.OK)


def test_who_else_has_the_channel_open_is_to_be_considered(tmp_path: Path) -> None:
    assert check_listeners(machine(tmp_path), "can0") == []
    lists = tmp_path / "proc/net/can"
    lists.mkdir(parents=True)
    (lists / "rcvlist_all").write_text("\nreceive list 'rx_all':\n  (any: no entry)\n  (can0: no entry)\n\n")
    (nobody,) = check_listeners(machine(tmp_path), "can0")
    assert nobody.level is Level.OK
    with (lists / "rcvlist_all").open("a") as written:
        written.write("   can0      000    00000000  00000000aaaaaaaa  00000000bbbbbbbb        12  raw\n")
    (finding,) = check_listeners(machine(tmp_path), "can0")
    assert finding.level is Level.WARN and "1 other receiver on can0 (1 raw)" in finding.text
    assert "ss and fuser do not show it" in finding.remedy


def test_a_missing_bus_names_the_others_and_the_command(tmp_path: Path) -> None:
    assert "gs_usb" in check_bus(machine(tmp_path), "can7").text
    can(tmp_path, "up")
    finding = check_bus(machine(tmp_path), "can7")
    assert "there are: can0" in finding.text
    assert finding.remedy == "sudo ip link set can7 up type can bitrate 1000000"


def camera(root: Path, number: int, speed: str, readable: bool = True) -> None:
    device = root / f"sys/bus/usb/devices/2-{number}"
    device.mkdir(parents=True)
    attributes = {"idVendor": "8086", "product": "Intel(R) RealSense(TM) Depth Camera 435", "serial": f"12{number}"}
    for name, value in (attributes | {"speed": speed, "busnum": "2", "devnum": str(number)}).items():
        (device / name).write_text(f"{value}\n")
    if readable:
        node = root / f"dev/bus/usb/002/{number:03d}"
        node.parent.mkdir(parents=True, exist_ok=True)
        node.touch()


def test_cameras(tmp_path: Path) -> None:
    camera(tmp_path, 1, "5000")
    camera(tmp_path, 2, "480")
    camera(tmp_path, 3, "5000", readable=False)
    (tmp_path / "sys/bus/usb/devices/usb1").mkdir()
    fast, slow, closed = check_cameras(machine(tmp_path))
    assert (fast.level, "serial 121" in fast.name) == (Level.OK, True)
    assert (slow.level, "USB 2" in slow.text) == (Level.FAIL, True)
    assert (closed.level, "permission" in closed.text, "udev" in closed.remedy) == (Level.FAIL, True, True)
    assert "3 of 4 RealSense" in check_cameras(machine(tmp_path), 4)[0].text


@pytest.mark.parametrize(
    ("check", "answer", "level"),
    [
        (check_clock, "yes\n", Level.OK),
        (check_clock, "no\n", Level.WARN),
        (check_clock, None, Level.WARN),
        (check_gpu, "NVIDIA RTX 4090, 23000\n", Level.OK),
        (check_gpu, "NVIDIA RTX 3060, 11000\n", Level.WARN),
        (check_gpu, None, Level.WARN),
    ],
)
def test_clock_and_gpu(check, answer: str | None, level: Level) -> None:
    finding = check(machine(answer=answer))
    assert finding.level is level
    assert bool(finding.remedy) == (level is not Level.OK)


def test_ros_is_here_and_its_reach_is_told(tmp_path: Path) -> None:
    (near,) = check_ros(machine(ROS_DOMAIN_ID="7", ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST"))
    assert near.level is Level.OK
    assert "domain 7" in near.text
    (near,) = check_ros(machine(ROS_DISTRO="humble", ROS_LOCALHOST_ONLY="1"))
    assert near.level is Level.OK
    for reach in ({}, {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT"}):
        _, far = check_ros(machine(**reach))
        assert far.level is Level.WARN and "may command the arm" in far.text
        assert "ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST" in far.remedy
    _, far = check_ros(machine(ROS_DISTRO="humble", ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST"))
    assert far.level is Level.WARN and far.remedy.endswith("export ROS_LOCALHOST_ONLY=1")
    assert check_shared_memory(machine(tmp_path)).level is Level.FAIL


def test_arm_that_is_well(arm) -> None:
    found = {finding.name: finding for finding in check_arm("virtual", arm.channel)}
    assert found["arm firmware"].text == "S-V1.8-9, new zero of J2 and J3"
    assert "0 of 6 motors" in found["arm state"].text
    assert found["motors"].level is Level.OK
    assert found["gripper"].remedy == "call /arm/gripper_home before /arm/enable"
    assert not arm.setpoints().size
    assert arm.sent_ids() == {0x4AF}


def test_arm_that_is_not(arm) -> None:
    arm.status = 7
    found = {finding.name: finding for finding in check_arm("virtual", arm.channel)}
    assert found["arm state"].level is Level.FAIL
    assert "collision" in found["arm state"].text
    (silent,) = check_arm("virtual", "nobody", timeout=0.2)
    assert silent.level is Level.FAIL
    assert "powered" in silent.text


def test_the_command_prints_what_to_do_and_fails(arm, tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    add_doctor_options(parser)
    lines: list[str] = []
    assert run(parser.parse_args(["--interface", "virtual", "--can", arm.channel, "--cameras", "9"]), lines.append) == 1
    assert any(line.startswith("fail  cameras") and "do: plug them in" in line for line in lines)
    assert any("arm firmware: S-V1.8-9" in line for line in lines)
    assert "to mend before the first motion" in lines[-1]
    names = [finding.name for finding in examine(machine(tmp_path), "socketcan", "can0", 0)]
    assert names[-1] == "CAN interface can0"  # without a bus nobody looks for the arm


def test_commands_that_are_missing_or_fail_say_nothing() -> None:
    assert ask(["true"]) == ""
    assert ask(["false"]) is None
    assert ask(["no-such-command-at-all"]) is None


def doctor(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_doctor_options(parser)
    return parser.parse_args(arguments)


def test_a_site_is_told_and_nothing_else_is_looked_at() -> None:
    lines: list[str] = []
    assert run(doctor("--site", str(resource("config", "sites", "raised_table.yaml"))), lines.append) == 0
    assert any("table 0.05 m high; keep-out boxes: the shelf [0.1, 0.42, 0.05]" in line for line in lines)
    assert "tool at most 0.25 m/s" in lines[-1]


def test_a_wrong_site_ends_the_command_with_2_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "site.yaml"
    shipped = resource("config", "site.yaml").read_text(encoding="utf-8")
    file.write_text(shipped.replace("mass: 0.0", "mass: 2.0"), encoding="utf-8")
    assert main(["doctor", "--site", str(file)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert (
        err
        == f"error: {file}: payload.mass is 2.0; write a number from 0 to 1.5, kg, what the gripper carries at most\n"
    )
