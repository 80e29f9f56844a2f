"""What is done at random to an arm node: by topics, services, parameters and transitions, and at the arm itself."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import can
import numpy as np
from geometry_msgs.msg import Quaternion, TwistStamped, Vector3
from rclpy.node import Node
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from tristage_msgs.msg import ActionChunk, ArmStatus

from tristage_ros.bench.arm.surface import NAMESPACE, SERVICES, TRANSITIONS, Surface
from tristage_ros.devices.arm.joint_path import MAX_POINTS
from tristage_ros.devices.arm.values import BASE_FRAME
from tristage_ros.ros.convert import header, to_stamp
from tristage_ros.ros.joints import ARM_JOINTS, GRIPPER_JOINT
from tristage_ros.simulation.arm import JointStop
from tristage_ros.simulation.frames import Frame, MotorStatus

Luck = random.Random
MOST = 100_000  # actions of a chunk that is much too long
HOLDS = 1.1  # s from the first call of arm/recover to the second


def chunk_message(surface: Surface, steps: list[tuple[float, ...]], **changes: Any) -> ActionChunk:
    """Return a chunk, observed just now, of actions that keep the tool's orientation."""
    pose = surface.pose
    assert pose is not None
    o = pose.pose.orientation
    message = ActionChunk(header=header(time.time(), BASE_FRAME))
    message.translation = [Vector3(x=x, y=y, z=z) for x, y, z in steps]
    message.orientation = [Quaternion(x=o.x, y=o.y, z=o.z, w=o.w) for _ in steps]
    message.gripper = [1.0] * len(steps)
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def _chunk(surface: Surface, luck: Luck) -> None:
    many, reach = luck.choice((1, 1, 2, 5, 20, 256)), luck.choice((0.02, 0.1, 0.3))
    at, steps = np.zeros(3), []
    for _ in range(many):
        at = at + [luck.uniform(-reach, reach) / many**0.5 for _ in range(3)]
        steps.append(tuple(at.tolist()))
    step = luck.choice((0.0, 0.1, 0.2, 60.0 / 256)) if many > 1 else 0.0
    surface.chunks.publish(chunk_message(surface, steps, time_step=step, gripper=[luck.random()] * many))


def _bad_chunk(surface: Surface, luck: Luck) -> None:
    bad = luck.choice((float("nan"), float("inf"), -float("inf"), 1e300, -3.0))
    late = luck.choice((-3600.0, -2.0, 0.5, 60.0, 1e6))
    surface.chunks.publish(
        chunk_message(
            surface,
            [(0.0, 0.0, 0.02)],
            **luck.choice(
                (
                    {"translation": [Vector3(x=bad)]},
                    {"orientation": [Quaternion(x=bad)]},
                    {"orientation": [Quaternion(w=0.0)]},
                    {"gripper": [bad]},
                    {"gripper": [1.0] * luck.choice((0, 2, 300))},
                    {"translation": []},
                    {"time_step": bad},
                    {"header": header(time.time() + late, BASE_FRAME)},
                    {"header": header(time.time(), luck.choice(("", "map", "link6", "x" * 10_000)))},
                    {"header": Header(frame_id=BASE_FRAME)},
                )
            ),
        )
    )


def _same_again(surface: Surface, luck: Luck) -> None:
    message = chunk_message(surface, [(0.0, luck.uniform(-0.1, 0.1), 0.0)])
    for _ in range(luck.randrange(2, 6)):
        surface.chunks.publish(message)


def _huge_chunk(surface: Surface, luck: Luck) -> None:
    surface.chunks.publish(_huge())


_kept: list[bytes] = []


def _huge() -> bytes:
    """Return a chunk that is much too long; to make it takes a second, so it is made once."""
    if not _kept:
        long = ActionChunk(header=header(time.time(), BASE_FRAME), translation=[Vector3()] * MOST)
        long.orientation, long.gripper = [Quaternion()] * MOST, [1.0] * MOST
        _kept.append(serialize_message(long))
    return _kept[0]


def _trajectory(surface: Surface, luck: Luck, **changes: Any) -> None:
    many = changes.pop("many", None) or luck.choice((1, 3, 50, 400))
    status = surface.status
    assert status is not None
    reach = 0.1 / max(1.0, many / 10)
    steps = np.array([[luck.uniform(-reach, reach) for _ in range(6)] for _ in range(many)])
    way = np.array(status.joint_position) + np.cumsum(steps, axis=0)
    times = changes.pop("times", None) or np.cumsum([luck.uniform(0.02, 30.0 / max(many, 60)) for _ in range(many)])
    message = JointTrajectory(joint_names=list(ARM_JOINTS))
    message.points = [_point(row.tolist(), when) for row, when in zip(way, times, strict=False)]
    for name, value in changes.items():
        setattr(message, name, value)
    surface.trajectories.publish(message)


def _point(positions: list[float], when: float) -> JointTrajectoryPoint:
    point = JointTrajectoryPoint(positions=positions)
    point.time_from_start.sec = int(np.floor(when))
    point.time_from_start.nanosec = int((when - np.floor(when)) * 1e9)
    return point


def _bad_trajectory(surface: Surface, luck: Luck) -> None:
    kind = luck.randrange(8)
    if kind == 0:
        names = luck.choice((list(ARM_JOINTS)[:5], [*ARM_JOINTS, "elbow"], [*ARM_JOINTS[:5], ARM_JOINTS[0]], []))
        _trajectory(surface, luck, joint_names=names)
    elif kind == 1:
        _trajectory(surface, luck, many=3, times=[1.0, 0.5, luck.choice((0.2, -5.0, 1.0))])
    elif kind == 2:
        late = luck.choice((-60.0, 60.0, -1.0, 1.5))
        _trajectory(surface, luck, header=header(time.time() + late, ""))
    elif kind == 3:
        bad = luck.choice((float("nan"), float("inf"), 1e300, 100.0))
        _trajectory(surface, luck, points=[_point([bad] * 6, 1.0)])
    elif kind == 4:
        _trajectory(surface, luck, many=MAX_POINTS)
    elif kind == 5:
        _trajectory(surface, luck, many=MAX_POINTS + luck.choice((1, 3000)))
    elif kind == 6:
        _trajectory(surface, luck, points=luck.choice(([], [_point([0.0] * 5, 1.0)], [_point([], 1.0)])))
    else:
        _trajectory(surface, luck, joint_names=[*ARM_JOINTS, GRIPPER_JOINT], points=[_point([0.0] * 6 + [9.0], 0.1)])


def _second_publisher(surface: Surface, luck: Luck) -> None:
    """Let another node publish what moves the arm, for a moment."""
    other = Node("second", namespace=NAMESPACE)
    kind, topic = luck.choice(((ActionChunk, "tristage/action"), (Clock, "/clock")))
    publisher = other.create_publisher(kind, topic, 1)
    time.sleep(luck.uniform(0.1, 0.5))
    message = Clock(clock=to_stamp(1e9)) if kind is Clock else chunk_message(surface, [(0.0, 0.1, 0.0)])
    publisher.publish(message)
    _chunk(surface, luck)
    time.sleep(0.1)
    other.destroy_node()


def _heartbeat(surface: Surface, luck: Luck) -> None:
    surface.heartbeats.publish(header(time.time() + luck.choice((0.0, 0.0, -100.0, 100.0)), ""))


def _service(name: str) -> Callable[[Surface, Luck], object]:
    return lambda surface, luck: surface.call(name)


def _several(surface: Surface, luck: Luck) -> None:
    """Call several services at once, from as many threads."""
    names = [luck.choice(("stop", "stop", "enable", "clear_fault", "move_home", *SERVICES)) for _ in range(4)]
    threads = [threading.Thread(target=surface.call, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _recover(surface: Surface, luck: Luck) -> None:
    """Reset the arm, which then falls: its motors have no power until it is enabled."""
    if surface.until(surface.call("recover")).success:
        time.sleep(HOLDS)
        surface.until(surface.call("recover"))


def _gripper(surface: Surface, luck: Luck) -> None:
    surface.call(luck.choice(("gripper_home", "gripper_zero")))


def _speed(surface: Surface, luck: Luck) -> None:
    surface.set("speed_scale", luck.choice((1.0, 0.5, 0.1, 0.01, luck.uniform(0.01, 1.0))), True)


def _bad_parameter(surface: Surface, luck: Luck) -> None:
    name, value = luck.choice(
        (
            ("speed_scale", float("nan")),
            ("speed_scale", float("inf")),
            ("speed_scale", luck.choice((0.0, -1.0, 1.5, 1e300))),
            ("speed_scale", luck.choice(("fast", 1, True, [0.5]))),
            ("command_source", luck.choice(("operator", "", "POLICY", 3, "x" * 10_000))),
            ("use_sim_time", True),
            ("can_channel", "can0"),
            ("max_age", 5.0),
            ("dry_run", True),
            ("no such thing", 1.0),
        )
    )
    surface.set(name, value, False)


def _source(surface: Surface, luck: Luck) -> None:
    surface.set("command_source", luck.choice(("policy", "trajectory", "leader", "joints", "twist")), True)


def _transition(surface: Surface, luck: Luck) -> None:
    surface.until(surface.change(luck.choice(tuple(TRANSITIONS))))


def _down_and_up(surface: Surface, luck: Luck) -> None:
    """Take the node down as far as it goes, wherever the arm is, and up again."""
    down = luck.choice((("deactivate",), ("deactivate", "cleanup")))
    up = ("configure", "activate") if "cleanup" in down else ("activate",)
    for name in (*down, *up):
        surface.until(surface.change(name))
        time.sleep(luck.choice((0.0, 0.3, 1.0)))


def _restart(surface: Surface, luck: Luck) -> None:
    surface.end()
    _whole_wire(surface, luck)
    surface.start()


# What leads.


def _lead(surface: Surface, luck: Luck) -> None:
    """Bring the leader to the arm, engage it, and go somewhere, perhaps beyond what there is, perhaps all at once."""
    leader = surface.leader
    assert leader is not None
    surface.until(surface.set("command_source", "leader", True))
    leader.hand.speed = luck.choice((0.3, 1.0, 3.0))
    leader.controller.silent_at_rest, leader.hand.held = luck.random() < 0.3, luck.random() < 0.8
    leader.put(surface.plant.position + luck.choice((0.0, 0.05, 0.3)))
    time.sleep(0.1)
    surface.until(surface.call("engage"))
    for _ in range(luck.randrange(1, 4)):
        reach = luck.choice((0.1, 0.4, 2.0))
        leader.reach(leader.position + [luck.uniform(-reach, reach) for _ in range(6)])
        leader.grasp(luck.uniform(0.0, 0.07))
        time.sleep(luck.uniform(0.1, 1.0))


def _leader_jumps(surface: Surface, luck: Luck) -> None:
    leader = surface.leader
    assert leader is not None
    leader.put(leader.position + luck.choice((-1.0, 1.0, 5.0)) * np.eye(6)[luck.randrange(6)])


def _leader_silent(surface: Surface, luck: Luck) -> None:
    leader = surface.leader
    assert leader is not None
    leader.firmware.wire.silence(luck.choice((0.05, 0.3, 2.0)))


def _joints(surface: Surface, luck: Luck) -> None:
    """Lead by joint states, from where the arm is, or by what is none of this arm."""
    status = surface.status
    assert status is not None
    surface.until(surface.set("command_source", "joints", True))
    place, asked = np.array(status.joint_position), False
    towards = np.array([luck.uniform(-1.0, 1.0) for _ in range(6)]) * luck.choice((0.005, 0.02, 0.2))
    wrong = luck.choice((None, None, None, math.nan, math.inf, 57.3, "names", "few"))
    for k in range(luck.randrange(5, 60)):
        message = JointState(header=header(time.time(), ""), name=list(ARM_JOINTS), position=place.tolist())
        if k > 30 and wrong == "names":
            message.name = [*ARM_JOINTS[:5], "elbow"]
        elif k > 30 and wrong == "few":
            message.position = message.position[:4]
        elif k > 30 and wrong is not None:
            message.position[luck.randrange(6)] = float(wrong)
        surface.joints.publish(message)
        time.sleep(0.02)
        if k > 3 and not asked:
            asked, _ = True, surface.call("engage")
        place = place + towards * (k > 10)


def _twist(surface: Surface, luck: Luck) -> None:
    """Lead by tool velocities, in one of many frames, for a while, and then not at all."""
    surface.until(surface.set("command_source", "twist", True))
    speed, bad = luck.choice((0.02, 0.1, 0.5)), luck.choice((None,) * 6 + (math.nan, math.inf, 1e9))
    twist = [luck.uniform(-speed, speed) * (1.0 if k < 3 else 4.0) for k in range(6)]
    frame = luck.choice((BASE_FRAME, BASE_FRAME, "tool", "", "map"))
    for k in range(luck.randrange(5, 60)):
        message = TwistStamped(header=header(time.time(), frame))
        values = twist if k > 10 else [0.0] * 6
        for vector, three in ((message.twist.linear, values[:3]), (message.twist.angular, values[3:])):
            vector.x, vector.y, vector.z = three
        if k > 30 and bad is not None:
            message.twist.linear.x = bad
        surface.twists.publish(message)
        time.sleep(0.02)
        if k == 4:
            surface.call("engage")


# At the arm.


def _wire(surface: Surface, luck: Luck) -> None:
    wire = surface.arm.wire
    kind = luck.randrange(6)
    if kind == 0:
        wire.drop(luck.choice((0.1, 0.5)))
    elif kind == 1:
        wire.swap(0x2A5, 0x2A7)
    elif kind == 2:
        wire.freeze()
        surface.log.frozen.append([time.monotonic(), math.inf])
    elif kind == 3:
        wire.stop(luck.choice(("status", "motors", "gripper", "speeds", "joints")))
    elif kind == 4:
        wire.slow(10, 0.08)
    else:
        wire.silence(luck.choice((0.05, 0.4, 1.5)))


def _whole_wire(surface: Surface, luck: Luck) -> None:
    wire = surface.arm.wire
    wire.drop(0.0), wire.swap(0, 0), wire.freeze(()), wire.stop(), wire.slow(1, 0.0), wire.silence(0.0)
    for frozen in surface.log.frozen:
        frozen[1] = min(frozen[1], time.monotonic())


def _obstacle(surface: Surface, luck: Luck) -> None:
    joint, side = luck.randrange(6), luck.choice((-1, 1))
    at = float(surface.plant.position[joint]) + side * luck.uniform(0.01, 0.1)
    surface.arm.put_in_the_way(JointStop(joint, at, side, stiffness=luck.choice((500.0, 2000.0, 8000.0))))


def _no_obstacle(surface: Surface, luck: Luck) -> None:
    surface.arm.put_in_the_way()


def _payload(surface: Surface, luck: Luck) -> None:
    surface.plant.payload = luck.choice((0.0, 0.0, 0.5))


def _alarm(surface: Surface, luck: Luck) -> None:
    bits = (MotorStatus.OVERCURRENT, MotorStatus.MOTOR_HOT, MotorStatus.COLLISION, MotorStatus.DRIVER_ERROR)
    if luck.random() < 0.5:
        surface.arm.alarm(luck.randrange(6), luck.choice(bits))
    else:
        surface.arm.fail_motor(luck.randrange(6))


def _teach(surface: Surface, luck: Luck) -> None:
    surface.arm.press_teach_button(obeys=luck.random() < 0.5)


def _second_master(surface: Surface, luck: Luck) -> None:
    """Let somebody else command the arm, whom the node hears, or, on this computer, does not."""
    heard = luck.random() < 0.5
    targets = [Frame(0x155 + k, bytes([0, 0, luck.randrange(256), 0, 0, 0, luck.randrange(256), 0])) for k in range(3)]
    for frame in luck.choice(([Frame(0x151, bytes([1, 1, 50, 0, 0, 0, 0, 0]))], targets)):
        surface.arm.obey(frame)
        if heard:
            surface.bus.send(can.Message(arbitration_id=frame.id, data=frame.data, is_extended_id=False))


def _emergency_stop(surface: Surface, luck: Luck) -> None:
    surface.arm.press_emergency_stop()


def _heal(surface: Surface, luck: Luck) -> None:
    """Do what a person does until the arm moves again."""
    _whole_wire(surface, luck)
    surface.arm.put_in_the_way()
    surface.until(surface.change("configure"))
    surface.until(surface.change("activate"))
    time.sleep(0.1)
    status = surface.status
    assert status is not None
    if surface.arm.teaching:
        surface.arm.press_teach_button()
    if status.arm_status or any(int(bits) & ~int(MotorStatus.ENABLED) for bits in status.motor_status):
        _recover(surface, luck)
    surface.until(surface.call("clear_fault"))
    surface.until(surface.set("command_source", luck.choice(("policy", "policy", "trajectory")), True))
    surface.until(surface.call("enable"))


def _work(surface: Surface, luck: Luck) -> None:
    """Let the arm do what it is there for, for a while, with what its source gives it."""
    status = surface.status
    assert status is not None
    for _ in range(luck.randrange(1, 5)):
        (_trajectory if status.command_source == ArmStatus.TRAJECTORY else _chunk)(surface, luck)
        time.sleep(luck.uniform(0.05, 0.5))


Operation = Callable[[Surface, Luck], object]
OPERATIONS: dict[str, tuple[Operation, float]] = {  # and how often
    "work": (_work, 16.0),
    "chunk": (_chunk, 6.0),
    "bad chunk": (_bad_chunk, 4.0),
    "chunk again": (_same_again, 1.0),
    "huge chunk": (_huge_chunk, 0.5),
    "trajectory": (_trajectory, 3.0),
    "bad trajectory": (_bad_trajectory, 3.0),
    "second publisher, clock": (_second_publisher, 0.7),
    "heartbeat": (_heartbeat, 1.0),
    **{name: (_service(name), 1.5) for name in SERVICES if not name.startswith("gripper")},
    "enable again": (_service("enable"), 3.0),
    "gripper": (_gripper, 1.0),
    "several at once": (_several, 2.5),
    "reset": (_recover, 0.3),
    "heal": (_heal, 10.0),
    "lead": (_lead, 6.0),
    "leader jumps": (_leader_jumps, 2.0),
    "leader silent": (_leader_silent, 1.5),
    "joint states": (_joints, 3.0),
    "twist": (_twist, 3.0),
    "speed": (_speed, 2.0),
    "source": (_source, 2.0),
    "bad parameter": (_bad_parameter, 3.0),
    "transition": (_transition, 1.0),
    "down and up": (_down_and_up, 1.0),
    "restart": (_restart, 0.3),
    "wire": (_wire, 3.0),
    "wire whole": (_whole_wire, 2.0),
    "obstacle": (_obstacle, 2.0),
    "no obstacle": (_no_obstacle, 1.0),
    "payload": (_payload, 0.5),
    "alarm": (_alarm, 0.5),
    "teach button": (_teach, 0.8),
    "second master": (_second_master, 0.6),
    "emergency stop": (_emergency_stop, 0.4),
}
