"""The node that shows the cell in Rerun: what it hears, and when; how it goes on without its viewer.

In the place of the viewer and of what logs are programs that listen, and that write down what comes.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState

from tristage_ros.nodes.viewers import rerun_viewer
from tristage_ros.nodes.viewers.rerun_viewer import RerunViewerNode
from tristage_ros.ros.convert import header
from tristage_ros.viewing.environment import Environment, ViewerError
from tristage_ros.viewing.page import LOOPBACK
from tristage_ros.viewing.program import listens
from tristage_ros.viewing.stream import PROGRAM, Stream

# As the viewer: listens at --port, and keeps who connects.
VIEWER = f"""#!{sys.executable}
import socket, sys
server = socket.create_server(("{LOOPBACK}", int(sys.argv[sys.argv.index("--port") + 1])))
kept = []
while True:
    kept.append(server.accept()[0])
"""
# As what logs: is connected to it, and writes down what comes.
LOGGER = """
import socket, sys
sys.path.insert(0, sys.argv[1])
from wire import records
connected = socket.create_connection(("127.0.0.1", int(sys.argv[3])))
with open(sys.argv[2], "w") as out:
    for record in records(sys.stdin.buffer):
        print(record.path, record.archetype, file=out, flush=True)
"""


@pytest.fixture
def show(ros_domain, tmp_path, monkeypatch):
    """Return a function that makes the node and a publisher of frames and joints beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    place = Environment()
    viewer = place.viewer
    viewer.parent.mkdir(parents=True)
    viewer.write_text(VIEWER)
    viewer.chmod(0o755)
    place.page.mkdir()

    def logger(environment, sink, name):
        port = sink[1].rpartition(":")[2].partition("/")[0]
        return Stream([sys.executable, "-c", LOGGER, str(PROGRAM), str(tmp_path / "log"), port])

    monkeypatch.setattr(rerun_viewer, "logger", logger)

    class Cell:
        def __init__(self):
            rclpy.init(args=[])
            self.executor = SingleThreadedExecutor()
            self.node, self.cell = RerunViewerNode(), Node("cell")
            self.images = self.cell.create_publisher(Image, "front/color/image_raw", 5)
            self.joints = self.cell.create_publisher(JointState, "joint_states", 5)
            for node in (self.node, self.cell):
                self.executor.add_node(node)

        def until(self, condition):
            end = time.monotonic() + 60
            while not condition():
                assert time.monotonic() < end
                stamp = time.time()
                pixels = bytes(12)
                self.images.publish(
                    Image(header=header(stamp, "front"), height=2, width=2, encoding="rgb8", step=6, data=pixels)
                )
                names = [*(f"joint{i}" for i in range(1, 7)), "gripper"]
                self.joints.publish(JointState(header=header(stamp, ""), name=names, position=[0.1] * 7))
                self.executor.spin_once(timeout_sec=0.05)

        def logged(self):
            path = tmp_path / "log"
            return path.read_text().splitlines() if path.exists() else []

    made = []

    def show(installs=None):
        monkeypatch.setattr(Environment, "make", installs or (lambda self, say, stop: None))
        made.append(Cell())
        return made[0]

    yield show
    for cell in made:
        cell.node.close()
        cell.executor.shutdown()
        cell.node.destroy_node()
        cell.cell.destroy_node()
    rclpy.try_shutdown()


def test_the_cell_is_heard_while_somebody_looks(show):
    cell = show()
    cell.until(lambda: "cell/site/table Boxes3D" in cell.logged())
    before = time.monotonic() + 1.1
    cell.until(lambda: time.monotonic() > before)
    assert not cell.node.listens and cell.images.get_subscription_count() == 0
    assert not any("image" in line for line in cell.logged())
    with closing(socket.create_connection((LOOPBACK, cell.node.program.port))):
        cell.until(lambda: "cell/front/image EncodedImage" in cell.logged())
        cell.until(lambda: "cell/arm/link6 Transform3D" in cell.logged())
        assert cell.images.get_subscription_count() == 1
    # The stand-in keeps its end of the connection, which the kernel then no longer counts.
    cell.until(lambda: not cell.node.listens and cell.images.get_subscription_count() == 0)


@pytest.mark.long
def test_a_killed_node_leaves_no_viewer(show, tmp_path):
    show()  # for what is installed
    code = "from tristage_ros.viewing import environment, program; import time; "
    code += "print(program.Program(environment.Environment()).port, flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as killed:
        port = int(killed.stdout.readline())
        assert listens(port)
        killed.kill()
    end = time.monotonic() + 30
    while listens(port):
        assert time.monotonic() < end, "the viewer goes on"
        time.sleep(0.1)


@pytest.mark.parametrize("ends", ["viewer", "logger"])
def test_the_graph_goes_on_when_one_of_them_ends(show, ends, capfd):
    cell = show()
    cell.until(lambda: len(cell.logged()) > 5)
    program, stream = cell.node.program, cell.node.stream
    process = program.process if ends == "viewer" else stream.process
    os.kill(process.pid, signal.SIGKILL)
    cell.until(lambda: cell.node.program is None and cell.node.stream is None)
    assert not program.is_open and stream.process.poll() is not None
    again = time.monotonic() + 1.0
    cell.until(lambda: time.monotonic() > again)
    assert capfd.readouterr().err.count("the graph goes on without it") == 1


def test_what_cannot_be_installed_ends_nothing(show, capfd):
    def fails(self, say, stop):
        raise ViewerError("the package index cannot be reached")

    cell = show(fails)
    end = time.monotonic() + 1.0
    cell.until(lambda: time.monotonic() > end)
    assert cell.node.program is None
    assert "cannot be reached; the graph goes on without it" in capfd.readouterr().err
