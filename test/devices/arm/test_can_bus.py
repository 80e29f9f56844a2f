"""Which CAN interface of the kernel the driver opens."""

import pytest

from tristage_ros.devices.arm import can_bus


@pytest.mark.parametrize("state", ["up", "unknown"])  # what slcan and others leave at unknown is up as well
def test_an_interface_that_is_up_is_opened(tmp_path, monkeypatch, state):
    monkeypatch.setattr(can_bus, "INTERFACES", tmp_path)
    (tmp_path / "can0").mkdir()
    (tmp_path / "can0" / "operstate").write_text(f"{state}\n")
    assert can_bus.socketcan_trouble("can0") == ""


@pytest.mark.parametrize("state", ["down", "dormant"])
def test_one_that_is_not_is_named_with_what_to_type(tmp_path, monkeypatch, state):
    monkeypatch.setattr(can_bus, "INTERFACES", tmp_path)
    assert "there is no CAN interface can0" in can_bus.socketcan_trouble("can0")
    (tmp_path / "can0").mkdir()
    (tmp_path / "can0" / "operstate").write_text(f"{state}\n")
    assert f"can0 is {state}; bring it up with: sudo ip link set can0 up" in can_bus.socketcan_trouble("can0")
