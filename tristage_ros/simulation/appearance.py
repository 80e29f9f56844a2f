"""Lights, colours, textures and the front camera of a scene, drawn anew for every episode."""

from __future__ import annotations

import colorsys

import mujoco
import numpy as np
from numpy.typing import NDArray

from tristage_ros.simulation.variation import Variation

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

    def draw(self, variation: Variation, rng: np.random.Generator) -> None:
        """Choose new lights, colours and camera pose."""
        model = self._model
        for name, value in self._modelled.items():
            getattr(model, name)[:] = value
        model.vis.headlight.ambient, model.vis.headlight.diffuse = self._ambient, self._diffuse
        if variation.light:
            self._draw_light(variation.light, rng)
        if variation.color:
            self._draw_colors(variation.color, rng)
        if variation.camera_shift or variation.camera_turn:
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
