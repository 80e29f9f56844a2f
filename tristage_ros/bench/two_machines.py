"""What the arm does when the link to the GPU host is slow, loses frames or is cut.

`tristage bench two-machines`
The simulated cell and the arm run in one network namespace, point cloud and policy in another, each half started as on
its machine; the wire between them is ours. Prints a table of what the arm's own status said. Needs root and iproute2.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import rclpy
import yaml
from tristage_msgs.msg import ArmStatus

from tristage_ros.graph.machines import HOST, ROBOT, read_machines
from tristage_ros.resources import resource
from tristage_ros.ros.operator import Operator
from tristage_ros.simulation.network import Network, Wire, received_here, sent_here, set_wire

GOOD, CUT = Wire(), Wire(cut=True)
WIRES = {
    "good": GOOD,
    "50 ms each way": Wire(delay=0.05),
    "150 ms each way": Wire(delay=0.15),
    "5 % lost": Wire(loss=0.05),
    "20 % lost": Wire(loss=0.2),
}
START_UP, PATIENCE = 120.0, 60.0  # s for the halves to come up, for the arm to begin to move
STILL = 1e-6  # rad between two statuses of an arm whose target stands


@dataclass(frozen=True)
class Trial:
    """Hold what one state of the wire came to."""

    wire: str
    seconds: float
    accepted: int  # chunks
    refused: int
    reason: str  # why the newest chunk was refused
    travel: float  # rad, sum over the joints, of the joint target
    fault_after: float | None  # s since the wire was changed
    fault: str
    to_host: float  # MB/s
    from_host: float


@dataclass(frozen=True)
class Partition:
    """Hold what the arm did when the wire was cut while it moved, and after the wire had healed."""

    seconds: float
    fault_after: float | None  # s since the cut
    still_after: float | None  # s since the cut: the joint target did not change any more
    fault: str
    healed_for: float  # s that the arm was watched after the wire had healed
    moved_healed: float  # rad, sum over the joints
    mode_healed: str
    refused_healed: int  # chunks of the policy that came back
    clear_answer: str
    moved_cleared: float  # rad, in `CLEARED_FOR` s after the fault was cleared, before the arm was enabled
    moves_again: bool  # once it was enabled


class _Observer(Operator):
    """Follow the arm's status at the robot."""

    def __init__(self) -> None:
        super().__init__("trial_operator")
        self.travel = 0.0
        self.still_since = time.monotonic()
        self.fault_since: float | None = None
        self._target: np.ndarray | None = None
        self.create_subscription(ArmStatus, "arm/status", self._follow, 10)

    def _follow(self, message: ArmStatus) -> None:
        target = np.asarray(message.joint_target)
        step = 0.0 if self._target is None else float(np.abs(target - self._target).sum())
        self._target, now = target, time.monotonic()
        self.travel += step
        if step > STILL:
            self.still_since = now
        if message.mode != ArmStatus.FAULT:
            self.fault_since = None
        elif self.fault_since is None:
            self.fault_since = now

    def spin(self, seconds: float) -> None:
        self.until(lambda: False, seconds)

    def until(self, condition: Callable[[], object], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            rclpy.spin_once(self, timeout_sec=0.02)
        return bool(condition())

    def ask(self, service: str) -> tuple[bool, str]:
        future = self.call(service)
        if not self.until(future.done, 10.0):
            raise TimeoutError(f"/arm/{service} did not answer")
        return future.result().success, future.result().message

    def ready_to_move(self) -> None:
        """Clear, enable, and wait until the policy moves the arm."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.arm.mode == ArmStatus.FAULT:
                self.ask("clear_fault")
            if self.ask("enable")[0] and self.until(self.moving, 10.0):
                return
        raise TimeoutError(f"the policy did not move the arm in {PATIENCE:.0f} s: {self.arm.reason}; {self.trouble()}")

    def moving(self) -> bool:
        return bool(self.arm.mode == ArmStatus.MOVING)


CLEARED_FOR = 2.0  # s


def try_wire(observer: _Observer, control: int, name: str, seconds: float) -> Trial:
    """Let the arm work over the wire called `name`."""
    observer.ready_to_move()
    set_wire(control, WIRES[name])
    began, travel, first = time.monotonic(), observer.travel, observer.arm
    sent, received = sent_here(), received_here()
    observer.until(lambda: observer.fault_since, seconds)
    elapsed, arm = time.monotonic() - began, observer.arm
    rates = [(now - before) / elapsed * 1e-6 for now, before in ((sent_here(), sent), (received_here(), received))]
    fault = observer.fault_since
    set_wire(control, GOOD)
    observer.spin(2.0)
    return Trial(
        name,
        elapsed,
        arm.chunks_accepted - first.chunks_accepted,
        arm.chunks_refused - first.chunks_refused,
        arm.chunk_reason,
        observer.travel - travel,
        fault and fault - began,
        arm.reason if fault else "",
        *rates,
    )


def cut_wire(observer: _Observer, control: int, seconds: float, healed: float) -> Partition:
    """Cut the wire while the arm moves, heal it, then clear the fault and enable the arm as a person would."""
    observer.ready_to_move()
    set_wire(control, CUT)
    cut = time.monotonic()
    observer.spin(seconds)
    fault, still, reason = observer.fault_since, observer.still_since, observer.arm.reason
    travel, refused = observer.travel, observer.arm.chunks_refused
    set_wire(control, GOOD)
    observer.spin(healed)
    moved, mode = observer.travel - travel, _mode(observer.arm)
    refused = observer.arm.chunks_refused - refused
    _, answer = observer.ask("clear_fault")
    travel = observer.travel
    observer.spin(CLEARED_FOR)
    moved_cleared = observer.travel - travel
    observer.ask("enable")
    again = observer.until(observer.moving, PATIENCE)
    return Partition(
        seconds,
        fault and fault - cut,
        still - cut if fault else None,
        reason,
        healed,
        moved,
        mode,
        refused,
        answer,
        moved_cleared,
        again,
    )


def _mode(status: ArmStatus) -> str:
    names = ("DISCONNECTED", "DISABLED", "HOLDING", "MOVING", "FAULT")
    return next(name for name in names if getattr(ArmStatus, name) == status.mode)


def observe(control: int, wires: Sequence[str], seconds: float, partition: float, healed: float) -> None:
    """On the robot: go through the states of the wire and print what came of each, a line of JSON each."""
    rclpy.init(args=[])
    observer = _Observer()
    try:
        if not observer.until(observer.ready, START_UP):
            missing, trouble = observer.missing(), observer.trouble()
            raise TimeoutError(f"the halves did not come up in {START_UP:.0f} s: no {missing}; {trouble}")
        for name in wires:
            print(json.dumps({"trial": asdict(try_wire(observer, control, name, seconds))}), flush=True)
        if partition:
            print(json.dumps({"partition": asdict(cut_wire(observer, control, partition, healed))}), flush=True)
        observer.ask("stop")
    finally:
        observer.destroy_node()
        rclpy.try_shutdown()


@contextmanager
def halves(
    network: Network, folder: Path, settings: dict[str, dict[str, object]]
) -> Iterator[dict[str, dict[str, str]]]:
    """Start both halves with one parameter file, the shipped one but for `settings`; yield the environment of each."""
    parameters = yaml.safe_load(resource("config", "piper_pick.yaml").read_text(encoding="utf-8"))
    machines = network.addresses | settings.get("machines", {})
    for node, values in {**settings, "machines": machines}.items():
        parameters.setdefault(node, {}).setdefault("ros__parameters", {}).update(values)
    path = folder / "parameters.yaml"
    path.write_text(yaml.safe_dump(parameters), encoding="utf-8")
    command = [sys.executable, "-m", "tristage_ros", "run", "piper_pick", f"parameters:={path}"]
    environments = {name: os.environ | read_machines(path).environment(name) for name in (ROBOT, HOST)}
    processes = []
    try:
        for name, environment in environments.items():
            with (folder / f"{name}.log").open("w") as log:
                inside = network.command(name, [*command, f"machine:={name}"])
                processes.append(
                    subprocess.Popen(
                        inside, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
                    )
                )
        yield environments
    finally:
        for process in processes:
            process.send_signal(signal.SIGINT)
        for process in processes:
            process.wait(30.0)


def trials(
    wires: Sequence[str], seconds: float, partition: float, healed: float, settings: dict[str, dict[str, object]]
) -> tuple[list[Trial], Partition | None]:
    """Go through the states of the wire; return what came of each.

    Raises:
        OSError: this computer cannot play two machines.
        RuntimeError: the halves did not come up or broke; the message holds their logs.
    """
    network = Network(ROBOT, HOST)
    try:
        with tempfile.TemporaryDirectory() as name, halves(network, Path(name), settings) as environments:
            words = [str(network.control), json.dumps(list(wires)), *map(str, (seconds, partition, healed))]
            program = [sys.executable, "-m", "tristage_ros.bench.two_machines", *words]
            observer = subprocess.run(
                network.command(ROBOT, program),
                env=environments[ROBOT],
                pass_fds=(network.control,),
                capture_output=True,
                text=True,
            )
            if observer.returncode:
                logs = "".join(Path(name, f"{machine}.log").read_text() for machine in environments)
                raise RuntimeError(f"{observer.stderr}\n{logs}")
    finally:
        network.close()
    lines = [json.loads(line) for line in observer.stdout.splitlines() if line.startswith("{")]
    found = [Partition(**line["partition"]) for line in lines if "partition" in line]
    return [Trial(**line["trial"]) for line in lines if "trial" in line], found[0] if found else None


def run(options: argparse.Namespace) -> int:
    """Go through everything and print the table; return the exit code."""
    if obstacle := Network.obstacle():
        print(f"error: {obstacle}", file=sys.stderr)
        return 2
    settings: dict[str, dict[str, object]] = {"simulation": {"frame_rate": options.frame_rate}}
    tried, cut = trials(list(WIRES), options.seconds, options.partition, 10.0, settings)
    print("| wire | s | chunks accepted | refused | joint travel | fault after | to the host | to the robot |")
    print("|---|---|---|---|---|---|---|---|")
    for t in tried:
        fault = "-" if t.fault_after is None else f"{t.fault_after:.2f} s"
        numbers = f"{t.seconds:.0f} | {t.accepted} | {t.refused} | {t.travel:.1f} rad | {fault}"
        print(f"| {t.wire} | {numbers} | {t.to_host:.2f} MB/s | {t.from_host:.2f} MB/s |")
    print(json.dumps({"reasons": {t.wire: t.fault or t.reason for t in tried if t.refused or t.fault}}, indent=1))
    print(json.dumps({"partition": asdict(cut) if cut else None}, indent=1))
    print(f"load of the machine: {', '.join(f'{load:.2f}' for load in os.getloadavg())} on {os.cpu_count()} cores")
    return 0


if __name__ == "__main__":  # the observer, in the network namespace of the robot
    _control, _wires, *_numbers = sys.argv[1:]
    observe(int(_control), json.loads(_wires), *map(float, _numbers))
