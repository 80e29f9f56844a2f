"""A Piper cell without hardware: MuJoCo physics, rendered RGB-D, the arm's firmware on a CAN bus. No ROS."""

import importlib
import importlib.util
import os

BACKEND = "MUJOCO_GL"
NEEDS = {  # of the backends that render without a window, and of the one that does not
    "egl": "sudo apt install libegl1 libegl-mesa0 libgl1-mesa-dri",
    "osmesa": f"sudo apt install libosmesa6, or: export {BACKEND}=egl",
    "glfw": f"it needs a display; without one: export {BACKEND}=egl",
}
os.environ.setdefault(BACKEND, "egl")  # read when mujoco is first imported; EGL renders without a display


def misspelt_backend() -> str:
    """Return what is wrong with the name of the rendering backend, and what to do; empty where it is one."""
    chosen = os.environ[BACKEND].lower()
    return (
        ""
        if chosen in NEEDS
        else f"{BACKEND} is {chosen!r}; type: export {BACKEND}=egl (there are: {', '.join(NEEDS)})"
    )


def rendering_trouble() -> str:
    """Return why mujoco cannot be imported with the rendering backend that is chosen, and what to do; else nothing."""
    if told := misspelt_backend():
        return told
    if importlib.util.find_spec("mujoco") is None:  # which is told with what else is not installed
        return ""
    try:
        importlib.import_module("mujoco")
    except Exception as error:  # whatever a backend raises whose libraries are missing
        chosen = os.environ[BACKEND].lower()
        return f"{BACKEND} is {chosen}, which cannot be loaded ({type(error).__name__}); {NEEDS[chosen]}"
    return ""
