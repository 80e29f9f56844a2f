"""The arm itself: whose it is, its firmware, the limits in its flash, its frames, its motors, and what it carries.

It is listened to, and asked for its version and its limits: two queries that change nothing. Nothing else is sent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np

from tristage_ros.commands.doctor.finding import Finding, Level
from tristage_ros.devices.arm import firmware, flash, traffic
from tristage_ros.devices.arm.piper import PiperDriver, PiperError
from tristage_ros.devices.arm.values import LEADING
from tristage_ros.devices.arm.weighing import NOTHING, Weighing, weigh

_LISTENS = 1.2  # s, until whole windows of frames were counted
_FRAME_RATE = 2500.0  # per second; a healthy arm sends about 3000
_FULL = 0.8  # of what the bus can carry
_SLOW = 0.5  # of a group's normal rate
_HOT = 60.0  # deg C
_AT_REST = 0.01  # rad that joints at rest may move while they are weighed
_SAMPLE = 0.02  # s
_CABLE = "power the arm, check the CAN cable, release its emergency stop"


def check_arm(interface: str, channel: str, timeout: float = 3.0) -> list[Finding]:
    """Connect to the arm, listen for a while, ask for version and limits, and leave."""
    driver = PiperDriver(interface, channel)
    try:
        driver.connect(timeout)
    except PiperError as error:
        return list(_not_understood(driver, str(error)))
    try:
        weighed = _weigh(driver)
        driver.read_limits()
        return [
            *_roles(driver),
            _firmware(driver),
            _limits(driver),
            _arm_state(driver),
            *_frames(driver),
            _motors(driver),
            weighed,
            _gripper(driver),
        ]
    except PiperError as error:
        return [Finding("arm", Level.FAIL, str(error), _CABLE)]
    finally:
        driver.close()


def _not_understood(driver: PiperDriver, error: str) -> Iterator[Finding]:
    heard = driver.traffic
    if role := heard.role():
        yield Finding("arm role", Level.FAIL, role, traffic.MAKE_FOLLOWER)
        return
    told = f"; heard are {traffic.ids(heard.heard)}" if heard.heard else "; nothing at all is heard"
    yield Finding("arm", Level.FAIL, f"{error}{told}", _CABLE)


def _roles(driver: PiperDriver) -> Iterator[Finding]:
    """Say whose the arm is: a leader, beside another one, or somebody's who commands it."""
    rates = driver.traffic.rates
    if driver.read().control_mode == LEADING:
        text = "it says that it leads another arm (control mode 6)"
        yield Finding("arm role", Level.FAIL, text, traffic.MAKE_FOLLOWER)
    elif other := traffic.beside(rates):
        yield Finding("arm role", Level.WARN, other, "give each arm a CAN channel of its own")
    else:
        yield Finding("arm role", Level.OK, "not a leader, the usual ids")
    if masters := traffic.masters(rates):
        text = f"somebody else commands the arm ({masters})"
        remedy = "end that program, on whichever computer, or unplug the leader: /arm/enable refuses while it is heard"
        yield Finding("other masters", Level.FAIL, text, remedy)
    else:
        yield Finding("other masters", Level.OK, "none heard on the bus")


def _firmware(driver: PiperDriver) -> Finding:
    text = f"{driver.firmware}, {firmware.profile(driver.firmware)}"
    if trouble := firmware.trouble(driver.firmware):
        return Finding("arm firmware", Level.WARN, f"{text}; {trouble.what}", trouble.remedy)
    return Finding("arm firmware", Level.OK, text)


def _limits(driver: PiperDriver) -> Finding:
    name, limits = "limits in flash", driver.limits
    if wrong := flash.corrupt(limits):
        return Finding(name, Level.FAIL, f"these are none: {wrong}", flash.RESTORE)
    if silent := [str(k + 1) for k, motor in enumerate(limits) if not motor.told]:
        remedy = "run this again; firmware that never tells them cannot be checked"
        return Finding(name, Level.WARN, f"motor {', '.join(silent)} did not tell its limits", remedy)
    if narrower := flash.unusual(limits):
        remedy = f"if nobody meant that: {flash.RESTORE}; else write the same angles into the site file"
        return Finding(name, Level.WARN, f"narrower than the manufacturer's: {narrower}", remedy)
    return Finding(name, Level.OK, "angles, speeds and accelerations as the manufacturer sets them, or wider")


def _arm_state(driver: PiperDriver) -> Finding:
    if complaint := driver.read().complaint(motors_off=False):
        return Finding("arm state", Level.FAIL, complaint, "start the graph and call /arm/recover, holding the arm")
    powered = sum(driver.read().motors_enabled)
    return Finding("arm state", Level.OK, f"normal, {powered} of 6 motors have power")


def _frames(driver: PiperDriver) -> Iterator[Finding]:
    heard = driver.traffic
    text = f"{heard.frames_per_second:.0f} frames/s, {heard.load:.0%} of the bus"
    if heard.load > _FULL:
        remedy = "one arm to a bus; end what else sends on it: late frames slow the arm down"
        yield Finding("arm feedback", Level.WARN, f"{text}: nearly full", remedy)
    elif heard.frames_per_second < _FRAME_RATE:
        yield Finding("arm feedback", Level.WARN, text, "other bus traffic or a bad cable: about 3000/s are normal")
    else:
        yield Finding("arm feedback", Level.OK, text)
    for name, rate in traffic.group_rates(heard.rates).items():
        usual = traffic.NORMAL_RATE[name]
        if rate == 0.0:
            level = Level.WARN if name == "gripper" else Level.FAIL
            remedy = "without a gripper fine, else plug its cable in" if name == "gripper" else _CABLE
            yield Finding(f"frames: {name}", level, f"missing ({traffic.ids(traffic.GROUPS[name])})", remedy)
        elif rate < _SLOW * usual:
            text, remedy = f"{rate:.0f} instead of {usual:.0f} Hz", "a busy computer or bus, or a bad cable"
            yield Finding(f"frames: {name}", Level.WARN, text, remedy)


def _motors(driver: PiperDriver) -> Finding:
    motors = driver.read().motors
    hottest = float(max(motors.motor_temperature.max(), motors.driver_temperature.max()))
    text = f"{motors.voltage.min():.1f} to {motors.voltage.max():.1f} V, at most {hottest:.0f} deg C"
    if trouble := motors.trouble():
        return Finding("motors", Level.FAIL, f"{trouble}; {text}", "let the arm cool down or check the power supply")
    if hottest > _HOT:
        return Finding("motors", Level.WARN, text, "let the arm cool down")
    return Finding("motors", Level.OK, text)


# What it carries, by its efforts over the time in which it is listened to anyway.


def _weigh(driver: PiperDriver) -> Finding:
    """Listen for a while; say what the arm carries, if its motors hold it."""
    joints, efforts, until = [], [], time.monotonic() + _LISTENS
    while time.monotonic() < until:
        arm = driver.read()
        joints.append(arm.position)
        efforts.append(arm.effort)
        time.sleep(_SAMPLE)
    name = "arm load"
    if not all(arm.motors_enabled):
        text = "not weighed: not all motors have power"
        return Finding(
            name, Level.OK, f"{text}. To weigh it: /arm/enable, end the graph (the arm holds), run this again"
        )
    if float(np.ptp(joints, axis=0).max()) > _AT_REST:
        return Finding(name, Level.WARN, "not weighed: the arm moves", "let it rest, and run this again")
    return judged(weigh(np.mean(joints, axis=0), np.mean(efforts, axis=0), driver.dh_is_offset))


def judged(weighing: Weighing) -> Finding:
    """Say what an arm at rest carries, and at which joint that does not explain the effort."""
    name, payload = "arm load", weighing.payload
    if weighing.silent:
        remedy = "read its release notes: without efforts contact and wrong encoders are not noticed"
        return Finding(name, Level.WARN, "the motors tell no effort at all, though they hold the arm", remedy)
    if math.isnan(payload):
        carries = "as it stands, a payload is not felt"
    elif abs(payload) <= NOTHING:
        carries = f"carries itself and nothing else that is felt ({payload:+.2f} kg at the tool)"
    else:
        carries = f"carries about {payload:.1f} kg at the tool"
    if joints := weighing.pressed():
        left = ", ".join(f"J{k + 1} {weighing.left[k]:+.1f} N m" for k in joints)
        text = f"{carries}; {left} are no weight (told {_each(weighing.effort)}, its own {_each(weighing.own)})"
        remedy = "take away what presses on it; else the zero of that joint or the firmware's torque is another"
        return Finding(name, Level.WARN, text, remedy)
    if payload < -NOTHING:
        remedy = "take away what holds it up; else the zero of J2 or J3 or the firmware's torque is another"
        return Finding(name, Level.WARN, f"it weighs {-payload:.1f} kg less than it should", remedy)
    return Finding(name, Level.OK, carries)


def _each(values: np.ndarray) -> str:
    return " ".join(f"{value:.1f}" for value in values)


def _gripper(driver: PiperDriver) -> Finding:
    feedback = driver.read()
    text = f"opening {feedback.gripper * 1e3:.1f} mm"
    if not feedback.gripper_bits & 0x80:
        return Finding("gripper", Level.WARN, f"{text}, not homed", "call /arm/gripper_home before /arm/enable")
    return Finding("gripper", Level.OK, f"{text}, homed")
