"""The simulated cell as a node: what realsense2_camera would publish, and the arm's firmware on a CAN bus."""

from __future__ import annotations

import threading
import time
from functools import partial

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from tristage_msgs.msg import ArmStatus

from tristage_ros.devices.arm.site import load_site
from tristage_ros.devices.arm.values import LET_GO, LeadState
from tristage_ros.nodes.pace import KeptPace
from tristage_ros.resources import resource
from tristage_ros.ros import qos
from tristage_ros.ros.convert import camera_info_message
from tristage_ros.ros.diagnostics import ERROR, OK, WARN, Diagnostics, Part
from tristage_ros.ros.image_transport import QUALITY, ImagePublisher
from tristage_ros.ros.parameters import Parameter, declare
from tristage_ros.ros.qos import sending
from tristage_ros.ros.runner import ConfigurationError, run, unless_stopped
from tristage_ros.simulation.cell import Capture, Cell, CellConfig
from tristage_ros.simulation.demonstrator import Demonstrator
from tristage_ros.simulation.instructions import INSTRUCTIONS
from tristage_ros.simulation.leader import EmulatedLeader
from tristage_ros.simulation.renderer import RenderingError
from tristage_ros.simulation.setting import PLAIN, Variation

PARAMETERS = (
    Parameter("task", "banana", "whose things stand on the table", choices=tuple(INSTRUCTIONS)),
    Parameter("varied", False, "light, colours, clutter and the arm's start vary with the seed, too"),
    Parameter("seed", 0, "seed of the object poses", low=0, high=2**31 - 1),
    Parameter("frame_rate", 15.0, "camera frames per simulated second", "Hz", 1.0, 60.0),
    Parameter(
        "real_time",
        True,
        "simulated time is the clock's; false: it passes more slowly where this computer cannot keep up",
    ),
    Parameter("width", 640, "image width", "pixels", 64, 1920),
    Parameter("height", 480, "image height", "pixels", 64, 1080),
    Parameter("can_channel", "", "where the firmware's CAN bus is served, on this machine only"),
    Parameter(
        "leader_channel", "", "where the CAN bus of a second arm in a scripted hand is served; empty: there is none"
    ),
    Parameter("cameras_file", "", "camera extrinsics; empty: config/cameras.yaml"),
    Parameter("site_file", "", "how high the table is; empty: config/site.yaml"),
    QUALITY,
)


class CameraTopics:
    """Publish one camera under the topic names of realsense2_camera."""

    def __init__(self, node: Node, name: str, quality: int) -> None:
        """Create the publishers of camera `name` (`front/...`); `quality` is that of JPEG, 1..100."""
        aligned = f"{name}/aligned_depth_to_color"
        self.color = ImagePublisher(node, f"{name}/color/image_raw", quality)
        self.color_info = node.create_publisher(CameraInfo, f"{name}/color/camera_info", qos.IMAGES)
        self.depth = ImagePublisher(node, f"{aligned}/image_raw")
        self.depth_info = node.create_publisher(CameraInfo, f"{aligned}/camera_info", qos.IMAGES)

    def publish(self, capture: Capture) -> None:
        """Publish colour, aligned depth and both camera_infos with one stamp."""
        frame_id = capture.camera.frame_id
        info = camera_info_message(capture.camera, capture.stamp)
        self.color_info.publish(info)
        self.depth_info.publish(info)
        self.depth.publish(capture.depth, "16UC1", capture.stamp, frame_id)
        self.color.publish(capture.color, "rgb8", capture.stamp, frame_id)


class ScriptedHand:
    """Let a scripted hand do the cell's task by a second arm, which it asks the arm node to engage."""

    def __init__(self, node: Node, cell: Cell, channel: str) -> None:
        """Switch a second arm on, where the first is, its bus served on `channel`.

        Raises:
            ValueError, OSError: the bus cannot be served there.
        """
        place = cell.ask(lambda world: world.joints.copy())
        self._leader = EmulatedLeader("remote", channel, place, seed=cell.config.seed)
        self._demonstrator = Demonstrator(cell, self._leader)
        self._node, self._stage = node, ""
        self._engage = node.create_client(Trigger, "arm/engage")
        node.create_subscription(ArmStatus, "arm/status", self._on_status, 1)
        self._leader.start()

    def _on_status(self, status: ArmStatus) -> None:
        """Do what a person does who sees this; one whose arm does not obey, or was let go of by another one, waits."""
        obeys = status.mode in (ArmStatus.HOLDING, ArmStatus.MOVING) and not status.dry_run
        if not obeys or status.command_source != ArmStatus.LEADER or LET_GO in status.leading_reason:
            return
        if self._demonstrator.act(time.monotonic(), LeadState(status.leading)) and self._engage.service_is_ready():
            self._engage.call_async(Trigger.Request())
        if self._demonstrator.stage != self._stage:
            self._stage = self._demonstrator.stage
            self._node.get_logger().info(f"hand: {self._stage}")

    def close(self) -> None:
        """Switch the second arm off."""
        self._leader.close()


class SimulationNode(Node):
    """Run the cell, in real time where this computer can, and publish its cameras."""

    def __init__(self) -> None:
        """Build the scene and open the CAN bus."""
        super().__init__("simulation")
        self.settings = declare(self, PARAMETERS)
        self.failure = ""
        self.frames = self.late = 0
        self._told = (0, 0)
        try:
            self.cell = unless_stopped(self, partial(Cell, self._cell_config()))
            self.cell.start()
            leads = self.settings.leader_channel
            self._hand = ScriptedHand(self, self.cell, leads) if leads else None
        except (OSError, ValueError, RuntimeError) as error:
            raise ConfigurationError(f"simulation: {error}") from error
        self.topics = {name: CameraTopics(self, name, self.settings.jpeg_quality) for name in self.cell.cameras}
        self._diagnostics = Diagnostics(self, "simulated cell")
        self._diagnostics.add("cameras", self._camera_part)
        self._diagnostics.add("task", self._task_part)
        self._kept: KeptPace | None = None
        if not self.settings.real_time:
            self._kept = KeptPace(self, self.cell, self.settings.frame_rate, self._diagnostics.publish)
            self._diagnostics.add("pace", self._kept.part)
        self.done: bool | None = None
        self._done_publisher = self.create_publisher(Bool, "tristage/task_done", qos.LATCHED)
        self.create_timer(0.2, self._judge)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._capture_loop, name="cameras", daemon=True)
        self._thread.start()
        self.get_logger().info(
            f"cell is up: cameras {', '.join(self.topics)} at {self.settings.frame_rate:g} Hz, "
            f"{self.cell.can_description}"
        )

    def _cell_config(self) -> CellConfig:
        s = self.settings
        cameras = s.cameras_file or str(resource("config", "cameras.yaml"))
        channel = {"can_channel": s.can_channel} if s.can_channel else {}
        look = {"variation": Variation() if s.varied else PLAIN, "table": load_site(s.site_file, cameras).table_height}
        return CellConfig(cameras, s.seed, s.width, s.height, task=s.task, **look, **channel)

    def _capture_loop(self) -> None:
        try:
            self._capture_until_stopped()
        except Exception as error:  # the cameras must not die without a word
            if not self._stop.is_set():
                why = error if isinstance(error, RenderingError) else repr(error)
                self.failure = f"simulation: cameras stopped: {why}"

    def _capture_until_stopped(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            began = time.monotonic()
            for name, capture in self.cell.capture().items():
                self._publish(name, capture)
            if self._kept:
                self._kept.pace.drew(time.monotonic() - began)
            self.frames += 1
            due += self.cell.firmware.dilation / self.settings.frame_rate
            if time.monotonic() > due:  # skip what is late instead of catching up
                self.late += 1
                due = time.monotonic()
            self._stop.wait(due - time.monotonic())

    def _publish(self, name: str, capture: Capture) -> None:
        with sending(self, f"frame of {name}"):
            self.topics[name].publish(capture)

    def _judge(self) -> None:
        """Publish whether the task is done whenever that changes."""
        done = self.cell.success()
        if done == self.done:
            return
        if done or self.done is not None:
            self.get_logger().info(f"{self.cell.task.instruction}: {'done' if done else 'not done any more'}")
        self.done = done
        self._done_publisher.publish(Bool(data=done))

    def _task_part(self) -> Part:
        values = {"task": self.cell.task.name, "instruction": self.cell.task.instruction, "done": bool(self.done)}
        return Part(OK, f"{self.cell.task.instruction}: {'done' if self.done else 'not done yet'}", values)

    def _camera_part(self) -> Part:
        frames, late = self.frames - self._told[0], self.late - self._told[1]  # since the last time
        self._told = self.frames, self.late
        values = {"frames": self.frames, "late": self.late, "frame rate wanted [Hz]": self.settings.frame_rate}
        if self.failure:
            return Part(ERROR, self.failure, values)
        if late > 0.2 * frames:
            return Part(WARN, f"rendering is too slow: {late} of the last {frames} frames were late", values)
        return Part(OK, "running", values)

    def close(self) -> None:
        """End rendering and physics and release the bus."""
        self._stop.set()
        self._thread.join(timeout=2.0)
        if self._hand:
            self._hand.close()
        self.cell.close()


def main() -> int:
    """Run the node until a signal ends it; return the exit code."""
    return run(SimulationNode)
