"""What a seed decides about an attempt: what stands where, how it looks, the arm's start; and how far each varies."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace

import mujoco
import numpy as np
from numpy.typing import NDArray

from tristage_ros.perception.extrinsics import CameraMount
from tristage_ros.simulation.instructions import FIXED, VIEWPOINTS
from tristage_ros.simulation.objects import BANANA, BOX, CLUTTER, FRIDGE, LAPTOP, PLATE, STAND, UMBRELLA, Piece
from tristage_ros.simulation.scene import HOME, aim, put_away, settle, stand
from tristage_ros.simulation.tasks import TASKS, Task


@dataclass(frozen=True)
class Variation:
    """Choose what is drawn anew for every episode; the default is what a policy is trained and judged on."""

    start: float = 0.12  # rad, of every joint around HOME, to either side
    light: float = 1.0  # 0: as modelled .. 1: direction, brightness and tint of the light vary widely
    color: float = 1.0  # 0: as modelled .. 1: table and room in any colour, textures, objects a little off theirs
    clutter: bool = True  # clutter may stand anywhere that is free, not only aside
    company: float = 0.4  # share of episodes in which the things of another task stand there as well
    camera_shift: float = 0.0  # m, standard deviation per axis of the front camera's place; its calibration is not told
    camera_turn: float = 0.0  # rad, likewise of its direction
    recalibrated: bool = False  # what these two have done to it is told
    zoom: float = 1.0  # focal length of the front camera, times that of the cameras file; its intrinsics tell it
    wrist: bool = True  # whether the cloud has what other cameras than the front one see
    sensor_noise: bool = False  # noise, steps and holes of a real depth camera
    hand: bool = False  # a person's hand comes in over the table
    camera: str = FIXED  # "anywhere": the front camera's pose is drawn, too, and its calibration tells it

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        for name in ("start", "camera_shift", "camera_turn"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 0 and below 1")
        for name in ("light", "color", "company"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 to 1")
        if not 0.3 <= self.zoom <= 3.0:
            raise ValueError(f"zoom is {self.zoom}; it must be 0.3 to 3")
        if self.camera not in VIEWPOINTS:
            raise ValueError(f"camera is {self.camera!r}; it must be {' or '.join(VIEWPOINTS)}")


PLAIN = Variation(start=0.0, light=0.0, color=0.0, clutter=False, company=0.0)


def everything(*own: Task) -> tuple[Piece, ...]:
    """Return the pieces of the one model that serves every task without a model of its own, and one's own tasks."""
    first = (PLATE, BANANA, STAND, UMBRELLA, BOX, LAPTOP, FRIDGE, *CLUTTER)  # seeds count on this order
    tasks = (*(task for task in TASKS.values() if not task.own_model), *own)
    return tuple(dict.fromkeys((*first, *(piece for task in tasks for piece in task.pieces))))


EVERYTHING = everything()


def pieces_for(task: Task) -> tuple[Piece, ...]:
    """Return the pieces of the model that `task` is done in."""
    return task.own_model or everything(task)


_TABLE_X, _TABLE_Y = (0.16, 0.50), (-0.36, 0.36)  # m, where clutter may stand


class Setting:
    """Set the scene for one attempt after the other."""

    def __init__(self, model: mujoco.MjModel, pieces: tuple[Piece, ...] = EVERYTHING) -> None:
        """Take over `model`, which holds `pieces`."""
        self._model, self._all, self._appearance = model, pieces, Appearance(model)
        self._names = {piece.name for piece in pieces}

    def start(self, task: Task, seed: int, variation: Variation, front: CameraMount | None = None) -> mujoco.MjData:
        """Return the state at the beginning, at rest; the same for the same task, seed and variation.

        `front` says where the front camera is told to be, where that is elsewhere than `model` was built with.
        """
        model, data, rng = self._model, mujoco.MjData(self._model), np.random.default_rng(seed)
        self._appearance.draw(variation, rng, front)
        clutter = [piece for piece in _clutter(variation) if piece.name in self._names]
        pieces = (*self._pieces(task, variation, rng), *clutter)
        present = {piece.name for piece in pieces}
        put_away(model, data, [piece for piece in self._all if piece.name not in present])
        task.arrange(model, data, pieces, rng)
        start = HOME + variation.start * rng.uniform(-1, 1, 6) if variation.start else HOME
        stand(model, data, start)
        settle(model, data)
        return data

    def _pieces(self, task: Task, variation: Variation, rng: np.random.Generator) -> tuple[Piece, ...]:
        if not task.companies or not variation.company or rng.random() >= variation.company:
            return task.pieces
        return task.companies[rng.integers(len(task.companies))]


def _clutter(variation: Variation) -> tuple[Piece, ...]:
    if not variation.clutter:
        return CLUTTER
    return tuple(replace(piece, x=_TABLE_X, y=_TABLE_Y) for piece in CLUTTER)


# What it looks like: lights, colours, textures and the front camera's place.

TABLES = ("wood", "stripes", "speckles", "plain")  # materials of the table, the first one as modelled
_ROOM = ("floor", "wall")
_VARIED = ("light_pos", "light_dir", "light_diffuse", "mat_rgba", "geom_rgba", "geom_matid", "cam_pos", "cam_quat")


class Appearance:
    """Change what a model looks like; its physics stays."""

    def __init__(self, model: mujoco.MjModel) -> None:
        """Take over `model`; how it looks now is what every draw departs from."""
        self._model = model
        self._modelled = {name: getattr(model, name).copy() for name in _VARIED}
        self._ambient, self._diffuse = model.vis.headlight.ambient.copy(), model.vis.headlight.diffuse.copy()

    def draw(self, variation: Variation, rng: np.random.Generator, front: CameraMount | None = None) -> None:
        """Choose new lights, colours and camera pose, which departs from `front` where that is given."""
        model = self._model
        for name, value in self._modelled.items():
            getattr(model, name)[:] = value
        model.vis.headlight.ambient, model.vis.headlight.diffuse = self._ambient, self._diffuse
        if front is not None:
            aim(model, front)
        if variation.light:
            self._draw_light(variation.light, rng)
        if variation.color:
            self._draw_colors(variation.color, rng)
        if (variation.camera_shift or variation.camera_turn) and not variation.recalibrated:
            self._move_camera(variation, rng)

    def _draw_light(self, amount: float, rng: np.random.Generator) -> None:
        model = self._model
        place = np.array([rng.uniform(-0.4, 1.4), rng.uniform(-1.4, 1.4), rng.uniform(1.2, 2.2)])
        model.light_pos[0] += amount * (place - model.light_pos[0])
        toward = np.array([0.3, 0.0, 0.0]) - model.light_pos[0]
        model.light_dir[0] = toward / np.linalg.norm(toward)
        tint = 1.0 + amount * rng.uniform(-0.10, 0.10, 3)
        model.light_diffuse[0] *= tint * (1.0 + amount * rng.uniform(-0.6, 0.4))
        model.vis.headlight.ambient = self._ambient * (1.0 + amount * rng.uniform(-0.35, 0.35)) * tint
        model.vis.headlight.diffuse = self._diffuse * (1.0 + amount * rng.uniform(-0.35, 0.35))

    def _draw_colors(self, amount: float, rng: np.random.Generator) -> None:
        model = self._model
        for geom in np.flatnonzero(model.geom_matid < 0):
            model.geom_rgba[geom, :3] = (model.geom_rgba[geom, :3] + amount * rng.normal(0, 0.02, 3)).clip(0, 1)
        for name in _ROOM:
            geom = model.geom(name).id
            model.geom_rgba[geom, :3] += amount * (_muted(rng) - model.geom_rgba[geom, :3])
        if rng.random() < amount:
            material = model.material(TABLES[rng.integers(len(TABLES))])
            model.geom_matid[model.geom("table").id] = material.id
            if material.name != TABLES[0] or rng.random() < 0.5:
                model.mat_rgba[material.id, :3] = _muted(rng)

    def _move_camera(self, variation: Variation, rng: np.random.Generator) -> None:
        camera = self._model.camera("front").id
        self._model.cam_pos[camera] += rng.normal(0, variation.camera_shift, 3) if variation.camera_shift else 0.0
        turn = rng.normal(0, 1, 3) * variation.camera_turn
        mujoco.mju_quatIntegrate(self._model.cam_quat[camera], turn, 1.0)


def _muted(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a colour, RGB 0..1, that is neither as yellow as the banana nor as blue as the plate."""
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.35), rng.uniform(0.30, 0.90)))
