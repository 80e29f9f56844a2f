"""Joint states of any device as this arm's joints: by the names, units, signs and offsets that are declared for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tristage_ros.devices.arm.kinematics import GRIPPER_RANGE, JOINT_LIMITS
from tristage_ros.devices.arm.values import Led

UNITS = {"rad": 1.0, "deg": math.pi / 180}
_PLAUSIBLE = float(np.abs(JOINT_LIMITS).max()) + 0.5  # rad, of a joint that means to lead this arm


@dataclass(frozen=True)
class NamedJoints:
    """Say which joint of a device is which of this arm's, and how it counts."""

    names: tuple[str, ...] = tuple(f"joint{k + 1}" for k in range(6))  # of J1 to J6
    units: str = "rad"  # or "deg"
    signs: tuple[float, ...] = (1.0,) * 6  # 1, or -1 where it turns the other way
    offsets: tuple[float, ...] = (0.0,) * 6  # rad, added once units and signs are right
    gripper: str = ""  # its name; "": there is none
    closed: float = 0.0  # what it says when it is closed
    opened: float = GRIPPER_RANGE[1]  # and open

    def __post_init__(self) -> None:
        """Refuse what describes no six joints.

        Raises:
            ValueError: which parameter is wrong, and what to write.
        """
        if len(self.names) != 6 or len(set(self.names)) != 6 or not all(self.names):
            raise ValueError(f"leader_joint_names are six different names, those of J1 to J6, not {list(self.names)}")
        if self.units not in UNITS:
            raise ValueError(f"leader_joint_units is one of {', '.join(UNITS)}, not {self.units!r}")
        if len(self.signs) != 6 or any(abs(sign) != 1.0 for sign in self.signs):
            raise ValueError(f"leader_joint_signs are six of 1.0 and -1.0, not {list(self.signs)}")
        if len(self.offsets) != 6 or not np.isfinite(self.offsets).all():
            raise ValueError(f"leader_joint_offsets are six angles in rad, not {list(self.offsets)}")
        if not np.isfinite([self.closed, self.opened]).all() or self.closed == self.opened:
            told = f"{self.closed} and {self.opened}"
            raise ValueError(f"leader_gripper_closed and leader_gripper_open are two different numbers, not {told}")
        if self.gripper in self.names:
            raise ValueError(f"leader_gripper_name is {self.gripper!r}, which is a joint, too")

    def led(self, stamp: float, names: Sequence[str], positions: Sequence[float]) -> Led:
        """Return what joint states ask for; their order is that of `names`, whichever that is.

        Raises:
            ValueError: they do not fit; the words name the joint and say what to do.
        """
        if len(names) != len(positions) or len(set(names)) != len(names):
            raise ValueError(f"{len(positions)} positions for the names {', '.join(names) or '(none)'}: one each")
        said = dict(zip(names, positions, strict=True))
        wanted = (*self.names, *([self.gripper] if self.gripper else []))
        if missing := [name for name in wanted if name not in said]:
            here = ", ".join(names) or "no names"
            raise ValueError(f"no {', '.join(missing)} in the joint states ({here}): set leader_joint_names")
        if bad := [name for name in wanted if not math.isfinite(said[name])]:
            raise ValueError(f"{bad[0]} is {said[bad[0]]}, not a number to follow")
        turned = np.array([said[name] for name in self.names]) * UNITS[self.units] * self.signs + self.offsets
        worst = int(np.abs(turned).argmax())
        if abs(turned[worst]) > _PLAUSIBLE:
            told = f"{self.names[worst]} is {said[self.names[worst]]:.4g} {self.units}, farther than any joint turns"
            raise ValueError(told + "; is it in degrees? set leader_joint_units: deg" * (self.units == "rad"))
        return Led(stamp, position=turned, gripper=self._opening(said) if self.gripper else None)

    def _opening(self, said: dict[str, float]) -> float:
        """Return how far the gripper is to be open, m."""
        share = (said[self.gripper] - self.closed) / (self.opened - self.closed)
        return GRIPPER_RANGE[1] * min(1.0, max(0.0, share))
