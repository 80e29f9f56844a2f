"""A ChArUco board before a front and a wrist camera, rendered: the truth that a calibration must recover."""

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from tristage_ros.perception.camera import CameraModel
from tristage_ros.simulation.renderer import Renderer, mujoco  # which it sets up for rendering

WIDTH, HEIGHT = 640, 480
FOV = {"front": 43.2, "wrist": 58.0}  # degrees, vertical
START = np.array([0.0, 1.2, -1.1, 0.0, 0.9, 0.0])  # rad
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # optical frame <-> MuJoCo's camera


def pose(translation, rotation):
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = Rotation.from_rotvec(rotation).as_matrix(), translation
    return result


class BoardScene:
    """Render what a camera at a pose sees of the board at a pose."""

    def __init__(self, board):
        width, height = board.size
        _, picture = cv2.imencode(".png", np.pad(board.image(120), 60, constant_values=255))
        edge = 60 / 120 * board.square  # the white margin
        left, right, top, bottom = -edge, width + edge, -edge, height + edge
        # Front and back, so that it is seen whichever way the triangles turn; a mesh must not be flat.
        xml = f"""<mujoco><visual><quality offsamples="8"/><map znear="0.02" zfar="8"/>
          <headlight ambient="0.7 0.7 0.7" diffuse="0.3 0.3 0.3" specular="0 0 0"/></visual>
         <statistic extent="1" center="0 0 0"/>
         <asset><texture name="board" type="2d" file="board.png"/>
          <material name="board" texture="board" specular="0"/>
          <mesh name="board" inertia="shell"
           vertex="{left} {top} 0 {right} {top} 0 {right} {bottom} 0 {left} {bottom} 0 0 0 0.01"
           texcoord="0 0 1 0 1 1 0 1 0 0" face="0 1 2 0 2 3 2 1 0 3 2 0 0 1 4"/></asset>
         <worldbody><geom type="plane" size="3 3 .1" pos="0 0 -0.3" rgba="0.5 0.45 0.4 1"/>
          <body name="board" mocap="true"><geom type="mesh" mesh="board" material="board"/></body>
          {"".join(f'<camera name="{name}" fovy="{fov}"/>' for name, fov in FOV.items())}
         </worldbody></mujoco>"""
        self.model = mujoco.MjModel.from_xml_string(xml, assets={"board.png": picture.tobytes()})
        self.data = mujoco.MjData(self.model)
        self.renderer = Renderer(self.model, WIDTH, HEIGHT)

    def see(self, name, camera, board):
        """Return the image [H, W, 3] of camera `name` at pose `camera`, the board at pose `board`."""
        placed, part = self.model.camera(name), camera @ FLIP
        placed.pos[:] = part[:3, 3]
        mujoco.mju_mat2Quat(placed.quat, part[:3, :3].flatten())
        self.data.mocap_pos[0] = board[:3, 3]
        mujoco.mju_mat2Quat(self.data.mocap_quat[0], board[:3, :3].flatten())
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)
        return self.renderer.render(self.data, name)[0]

    def close(self):
        self.renderer.close()


def seeing(name):
    """Return a camera of the scene."""
    focal = HEIGHT / 2 / np.tan(np.deg2rad(FOV[name]) / 2)
    return CameraModel(
        WIDTH, HEIGHT, focal, focal, (WIDTH - 1) / 2, (HEIGHT - 1) / 2, frame_id=f"{name}_color_optical_frame"
    )


def random_joints(rng, size=0.6):
    """Return joint positions [6] rad about those of an arm that looks down on the table."""
    return START + rng.uniform(-size, size, 6)
