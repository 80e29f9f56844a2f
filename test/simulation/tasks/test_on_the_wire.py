"""The same tasks on the robot's own path: controller, driver, SDK, CAN bus and emulated firmware, in real time."""

import time
import uuid

import numpy as np
import pytest

from tristage_ros.devices.arm.controller import ArmController, ControllerConfig
from tristage_ros.devices.arm.kinematics import matrix_to_quaternion, rpy_to_matrix
from tristage_ros.devices.arm.piper import PiperDriver
from tristage_ros.devices.arm.values import ActionChunk, ChunkState
from tristage_ros.simulation.cell import Cell, CellConfig
from tristage_ros.simulation.episode import as_action

PATIENCE = 60.0  # s, only ever used up by a failing test


@pytest.fixture
def arm(cameras_file):
    """Connect a controller to a running cell, by `arm(task, seed)`; return the cell and the enabled controller."""
    opened = []

    def start(task: str, seed: int) -> tuple[Cell, ArmController]:
        channel = f"task {uuid.uuid4()}"
        cell = Cell(CellConfig(cameras_file, seed, can_interface="virtual", can_channel=channel, task=task))
        opened.append(cell)
        cell.start()
        driver = PiperDriver("virtual", channel)
        driver.connect(timeout=PATIENCE)
        controller = ArmController(driver, ControllerConfig())
        opened.append(controller)
        controller.start()
        until(lambda: controller.enable()[0])
        return cell, controller

    yield start
    for part in reversed(opened):
        part.close()


def until(condition) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.02)


@pytest.mark.flaky(reruns=2)  # a busy machine holds threads up, and the arm is right to stop
@pytest.mark.parametrize(
    ("task", "seed"),
    [
        ("banana", 3),
        ("button", 3),
        *(pytest.param(*more, marks=pytest.mark.long) for more in (("laptop", 5), ("stack", 3))),
    ],
)
def test_the_expert_does_the_task_on_the_robots_path(arm, task, seed):
    cell, controller = arm(task, seed)
    assert not cell.success()
    for _ in range(cell.task.max_steps):
        if cell.success():
            break
        action = cell.ask(lambda world: as_action(cell.task.act(world), world.tool))
        quaternion = np.array([matrix_to_quaternion(rpy_to_matrix(action.rotation[0]))])
        chunk = ActionChunk(time.monotonic(), 0.0, action.translation, quaternion, action.gripper)
        until(lambda chunk=chunk: controller.submit(chunk)[0])
        until(lambda: controller.snapshot().chunk_state is not ChunkState.EXECUTING)
        assert controller.snapshot().chunk_state is ChunkState.REACHED, controller.snapshot().chunk_reason
        time.sleep(0.4)
    until(cell.success)
