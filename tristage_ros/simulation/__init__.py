"""A Piper cell without hardware: MuJoCo physics, rendered RGB-D, the arm's firmware on a CAN bus. No ROS."""

import os

os.environ.setdefault("MUJOCO_GL", "egl")  # read when mujoco is first imported; EGL renders without a display
