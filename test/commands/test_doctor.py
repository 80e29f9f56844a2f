from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
from fake_arm import FakeArm

from tristage_ros.cli import main
from tristage_ros.commands.doctor.arm import check_arm, judged
from tristage_ros.commands.doctor.bus import check_adapters, check_bus, check_listeners
from tristage_ros.commands.doctor.computer import (
    check_cameras,
    check_clock,
    check_folders,
    check_gpu,
    check_ros,
    check_shared_memory,
)
from tristage_ros.commands.doctor.doctor import examine, run
from tristage_ros.commands.doctor.finding import Finding, Level, Machine, ask
from tristage_ros.commands.doctor.leader import check_leader
from tristage_ros.commands.options import add_doctor_options
from tristage_ros.devices.arm.firmware import profile, trouble
from tristage_ros.devices.arm.gravity import holding_torque
from tristage_ros.devices.arm.weighing import weigh
from tristage_ros.resources import resource
from tristage_ros.simulation.frames import Frame


def machine(root: Path = Path("/"), answer: str | None = None, **environment: str) -> Machine:
    return Machine(root, lambda command: answer, environment)


def can(root: Path, state: str) -> None:
    (root / "sys/class/net/can0").mkdir(parents=True)
    (root / "sys/class/net/can0/operstate").write_text(f"{state}\n")


def link(bitrate: int | None, state: str = "ERROR-ACTIVE", *modes: str) -> str:
    data = {"state": state, "ctrlmode": list(modes), "bittiming": {"bitrate": bitrate} if bitrate else {}}
    return json.dumps([{"linkinfo": {"info_data": data}}])


@pytest.mark.parametrize(
    ("state", "answer", "level", "words"),
    [
        ("up", link(1_000_000), Level.OK, "up at 1000000"),
        ("up", link(500_000), Level.FAIL, "up at 500000 bit/s instead of 1000000"),
        ("down", link(1_000_000, "BUS-OFF"), Level.FAIL, "BUS-OFF: it has left the bus"),
        ("up", link(1_000_000, "ERROR-PASSIVE"), Level.FAIL, "nobody acknowledges"),
        ("up", link(1_000_000, "ERROR-WARNING"), Level.WARN, "damaged or not acknowledged"),
        ("up", link(1_000_000, "ERROR-ACTIVE", "LISTEN-ONLY"), Level.FAIL, "listen-only"),
        ("up", link(None, "ERROR-ACTIVE", "LISTEN-ONLY"), Level.FAIL, "listen-only"),
        ("unknown", link(1_000_000), Level.OK, "up at 1000000"),
        ("unknown", link(None), Level.WARN, "does not tell whether at 1000000 bit/s"),
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


def adapter(root: Path, kernel: str, interface: str = "") -> None:
    device = root / "sys/bus/usb/devices/1-2"
    device.mkdir(parents=True)
    (device / "idVendor").write_text("1d50\n")
    (device / "idProduct").write_text("606f\n")
    (root / "proc/sys/kernel").mkdir(parents=True)
    (root / "proc/sys/kernel/osrelease").write_text(f"{kernel}\n")
    if interface:
        (device.parent / "1-2:1.0/net" / interface).mkdir(parents=True)


def found_of_the_adapter(root: Path) -> Finding:
    (finding,) = check_adapters(machine(root), "can0")
    return finding


def test_an_adapter_without_its_module_says_how_to_get_it(tmp_path: Path) -> None:
    assert list(check_adapters(machine(tmp_path), "can0")) == []
    adapter(tmp_path, "5.15.136-tegra")
    jetson = found_of_the_adapter(tmp_path)
    assert jetson.level is Level.FAIL and "kernel 5.15.136-tegra has no module gs_usb" in jetson.text
    assert "CONFIG_CAN_GS_USB=m" in jetson.remedy and "JetPack 6" in jetson.remedy
    (tmp_path / "proc/sys/kernel/osrelease").write_text("6.8.0-45-generic\n")
    assert "linux-modules-extra-6.8.0-45-generic" in found_of_the_adapter(tmp_path).remedy
    modules = tmp_path / "lib/modules/6.8.0-45-generic"
    modules.mkdir(parents=True)
    (modules / "modules.dep").write_text("kernel/drivers/net/can/usb/gs_usb.ko.zst: kernel/drivers/net/can/dev.ko\n")
    assert found_of_the_adapter(tmp_path).remedy == "sudo modprobe gs_usb"
    (tmp_path / "sys/module/gs_usb").mkdir(parents=True)
    loaded = found_of_the_adapter(tmp_path)
    assert loaded.level is Level.FAIL and "there is no interface" in loaded.text


def test_an_adapter_with_another_interface_than_the_one_that_is_asked_for(tmp_path: Path) -> None:
    adapter(tmp_path, "5.15.136-tegra", "can1")
    assert found_of_the_adapter(tmp_path).level is Level.OK  # the missing can0 is a finding of its own
    can(tmp_path, "up")
    (tmp_path / "sys/bus/platform/drivers/mttcan").mkdir(parents=True)
    (tmp_path / "sys/class/net/can0/device").mkdir()
    (tmp_path / "sys/class/net/can0/device/driver").symlink_to(tmp_path / "sys/bus/platform/drivers/mttcan")
    other = found_of_the_adapter(tmp_path)
    assert other.level is Level.WARN and "can0 is another one, by mttcan" in other.text and "--can can1" in other.remedy


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
    home = {"HOME": str(tmp_path)}
    (near,) = check_ros(machine(ROS_DOMAIN_ID="7", ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST", **home))
    assert near.level is Level.OK
    assert "rmw_fastrtps_cpp, domain 7" in near.text
    (near,) = check_ros(machine(ROS_DISTRO="humble", ROS_LOCALHOST_ONLY="1", **home))
    assert near.text.startswith("humble, ")
    assert near.level is Level.OK
    for reach in ({}, {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT"}):
        _, far = check_ros(machine(**reach, **home))
        assert far.level is Level.WARN and "may command the arm" in far.text
        assert "ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST" in far.remedy
    _, far = check_ros(machine(ROS_DISTRO="humble", ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST", **home))
    assert far.level is Level.WARN and far.remedy.endswith("export ROS_LOCALHOST_ONLY=1")
    assert "ROS_AUTOMATIC_DISCOVERY_RANGE is set, which humble does not read" in far.text
    _, far = check_ros(machine(ROS_DISTRO="kilted", ROS_LOCALHOST_ONLY="1", **home))
    assert "ROS_LOCALHOST_ONLY is set, which kilted does not read" in far.text
    reach = {"ROS_DISTRO": "jazzy", "ROS_LOCALHOST_ONLY": "1"}
    _, domain = check_ros(machine(ROS_DOMAIN_ID="150", **reach, **home))
    assert domain.level is Level.WARN and "Linux gives" in domain.text


def test_variables_that_ros_would_end_on_are_told(tmp_path: Path) -> None:
    for wrong in ({"ROS_DOMAIN_ID": "abc"}, {"RMW_IMPLEMENTATION": "rmw_nobody_cpp"}, {"HOME": "/proc/nowhere"}):
        (found,) = check_ros(machine(**{"HOME": str(tmp_path), **wrong}))
        (value,) = wrong.values()
        assert found.level is Level.FAIL and value in found.text and found.remedy


def test_shared_memory_is_measured_against_what_the_nodes_take(tmp_path: Path) -> None:
    without = check_shared_memory(machine(Path("/proc/nowhere")))
    assert without.level is Level.FAIL and "--shm-size=256m" in without.remedy
    assert "the nodes take 56" in check_shared_memory(machine(tmp_path)).text
    assert "the nodes take 74" in check_shared_memory(machine(tmp_path), cameras=3).text


def test_folders_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (found,) = check_folders(machine(HOME=str(tmp_path)), tmp_path)
    assert found.level is Level.OK
    nowhere = Path("/proc/nowhere")
    names = [each.name for each in check_folders(machine(HOME=str(nowhere), TMPDIR=str(nowhere)), nowhere)]
    assert names == ["folder of runs", "folder of temporary files", "folder of black boxes"]


def examined(arm: FakeArm, timeout: float = 3.0) -> dict[str, Finding]:
    return {finding.name: finding for finding in check_arm("virtual", arm.channel, timeout)}


def test_arm_that_is_well(arm) -> None:
    found = examined(arm)
    assert found["arm firmware"].text == "S-V1.8-9, new zero of J2 and J3"
    assert "0 of 6 motors" in found["arm state"].text
    for name in ("motors", "arm role", "other masters", "limits in flash", "arm load"):
        assert found[name].level is Level.OK, found[name]
    assert "not weighed" in found["arm load"].text
    assert found["gripper"].remedy == "call /arm/gripper_home before /arm/enable"
    assert not any(name.startswith("frames") for name in found)
    assert not arm.setpoints().size
    assert arm.sent_ids() == {0x4AF, 0x472}


def test_arm_that_is_not(arm) -> None:
    arm.status, arm.firmware = 7, b"S-V1.8-6"
    arm.limits[2] = (-1, -1, 0xFFFF, 0xFFFF)  # an empty flash
    arm.omitted = {0x2A8}
    found = examined(arm)
    assert found["arm state"].level is Level.FAIL
    assert "collision" in found["arm state"].text
    assert found["arm firmware"].level is Level.WARN and "85 deg" in found["arm firmware"].text
    limits = found["limits in flash"]
    assert limits.level is Level.FAIL
    assert "motor 3: -0.1 to -0.1 deg, 65.535 rad/s, 655.35 rad/s²" in limits.text
    assert "param_setting=0x02" in limits.remedy
    assert found["frames: gripper"].level is Level.WARN and "0x2A8" in found["frames: gripper"].text
    assert arm.sent_ids() == {0x4AF, 0x472}
    (silent,) = check_arm("virtual", "nobody", timeout=0.2)
    assert silent.level is Level.FAIL
    assert "powered" in silent.text and "nothing at all is heard" in silent.text


def test_limits_that_are_narrow_or_not_told_are_to_be_considered(arm) -> None:
    arm.limits[0] = (-900, 1500, 500, 500)
    narrow = examined(arm)["limits in flash"]
    assert narrow.level is Level.WARN
    assert "motor 1: -90.0 to 150.0 deg instead of -150.0 to 150.0 deg, 0.5 instead of 3 rad/s" in narrow.text
    arm.tells_limits = False
    untold = examined(arm)["limits in flash"]
    assert untold.level is Level.WARN and "motor 1, 2, 3, 4, 5, 6 did not tell" in untold.text


@pytest.mark.parametrize(("offset", "ids"), [(0x10, "0x2B1"), (0x100, "0x3A1")])
def test_an_arm_with_shifted_ids_is_heard_and_named(arm, offset: int, ids: str) -> None:
    arm.shift = offset
    found = examined(arm, timeout=0.3)
    assert list(found) == ["arm role"]
    assert found["arm role"].level is Level.FAIL and f"shifted ids ({ids}" in found["arm role"].text
    assert "MasterSlaveConfig(0xFC, 0, 0, 0)" in found["arm role"].remedy
    assert arm.sent_ids() <= {0x4AF}


def test_a_leader_and_a_foreign_master_are_named(arm) -> None:
    arm.leads = True
    found = examined(arm, timeout=0.3)
    assert "in the role of a leader" in found["arm role"].text and "0x155 to 0x157" in found["arm role"].text
    arm.leads, arm.mode = False, 6
    arm.beside = ((0x155, bytes(8)), *((0x3A0 + k, bytes(8)) for k in (1, 5, 6, 7)))
    found = examined(arm)
    assert found["arm role"].level is Level.FAIL and "leads another arm" in found["arm role"].text
    assert found["other masters"].level is Level.FAIL and "0x155, " in found["other masters"].text
    arm.mode, arm.beside = 1, arm.beside[1:]
    other = examined(arm)["arm role"]
    assert other.level is Level.WARN and "another arm is on this bus (frames 0x3A1, 0x3A5 to 0x3A7)" in other.text


def test_slow_frames_are_named_by_their_group(arm) -> None:
    arm.rate = 60.0
    found = examined(arm)
    slow = found["frames: joint positions"]
    assert slow.level is Level.WARN and "instead of 200 Hz" in slow.text
    assert found["arm feedback"].level is Level.WARN


AT = np.array([0.0, 1.2, -1.0, 0.0, 0.9, 0.0])  # rad


@pytest.mark.parametrize(
    ("payload", "push", "level", "words"),
    [
        (0.0, np.zeros(6), Level.OK, "carries itself and nothing else"),
        (0.8, np.zeros(6), Level.OK, "carries about 0.8 kg"),
        (0.5, np.array([4.0, 0, 0, 0, 0, 0]), Level.WARN, "J1 +4.0 N m are no weight"),
        (0.0, np.array([0, 0, 0, 0, 2.0, 0]), Level.WARN, "J5 +"),
        (-0.6, np.zeros(6), Level.WARN, "0.6 kg less than it should"),
    ],
)
def test_what_the_arm_carries_is_weighed(payload: float, push: np.ndarray, level: Level, words: str) -> None:
    found = judged(weigh(AT, holding_torque(AT, payload=payload) + push))
    assert (found.level, words in found.text) == (level, True), found
    assert bool(found.remedy) == (level is not Level.OK)


def test_an_arm_that_tells_no_efforts_or_feels_no_payload_is_not_weighed() -> None:
    assert "no effort at all" in judged(weigh(AT, np.zeros(6))).text
    folded = np.array([0.0, 1.46, -2.9, 0.0, 0.0, 0.0])
    assert math.isnan(weigh(folded, holding_torque(folded)).payload)


def test_the_emulated_arm_is_weighed_where_it_holds() -> None:
    from tristage_ros.bench.arm.rig import Rig

    with Rig(tapped=False) as rig:
        rig.plant.payload = 1.0
        rig.enable()
        time.sleep(0.5)
        found = {finding.name: finding for finding in check_arm("virtual", rig.channel)}
    assert found["limits in flash"].level is Level.OK
    assert "carries about" in found["arm load"].text


@pytest.mark.parametrize(
    ("version", "words"),
    [("S-V1.8-2", "leaders"), ("S-V1.8-6", "85 deg"), ("S-V1.4-1", "older than"), ("S-V2.0-0", "newer than")],
)
def test_what_is_known_of_a_firmware_is_told(version: str, words: str) -> None:
    known = trouble(version)
    assert known is not None and words in known.what and known.remedy
    assert trouble("S-V1.8-9") is None
    assert "quarter" in profile("S-V1.8-2") and "quarter" not in profile("S-V1.8-3")


def test_a_line_fits_a_terminal_and_keeps_its_command_whole() -> None:
    command = "sudo ip link set can0 down && sudo ip link set can0 up type can bitrate 1000000"
    found = Finding("CAN interface can0", Level.FAIL, "word " * 40, f"first this {'and that ' * 10}; then: {command}")
    lines = found.line(80).split("\n")
    assert command in [line.strip() for line in lines]
    assert max(len(line) for line in lines if command not in line) <= 80
    assert found.line().count("\n") == 1


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


def test_a_leader_is_listened_to_and_what_is_wrong_with_it_told() -> None:
    from tristage_ros.bench.arm.rig import Rig

    with Rig(led=True) as rig:
        leader = rig.leader
        assert [f.level for f in check_leader("virtual", leader.channel)] == [Level.OK]
        leader.firmware.obey(Frame(0x470, bytes([0xFC, 0, 0, 0, 0, 0, 0, 0])))
        leader.firmware.restart()
        (follower,) = check_leader("virtual", leader.channel)
        assert follower.level is Level.FAIL and "is a follower" in follower.text
        leader.firmware.wire.silence(None)
        (silent,) = check_leader("virtual", leader.channel)
        assert silent.level is Level.WARN and "nothing is heard" in silent.text


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


def test_a_wrong_cameras_file_ends_with_2_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "mine.yaml"
    shipped = resource("config", "cameras.yaml").read_text(encoding="utf-8")
    file.write_text(shipped.replace("front:", "side cam:"), encoding="utf-8")
    assert main(["doctor", "--cameras-file", str(file)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {file}: cameras: a camera cannot be called 'side cam'")
    assert err.count("\n") == 1
