"""The arm: it answers, its firmware is known, its motors complain about nothing. Nothing is moved or switched."""

from __future__ import annotations

import time

from tristage_ros.commands.doctor.finding import Finding, Level
from tristage_ros.devices.arm.piper import PiperDriver, PiperError

_FRAMES = 2500.0  # per second; a healthy arm sends about 3000
_HOT = 60.0  # deg C


def check_arm(interface: str, channel: str, timeout: float = 3.0) -> list[Finding]:
    """Connect to the arm, read for a second and leave."""
    driver = PiperDriver(interface, channel)
    try:
        driver.connect(timeout)
    except PiperError as error:
        return [
            Finding("arm", Level.FAIL, str(error), "power the arm, check the CAN cable, release its emergency stop")
        ]
    try:
        time.sleep(1.2)  # until the frame rate has been measured
        return [_firmware(driver), _status(driver), _rate(driver), _motors(driver), _gripper(driver)]
    finally:
        driver.close()


def _firmware(driver: PiperDriver) -> Finding:
    zero = "new" if driver.dh_is_offset else "old"
    return Finding("arm firmware", Level.OK, f"{driver.firmware}, {zero} zero of J2 and J3")


def _status(driver: PiperDriver) -> Finding:
    if complaint := driver.read().complaint(motors_off=False):
        return Finding("arm state", Level.FAIL, complaint, "start the graph and call /arm/recover, holding the arm")
    powered = sum(driver.read().motors_enabled)
    return Finding("arm state", Level.OK, f"normal, {powered} of 6 motors have power")


def _rate(driver: PiperDriver) -> Finding:
    feedback = driver.read()
    text = f"{feedback.frames_per_second:.0f} frames/s, {feedback.bus_load:.0%} of the bus"
    if feedback.frames_per_second < _FRAMES:
        return Finding("arm feedback", Level.WARN, text, "other bus traffic or a bad cable: about 3000/s are normal")
    return Finding("arm feedback", Level.OK, text)


def _motors(driver: PiperDriver) -> Finding:
    motors = driver.read().motors
    hottest = float(max(motors.motor_temperature.max(), motors.driver_temperature.max()))
    text = f"{motors.voltage.min():.1f} to {motors.voltage.max():.1f} V, at most {hottest:.0f} deg C"
    if trouble := motors.trouble():
        return Finding("motors", Level.FAIL, f"{trouble}; {text}", "let the arm cool down or check the power supply")
    if hottest > _HOT:
        return Finding("motors", Level.WARN, text, "let the arm cool down")
    return Finding("motors", Level.OK, text)


def _gripper(driver: PiperDriver) -> Finding:
    feedback = driver.read()
    text = f"opening {feedback.gripper * 1e3:.1f} mm"
    if not feedback.gripper_bits & 0x80:
        return Finding("gripper", Level.WARN, f"{text}, not homed", "call /arm/gripper_home before /arm/enable")
    return Finding("gripper", Level.OK, f"{text}, homed")
