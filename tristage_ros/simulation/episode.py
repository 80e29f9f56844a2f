"""One attempt at a task in this process, faster than real time: observe, act, judge, and what the expert would do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType

import mujoco
import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.controller import ControllerConfig
from tristage_ros.devices.arm.kinematics import matrix_to_quaternion, matrix_to_rpy, robot_state, rpy_to_matrix
from tristage_ros.devices.arm.values import ActionChunk
from tristage_ros.mla.approach import Pace, paced
from tristage_ros.mla.values import Action, Observation
from tristage_ros.perception.cloud import RgbdFrame
from tristage_ros.perception.extrinsics import CameraMount, load_extrinsics
from tristage_ros.resources import resource
from tristage_ros.simulation.arm import Plant
from tristage_ros.simulation.direct_arm import DirectArm
from tristage_ros.simulation.disturbances import HAND_XML, Hand, SensorNoise, hand_geoms
from tristage_ros.simulation.instructions import ANYWHERE
from tristage_ros.simulation.objects import Piece
from tristage_ros.simulation.renderer import Renderer, label_of_geoms
from tristage_ros.simulation.scene import build_model
from tristage_ros.simulation.sensing import FRONT, Sensing, SensingConfig, vertical_fov
from tristage_ros.simulation.setting import Setting, Variation, pieces_for
from tristage_ros.simulation.tasks import KeyFrame, Task, task_called
from tristage_ros.simulation.tasks.task import World, tool_rotation
from tristage_ros.simulation.travel import Travel
from tristage_ros.simulation.viewpoint import anywhere, beside, zoomed

CONTROL = ControllerConfig(rate=50.0)
LONGEST = 60.0  # s, simulated
AFTERMATH = 0.4  # s, simulated, that things have to come to rest in after a chunk


@dataclass(frozen=True)
class StepOutcome:
    """Say what became of one chunk."""

    accepted: bool
    reason: str  # why it was refused or not finished, "" otherwise
    reached: bool  # the arm has carried it out
    duration: float  # s, simulated


class _Scene:
    """Hold a model, how it is set, and the renderer that looks at it, which the first look opens."""

    def __init__(self, model: mujoco.MjModel, pieces: tuple[Piece, ...]) -> None:
        self.model, self.setting = model, Setting(model, pieces)
        self.renderer: Renderer | None = None


class Episode:
    """Run one attempt at a task after the other; only `reset` begins a new one.

    The state after `reset(seed)` depends on task, seed and variation alone. Key frames: `step` one action after the
    other. Continuous control: `submit` chunks at any time and `advance` in between. A refused chunk changes nothing.
    """

    def __init__(
        self,
        task: str | Task,
        seed: int = 0,
        variation: Variation | None = None,
        cameras_file: str | Path | None = None,
        control: ControllerConfig = CONTROL,
        table: float = 0.0,
    ) -> None:
        """Build the scene of `task` and begin the attempt that `seed` stands for; the first look opens the renderer.

        `task` is the name of one that there is, or one of your own, whose pieces join the scene; `table` is the height
        of the table in the base frame, m. Which lens the front camera has, and whether the others count, is taken
        from `variation` here.

        Raises:
            ValueError: there is no such task, or a setting is wrong.
            FileNotFoundError: the cameras file is missing.
        """
        self.variation = variation or Variation()
        path = cameras_file or resource("config", "cameras.yaml")
        self._mounts = load_extrinsics(path)
        self._nominal = self._mounts[FRONT]
        self._fov, self._table = vertical_fov(path, tuple(self._mounts)), table
        self._fov[FRONT] = zoomed(self._fov[FRONT], self.variation.zoom)
        self.task = task if isinstance(task, Task) else task_called(task)
        self._scenes: dict[tuple[Piece, ...], _Scene] = {}
        self._control, self._config = control, SensingConfig.of_the_cell()
        if not self.variation.wrist:
            self._config = replace(self._config, cameras=(FRONT,))
        self.on_tick: Callable[[], None] | None = None  # called whenever simulated time has passed
        self.reset(seed)

    def reset(self, seed: int, task: str = "", front: CameraMount | None = None) -> None:
        """Begin the attempt that `seed` stands for, at `task` instead of the present one if it is named.

        `front` is where the front camera stands and is told to stand, whatever the variation says.

        Raises:
            ValueError: there is no such task.
        """
        self.task = task_called(task) if task else self.task
        self._scene = self._scene_of(self.task)
        self._model = self._scene.model
        front = front or self._drawn_front(seed)
        self._mounts[FRONT] = front or self._nominal
        self._data = data = self._scene.setting.start(self.task, seed, self.variation, front)
        self._plant = Plant(self._model, data)
        self._plant.react = partial(self.task.react, self._model, data)
        self._arm = DirectArm(self._plant, self._control)
        self._went = [self._plant.position]
        self.world = World(self._model, data)
        self._noise = SensorNoise(seed) if self.variation.sensor_noise else None
        up = np.array([0.0, 0.0, self.world.table])
        places = [self.world.pose(piece.name)[:3, 3] + up for piece in self.task.pieces]
        self._hand = Hand(self._model, data, seed, places) if self.variation.hand else None
        self.steps = 0
        self._key_frames = 0

    @property
    def front(self) -> CameraMount:
        """Return where the front camera is told to stand."""
        return self._mounts[FRONT]

    def hold(self, joints: NDArray[np.float64]) -> None:
        """Put the arm at joint positions [7] (rad, and the opening in m) as nothing that moves does; things stay."""
        self._plant.hold(joints[:6], float(joints[6]))

    def observe(self) -> Observation:
        """Return what the policy sees now.

        Raises:
            RenderingError: this machine cannot render; the message names the packages to install.
        """
        return self._sensing().observe(self._data, self._plant.position, self._plant.opening, self._arm.time)

    def frames(self) -> dict[str, RgbdFrame]:
        """Return what every camera measures now, by its name."""
        return self._sensing().frames(self._data, self._plant.position, self._arm.time)

    @property
    def idle(self) -> bool:
        """Tell whether no chunk is under way."""
        return not self._arm.busy

    @property
    def joints(self) -> NDArray[np.float64]:
        """Return where the joints are now, [7] rad with the gripper opening (m)."""
        return np.array([*self._plant.position, self._plant.opening])

    @property
    def sent(self) -> NDArray[np.float64]:
        """Return where the joints were told to be, likewise."""
        return self._arm.sent.copy()

    def robot_state(self) -> NDArray[np.float32]:
        """Return where the arm stands now, as an observation says it: see `kinematics.robot_state`."""
        return robot_state(np.array([*self._plant.position, self._plant.opening]))

    def segmentation(self) -> NDArray[np.int64]:
        """Return what is truly at every pixel [H, W] of the front image: 0 background, 1 robot, 2 the task's objects.

        Clutter and the things of other tasks are background.
        """
        labels = label_of_geoms(self._model, [piece.name for piece in self.task.pieces])
        return labels[self._look_through().segment(self._data, FRONT)]

    def hand(self) -> NDArray[np.bool_]:
        """Return which pixels [H, W] of the front image show the person's hand."""
        if self._hand is None:
            return np.zeros((self._config.height, self._config.width), bool)
        shown: NDArray[np.bool_] = hand_geoms(self._model)[self._look_through().segment(self._data, FRONT)]
        return shown

    def key_frame(self) -> KeyFrame:
        """Return what the expert would do now."""
        return self.task.act(self.world)

    def expert(self) -> Action:
        """Return the expert's key frame as the policy would say it; angles go on smoothly beyond pi."""
        return as_action(self.key_frame(), self.world.tool, self.world.table)

    def guidance(self) -> Action:
        """Return what the expert goes for in a closed loop, as the policy would say it."""
        return as_action(self.task.guide(self.world), self.world.tool, self.world.table)

    def expert_chunk(self, pace: Pace) -> Action:
        """Return what the expert would do next under continuous control."""
        return in_steps(self.task.guide(self.world), self.world, self._arm.asked_gripper, pace)

    def step(self, action: Action, meanwhile: Callable[[], object] | None = None, every: float = 0.2) -> StepOutcome:
        """Carry out key frames to the end and let things come to rest; `meanwhile` is called `every` s on the way."""
        begin = due = self._arm.time
        outcome = self.submit(action)
        if outcome.accepted:
            while self._arm.busy and self._arm.time - begin < LONGEST:
                self._tick()
                if meanwhile is not None and self._arm.busy and self._arm.time >= due + every - 1e-9:
                    due = self._arm.time
                    meanwhile()
            self.advance(AFTERMATH)
        reached = outcome.accepted and not self._arm.busy and not self._arm.fault
        return replace(
            outcome, reason=outcome.reason or self._arm.fault, reached=reached, duration=self._arm.time - begin
        )

    def submit(self, action: Action, time_step: float = 0.0, stamp: float | None = None) -> StepOutcome:
        """Begin a chunk instead of the present one; counts as a control step whether it is accepted or not.

        Key frames are limited in number by the task, anything else in time.

        Args:
            action: relative to the tool position at `stamp`.
            time_step: s between its actions; 0: key frames.
            stamp: s, simulated time of the observation it answers; now when None.
        """
        self.steps += 1
        self._key_frames += time_step == 0.0
        quaternions = np.array([matrix_to_quaternion(rpy_to_matrix(angles)) for angles in action.rotation])
        chunk = ActionChunk(
            self.time if stamp is None else stamp, time_step, action.translation, quaternions, action.gripper
        )
        try:
            self._arm.submit(chunk)
        except ValueError as error:
            return StepOutcome(False, str(error), False, 0.0)
        return StepOutcome(True, "", False, 0.0)

    def advance(self, seconds: float) -> None:
        """Let simulated time pass; a chunk under way goes on."""
        end = self._arm.time + seconds - 1e-9
        while self._arm.time < end:
            self._tick()

    @property
    def time(self) -> float:
        """Return the simulated time since `reset`, s."""
        return self._arm.time

    @property
    def finished(self) -> bool:
        """Tell whether the attempt is over: done or lost, the arm in fault, or key frames or time used up."""
        spent = self._key_frames >= self.task.max_steps or self.time >= LONGEST
        return spent or bool(self._arm.fault) or self.task.lost(self.world) or self.success()

    def success(self) -> bool:
        """Tell whether the task is done, by the true state."""
        return bool(self.task.success(self.world))  # not numpy's, which JSON does not take

    def truth(self) -> Mapping[str, float]:
        """Return the true numbers that the task is about, in m and rad."""
        return self.task.truth(self.world)

    def travel(self) -> Travel:
        """Return how the arm went about the attempt so far."""
        return Travel.of(self._went, 1.0 / self._control.rate)

    def close(self) -> None:
        """Free the renderer; the episode cannot be observed any more."""
        for scene in self._scenes.values():
            if scene.renderer is not None:
                scene.renderer.close()
                scene.renderer = None

    def __enter__(self) -> Episode:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the renderer."""
        self.close()

    def _tick(self) -> None:
        self._arm.tick()
        self._went.append(self._plant.position)
        if self.on_tick is not None:
            self.on_tick()

    def _drawn_front(self, seed: int) -> CameraMount | None:
        """Return where the variation has the front camera stand and be told; None: where the file says."""
        chosen = self.variation
        if chosen.camera == ANYWHERE:
            return anywhere(self._nominal, seed)
        if chosen.recalibrated:
            return beside(self._nominal, seed, chosen.camera_shift, chosen.camera_turn)
        return None

    def _sensing(self) -> Sensing:
        return Sensing(self._look_through(), self._mounts, self._fov, self._config, self._noise)

    def _look_through(self) -> Renderer:
        """Return the renderer, with the scene's kinematics up to date."""
        if self._scene.renderer is None:
            self._scene.renderer = Renderer(self._model, self._config.width, self._config.height)
        if self._hand is not None:
            self._hand.move(self.time)
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        return self._scene.renderer

    def _scene_of(self, task: Task) -> _Scene:
        """Return the scene that a task is done in, built when it is first needed."""
        pieces = pieces_for(task)
        if pieces not in self._scenes:
            more = HAND_XML if self.variation.hand else ""
            model = build_model(self._mounts.values(), self._fov, pieces, more, self._table)
            self._scenes[pieces] = _Scene(model, pieces)
        return self._scenes[pieces]


# The expert's key frames as actions: in one go, or in small steps on the way there.

Floats = NDArray[np.float64]


def continuous_angles(rotation: Floats) -> Floats:
    """Return roll, pitch, yaw [3] of a rotation [3, 3], rad, free of jumps near a tool that points down.

    Such a tool has a roll and a yaw near half a turn; they are counted from 0 to 2 pi.
    """
    roll, pitch, yaw = matrix_to_rpy(rotation)
    return np.array([roll % (2 * np.pi), pitch, yaw % (2 * np.pi)])


def as_action(frame: KeyFrame, tool: Floats, table: float = 0.0) -> Action:
    """Return the key frame as one action of a tool at pose [4, 4], both above a table `table` m above the base."""
    in_base = frame.position + np.array([0.0, 0.0, table])  # how far the wrist can turn depends on where it is
    rotation = tool_rotation(in_base, frame.yaw, frame.tilt)
    translation = frame.position - tool[:3, 3]
    return Action(translation[None], continuous_angles(rotation)[None], np.array([frame.gripper]))


def in_steps(frame: KeyFrame, world: World, gripper: float, pace: Pace) -> Action:
    """Return the first steps towards a key frame from where the tool is; see `paced`."""
    tool = world.tool
    return paced(as_action(frame, tool, world.table), matrix_to_rpy(tool[:3, :3]), gripper, pace)
