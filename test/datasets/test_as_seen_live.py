"""One bag through the live nodes, as `tristage replay` shows it, and through the dataset: every frame is the same."""

import threading
from collections import Counter
from contextlib import ExitStack, suppress
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
import yaml
from damage import SMALL_BAG
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rich.console import Console

from tristage_ros.bags.writer import BagWriter
from tristage_ros.commands.replay.player import Player
from tristage_ros.commands.replay.replay import Outcome, Pace, Request, _plan, in_lockstep
from tristage_ros.datasets.bagged import open_dataset
from tristage_ros.datasets.sampling import Sampling
from tristage_ros.graph.graph import REPLAYED
from tristage_ros.nodes.point_cloud import PointCloudNode
from tristage_ros.nodes.policy.node import PolicyNode

pytestmark = pytest.mark.timeout(600)


def spun(node, stack):
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spin():
        with suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    stack.callback(node.destroy_node)
    stack.callback(thread.join, 5.0)
    stack.callback(executor.shutdown, 2.0)
    return node


def answered_live(bag, folder):
    """Return the observations that a policy node answers when the bag is replayed in lockstep, all frames of it."""
    outcome = Outcome(folder / "bag")
    plan = _plan(Request(bag, folder, lockstep=True, every_frame=True), outcome)
    file = plan.settings.write(folder)
    parameters = yaml.safe_load(file.read_text())
    for node in ("point_cloud", "policy"):
        parameters[node]["ros__parameters"] |= {"use_sim_time": True, "image_transport": "raw"}
    parameters["policy"]["ros__parameters"] |= {"allow_random_weights": True, "control": "frame", "checkpoint": ""}
    file.write_text(yaml.safe_dump(parameters))
    remaps = [word for name, other in REPLAYED.items() for word in ("-r", f"{name}:={other}")]
    rclpy.init(args=["--ros-args", "--params-file", str(file), *remaps])
    observations = []
    with ExitStack() as stack:
        stack.callback(rclpy.try_shutdown)
        writer = stack.enter_context(BagWriter(outcome.bag))
        player = spun(Player(plan.recording.topics, writer), stack)
        policy, cloud = PolicyNode(), PointCloudNode()
        stack.callback(policy.close)
        stack.callback(cloud.close)
        answer = policy.policy.act

        def act(observation):
            observations.append(observation)
            return answer(observation)

        policy.policy.act = act
        spun(policy, stack), spun(cloud, stack)
        console, left_out = Console(quiet=True), Counter()
        up = threading.Event()
        while player.missing():
            up.wait(0.1)
        nodes = SimpleNamespace(check=lambda: None)  # processes that are still alive: here there are none
        pace = Pace(player, nodes, plan, console, threading.Event())
        in_lockstep(pace, plan.recording, plan.frames, 60.0, left_out)
        assert not left_out
    return observations


def test_every_frame_is_the_observation_that_the_live_policy_node_answers(ros_domain, tmp_path):
    live = answered_live(SMALL_BAG, tmp_path)
    (episode,) = open_dataset(SMALL_BAG, Sampling(rate=1000.0 / 66.0, trims=False))
    seen = list(episode.frames())
    assert len(seen) == len(live) > 20
    for frame, observation in zip(seen, live, strict=True):
        assert frame.stamp == observation.stamp
        np.testing.assert_array_equal(frame.state, observation.state)
        np.testing.assert_array_equal(frame.points, observation.points)
        np.testing.assert_array_equal(frame.images["front"], observation.image)
        np.testing.assert_array_equal(frame.depths["front"], np.nan_to_num(observation.depth, nan=0.0))
        told = episode.calibration["front"]
        np.testing.assert_array_equal(told.mount.pose, observation.camera.pose)
        np.testing.assert_array_equal(told.camera.matrix, observation.camera.matrix)
    assert np.ptp([frame.state[:3] for frame in seen], axis=0).max() > 0.01, "the arm moved meanwhile"
