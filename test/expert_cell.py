"""The simulated cell as its node, with a policy server in the same process whose policy is the task's scripted expert.

`python test/expert_cell.py PORT joints|tool --ros-args ...` in the place of the node `simulation`. The expert sees the
true state; what it is told of the arm, and what it answers, is as the maps `joints` and `libero` have it. SIGUSR1 ends
the server alone.
"""

import signal
import sys
import time
from itertools import pairwise

import numpy as np
from policy_server import PolicyServer
from scipy.spatial.transform import Rotation

from tristage_ros.devices.arm.kinematics import GRIPPER_RANGE, flange_pose, inverse, rpy_to_matrix
from tristage_ros.mla.approach import Pace
from tristage_ros.nodes.simulation import SimulationNode
from tristage_ros.ros.runner import run
from tristage_ros.simulation.episode import in_steps

PACE = Pace(actions=30, time_step=0.05)
POSITION, ROTATION = 0.05, 0.5  # m and rad that 1 is in LIBERO


class ExpertPolicy:
    """Answer with the first steps towards what the expert would go for now."""

    def __init__(self, cell, kind):
        self.cell, self.answer = cell, {"joints": self.joints, "tool": self.tool}[kind]
        self.gripper, self.since = np.ones(1), 0.0  # what was asked for last

    def poses(self, world):
        """Return the poses [n, 4, 4] of the next steps, the opening [n], and the joints [6] that they begin at."""
        due = min(int((time.monotonic() - self.since) / PACE.time_step), len(self.gripper) - 1)
        steps = in_steps(self.cell.task.guide(world), world, float(self.gripper[due]), PACE)
        poses = np.tile(np.eye(4), (PACE.actions, 1, 1))
        poses[:, :3, 3] = world.tool[:3, 3] + [0.0, 0.0, world.table] + steps.translation
        poses[:, :3, :3] = [rpy_to_matrix(angles) for angles in steps.rotation]
        self.gripper, self.since = steps.gripper, time.monotonic()
        return poses, steps.gripper, world.joints.copy()

    def joints(self, observation):
        poses, gripper, here = self.cell.ask(self.poses)
        joints = [here]
        for pose in poses:
            joints.append(inverse(flange_pose(pose), joints[-1]))
        return {"actions": np.column_stack([joints[1:], GRIPPER_RANGE[1] * gripper]).astype(np.float32)}

    def tool(self, observation):
        poses, gripper, _ = self.cell.ask(self.poses)
        before = np.eye(4)
        before[:3, 3] = observation["observation/state"][:3]
        before[:3, :3] = Rotation.from_rotvec(observation["observation/state"][3:6]).as_matrix()
        steps = np.concatenate([before[None], poses])
        turned = [Rotation.from_matrix(b[:3, :3] @ a[:3, :3].T).as_rotvec() for a, b in pairwise(steps)]
        moved = np.diff(steps[:, :3, 3], axis=0)
        return {"actions": np.column_stack([moved / POSITION, np.array(turned) / ROTATION, 1.0 - 2.0 * gripper])}


class ExpertCell(SimulationNode):
    """Serve the expert for as long as the cell runs."""

    def __init__(self, port, kind):
        super().__init__()
        policy = ExpertPolicy(self.cell, kind)
        self._served = PolicyServer(lambda observation: policy.answer(observation), {"policy": f"expert, {kind}"}, port)
        signal.signal(signal.SIGUSR1, lambda *_: self._served.die())

    def close(self):
        self._served.close()
        super().close()


if __name__ == "__main__":
    sys.exit(run(lambda: ExpertCell(int(sys.argv[1]), sys.argv[2])))
