"""What the arm's own weight asks of its motors, from the masses that the manufacturer's URDF gives its links.

Masses in kg, places in m, in the frames of `kinematics.link_poses`, torques in N m. Which share of it a real arm's
`effort` tells, and what friction adds, nobody has published: it is for changes against a measured beginning.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tristage_ros.devices.arm.kinematics import TOOL_OFFSET, link_poses

Floats = NDArray[np.float64]

GRAVITY = 9.81  # m/s^2
# By link, the last with gripper and fingers: agilexrobotics/piper_ros, piper_description.urdf.
_MASS = np.array([0.71, 1.16, 0.5, 0.38, 0.383, 0.507])
_CENTRE = np.array(
    [
        (0.0003, -0.0004, -0.0035),
        (0.2185, -0.0086, 0.0013),
        (-0.0200, -0.1481, -0.0005),
        (0.0001, -0.0008, -0.0039),
        (0.0002, -0.0610, -0.0023),
        (-0.0002, 0.0001, 0.0377),
    ]
)


def holding_torque(joints: ArrayLike, dh_is_offset: bool = True, payload: float = 0.0) -> Floats:
    """Return what the motors do to hold the arm at rest at `joints` [6] rad with `payload` kg at the grasp centre, [6].

    It is the gradient of the potential energy: sum of m g (z_k x (p - o_k)) over what joint k carries.
    """
    links = link_poses(joints, dh_is_offset)
    centres = np.einsum("kij,kj->ki", links[:, :3, :3], _CENTRE) + links[:, :3, 3]
    masses = np.append(_MASS, payload)
    centres = np.vstack([centres, links[5, :3, 3] + TOOL_OFFSET * links[5, :3, 2]])
    arms = centres[None] - links[:, None, :3, 3]  # [6, 7, 3] m, from each joint to each mass
    axes = links[:, :3, 2]
    lever = axes[:, None, 0] * arms[..., 1] - axes[:, None, 1] * arms[..., 0]  # m, the vertical part of z x arm
    carried = np.arange(7)[None] >= np.arange(6)[:, None]
    torque: Floats = GRAVITY * (lever * carried) @ masses
    return torque
