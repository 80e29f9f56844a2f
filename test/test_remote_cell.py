"""The whole cell with somebody else's policy: a server of the scripted expert, through our node, the guard and the bus.

`EPISODES=20 python -m pytest -m long -k expert test/test_remote_cell.py` tries as many seeds of either action space.
"""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from cell_process import spin_until
from policy_server import PolicyServer
from std_msgs.msg import Bool
from tristage_msgs.msg import ArmStatus

from tristage_ros.bags.facts import read_facts
from tristage_ros.bags.reader import BagReader
from tristage_ros.graph import graph, supervisor
from tristage_ros.reports.report import report
from tristage_ros.resources import resource
from tristage_ros.ros import qos
from tristage_ros.ros.operator import Operator

pytestmark = [pytest.mark.serial, pytest.mark.long, pytest.mark.timeout(600)]
EPISODES = int(os.environ.get("EPISODES", "1"))
PATIENT = {  # a machine that tests beside other work is slower than a robot's
    "simulation": {"frame_rate": 5.0, "width": 320, "height": 240},
    "point_cloud": {"points": 1000, "max_age": 2.0, "sync_tolerance": 0.2},
    "remote_policy": {"max_age": 2.0, "sync_tolerance": 0.2, "answer_within": 5.0},
    "arm": {"max_age": 2.0, "connect_timeout": 90.0},
    "machines": {"link_timeout": 5.0},
}
STOOD_STILL = re.compile("no (motor states|arm status|efforts|joint feedback) for|this computer stood still")
MAPS = {"joints": "joints", "tool": "libero"}


@pytest.fixture
def cell(free_port, tmp_path, ros_context):
    processes = []

    def start(kind, seed):
        content = yaml.safe_load(resource("config", "piper_pick.yaml").read_text())
        for node, values in PATIENT.items():
            content.setdefault(node, {"ros__parameters": {}})["ros__parameters"] |= values
        (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
        described = graph.build("piper_pick", {
            "policy": f"openpi:ws://127.0.0.1:{free_port}", "map": MAPS[kind], "parameters": str(tmp_path / "own.yaml"),
            "seed": str(seed), "record": "true", "run_dir": str(tmp_path),
        })  # fmt: skip
        files = graph.parameter_files(described.nodes)
        for node in described.nodes:
            command = supervisor._command(node, described, files.get(node.name))
            if node.name == "simulation":  # its program is ours
                command[1:4] = [str(Path(__file__).with_name("expert_cell.py")), str(free_port), kind]
            log = (tmp_path / f"{node.name}.txt").open("w")
            environment = os.environ | described.environment_of(node) | {"PYTHONUNBUFFERED": "1"}
            processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment))
        return processes[0]

    def end():
        for process in processes:
            process.send_signal(signal.SIGINT)
        return [process.wait(30) for process in processes]

    start.end = end
    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def enable(operator):
    for service in ("clear_fault", "enable"):
        called = operator.call(service)
        spin_until(operator, called.done, 30, f"an answer of {service}")


def watched(operator):
    """Do what a person does where the computer, or the emulated firmware on it, stood still for other work."""
    if operator.arm.mode == ArmStatus.FAULT and STOOD_STILL.search(operator.arm.reason):
        print(f"enabled again after: {operator.arm.reason}")
        enable(operator)
    return True


@pytest.mark.parametrize("seed", range(EPISODES))
@pytest.mark.parametrize("kind", MAPS)
def test_the_expert_behind_a_server_puts_the_banana_on_the_plate(cell, tmp_path, free_port, kind, seed):
    operator, done = Operator(), []
    operator.create_subscription(Bool, "/tristage/task_done", lambda message: done.append(message.data), qos.LATCHED)
    try:
        simulation = cell(kind, seed)
        spin_until(operator, operator.ready, what=f"the cell comes up: {operator.missing()}")
        enable(operator)
        spin_until(operator, lambda: watched(operator) and done and done[-1], 150, "the banana lies on the plate")
        told = {name: status.message for name, status in operator.diagnostics.items()}
        accepted, refused = operator.arm.chunks_accepted, operator.arm.chunks_refused
        simulation.send_signal(signal.SIGUSR1)  # the server dies
        spin_until(operator, lambda: operator.arm.mode == ArmStatus.FAULT, 30, "the arm holds")
        assert "no word from the policy" in operator.arm.reason
        assert "no policy server" in operator.diagnostics["policy: server"].message
    finally:
        operator.destroy_node()
    print(f"{kind}, seed {seed}: {accepted} chunks accepted, {refused} refused; {told['policy: policy']}")
    assert told["policy: server"] == "connected" and accepted > 5 * refused
    assert cell.end() == [0] * 5

    with BagReader(tmp_path / "bag") as bag:
        facts, (server,) = read_facts(bag), [m.value.data for m in bag.messages("/tristage/server")]
    assert json.loads(server)["metadata"] == {"policy": f"expert, {kind}"}
    assert facts.parameters["policy"]["instruction"] == "put the banana on the blue plate"
    assert "rate: 20.0" in facts.files["policy.map"]
    page = report(tmp_path / "bag", tmp_path, {}).html.read_text()
    assert "yes, after" in page and "the policy server at ws://127.0.0.1" in page

    asked_again(tmp_path, free_port, kind)


def asked_again(folder, port, kind):
    """Replay the bag to a server at the same address, which answers that the arm is to stay: for every action one."""
    stay = {"joints": lambda state: [*state[:6], 0.07], "tool": lambda state: [0.0] * 6 + [-1.0]}[kind]
    server = PolicyServer(
        lambda observation: {"actions": np.tile(np.float32(stay(observation["observation/state"])), (30, 1))}, port=port
    )
    command = [sys.executable, "-m", "tristage_ros", "replay", "bag", "--lockstep", "--out", "again"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    finally:
        server.close()
    print(done.stdout[-600:])
    assert done.returncode == 0, done.stderr
    told = json.loads((folder / "again" / "replay.json").read_text())
    assert told["steps"] == told["frames"] > 0 and not told["frames without an action"]
    assert all(asked["prompt"] == "put the banana on the blue plate" for asked in server.asked)
