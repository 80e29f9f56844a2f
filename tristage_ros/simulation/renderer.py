"""What the scene's cameras see: RGB and metric depth in one rendering pass each, and what is truly at every pixel."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import mujoco
import numpy as np
from numpy.typing import NDArray

from tristage_ros.simulation import BACKEND, NEEDS

NEAREST, FARTHEST = 0.07, 4.0  # m, depth outside is not measured


@contextmanager
def _current(context: mujoco.GLContext) -> Iterator[None]:
    """Make `context` current and release it again, so that another thread may have it next."""
    if hasattr(context, "as_current"):
        with context.as_current():
            yield
        return
    context.make_current()  # MuJoCo 3, the last for Python 3.10, does not release it by itself
    try:
        yield
    finally:
        if os.environ[BACKEND] == "egl":
            from OpenGL import EGL

            display = EGL.eglGetCurrentDisplay()
            EGL.eglMakeCurrent(display, EGL.EGL_NO_SURFACE, EGL.EGL_NO_SURFACE, EGL.EGL_NO_CONTEXT)


class RenderingError(OSError):
    """Say why nothing can be rendered and what to install; the message is one line for a person."""


class Renderer:
    """Render cameras of a model off screen, from any thread but one at a time."""

    def __init__(self, model: mujoco.MjModel, width: int, height: int) -> None:
        """Open a rendering context for images of `width` x `height` pixels; shadows and reflections are off.

        Raises:
            RenderingError: no rendering context can be opened on this machine.
        """
        self._model = model
        self._rectangle = mujoco.MjrRect(0, 0, width, height)
        model.vis.global_.offwidth, model.vis.global_.offheight = width, height
        try:
            self._gl = mujoco.GLContext(width, height)
            with _current(self._gl):
                self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
                mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        except Exception as error:  # whatever the backend raises when its libraries or drivers are missing
            backend = os.environ[BACKEND].lower()
            raise RenderingError(
                f"cannot render with {BACKEND}={backend} ({type(error).__name__}); {NEEDS[backend]}"
            ) from error
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 20)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._options, self._camera = mujoco.MjvOption(), mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED

    def render(self, data: mujoco.MjData, camera: str) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        """Return colour [H, W, 3] RGB and depth [H, W] in mm along the optical axis, 0 where it is not measured.

        `data` needs up to date kinematics (mj_kinematics, mj_camlight).
        """
        color, buffer = self._read(data, camera)
        return np.ascontiguousarray(color[::-1]), self._millimetres(buffer)

    def segment(self, data: mujoco.MjData, camera: str) -> NDArray[np.int64]:
        """Return which geom is seen at every pixel [H, W], -1 where there is none; `data` as for `render`."""
        flags = self._scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = True
        try:
            color, _ = self._read(data, camera)
        finally:
            flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = False
        number = color[::-1].astype(np.int64) @ (1, 1 << 8, 1 << 16)  # in the scene, from 1; 0: nothing
        geom = np.full(self._scene.ngeom + 1, -1, np.int64)
        for shape in self._scene.geoms[: self._scene.ngeom]:
            if shape.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                geom[shape.segid + 1] = shape.objid
        return geom[number]

    def _read(self, data: mujoco.MjData, camera: str) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return colour and depth buffer of one pass, the lowest row first."""
        self._camera.fixedcamid = self._model.camera(camera).id
        mujoco.mjv_updateScene(
            self._model, data, self._options, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        height, width = self._rectangle.height, self._rectangle.width
        color, buffer = np.empty((height, width, 3), np.uint8), np.empty((height, width), np.float32)
        with _current(self._gl):
            mujoco.mjr_render(self._rectangle, self._scene, self._context)
            mujoco.mjr_readPixels(color, buffer, self._rectangle, self._context)
        return color, buffer

    def close(self) -> None:
        """Free the context."""
        with _current(self._gl):
            self._context.free()
        self._gl.free()

    def _millimetres(self, buffer: NDArray[np.float32]) -> NDArray[np.uint16]:
        """Turn the depth buffer (1 near .. 0 far, hyperbolic) into millimetres; overwrites `buffer`."""
        near, far = (plane * self._model.stat.extent for plane in (self._model.vis.map.znear, self._model.vis.map.zfar))
        buffer *= far - near
        buffer += near
        np.divide(1000 * near * far, buffer, out=buffer)
        buffer += 0.5
        depth = buffer[::-1].astype(np.uint16)
        depth[(depth < 1000 * NEAREST) | (depth > 1000 * FARTHEST)] = 0
        return depth


# Labels: what a geom, and then a patch of the image, is to the task.

BACKGROUND, ROBOT, OBJECT = 0, 1, 2
LEAST_SHARE = 0.15  # of a patch that has to be covered for the patch to count as object or robot


def label_of_geoms(model: mujoco.MjModel, objects: Iterable[str]) -> NDArray[np.int64]:
    """Return the label of every geom and, in the last place, that of nothing; `objects` are names of bodies."""
    labels = np.full(model.ngeom + 1, BACKGROUND)
    roots = {model.body(name).id: OBJECT for name in objects} | {model.body("base_link").id: ROBOT}
    for geom, body in enumerate(model.geom_bodyid):
        labels[geom] = roots.get(model.body_rootid[body], BACKGROUND)
    return labels


def label_of_patches(pixels: NDArray[np.int64], grid: int = 16) -> NDArray[np.int64]:
    """Return the label [grid * grid] of every patch of labelled pixels [H, W], row by row.

    A patch is an object's if that covers `LEAST_SHARE` of it, else the robot's if that does, else background.
    """
    height, width = pixels.shape
    row, column = np.mgrid[:height, :width]
    patch = (row * grid // height * grid + column * grid // width).ravel()
    size = np.bincount(patch, minlength=grid * grid)
    labels = np.full(grid * grid, BACKGROUND)
    for label in (ROBOT, OBJECT):
        share = np.bincount(patch, (pixels == label).ravel(), minlength=grid * grid) / size
        labels[share >= LEAST_SHARE] = label
    return labels
