"""The processes of a replay: the player in this one, point cloud and policy under a supervisor of their own."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rich.console import Console

from tristage_ros.bags.writer import BagWriter
from tristage_ros.commands.replay.player import NODES, Player
from tristage_ros.graph.graph_process import GraphProcess
from tristage_ros.graph.supervisor import remove_unused, shared_memory

START_UP = 300.0  # s; a large model takes its time to load
UNNAMED = "_NODE_NAME_UNKNOWN_"  # a node whose topics are known before its name is
DISCOVERY = 1.5  # s in which most nodes of the same ROS domain make themselves known


class ReplayError(RuntimeError):
    """Say what went wrong in the replay; the message is one line for a person."""


class Nodes(GraphProcess):
    """Point cloud and policy, as `tristage run replay` starts them."""

    def check(self) -> None:
        """Raise ReplayError when a node has ended."""
        if trouble := self.trouble():
            raise ReplayError(trouble)


def stop_on_signals(stack: ExitStack) -> threading.Event:
    """Return an event that Ctrl-C and its like set until `stack` is closed."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        stack.callback(signal.signal, number, signal.signal(number, on_signal))
    return stop


def player_of(topics: Sequence[str], writer: BagWriter, stack: ExitStack) -> Player:
    """Return a player whose callbacks run until `stack` is closed.

    Raises:
        ReplayError: other nodes of the same ROS domain would hear it, or be taken for it.
    """
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    stack.callback(rclpy.try_shutdown)
    player, executor = Player(topics, writer), SingleThreadedExecutor()
    stack.callback(player.destroy_node)
    executor.add_node(player)

    def spin() -> None:
        with suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, name="player", daemon=True)
    thread.start()
    stack.callback(thread.join, 5.0)
    stack.callback(executor.shutdown, 2.0)
    time.sleep(DISCOVERY)
    _be_alone(player)
    return player


def _be_alone(player: Player, ours: Collection[str] = ()) -> None:
    end = time.monotonic() + DISCOVERY
    while UNNAMED in player.strangers(ours) and time.monotonic() < end:
        time.sleep(0.1)
    if strangers := player.strangers(ours):
        raise ReplayError(
            f"{', '.join(strangers)} would hear the replay or be taken for it: end it, or set another ROS_DOMAIN_ID"
        )


def nodes_of(
    arguments: Mapping[str, str], player: Player, log: Path, console: Console, stop: threading.Event, stack: ExitStack
) -> Nodes:
    """Return the nodes once they can be shown frames; they end when `stack` is closed.

    Raises:
        ReplayError: they did not come up.
    """
    before = shared_memory()
    stack.callback(lambda: remove_unused(shared_memory() - before))
    nodes = Nodes("replay", arguments, log)
    stack.callback(nodes.end)
    end = time.monotonic() + START_UP
    with console.status("starting point cloud and policy ..."):
        while (missing := player.missing()) and not stop.is_set():
            nodes.check()
            if time.monotonic() > end:
                raise ReplayError(f"no {missing} within {START_UP:.0f} s; log: {log}")
            time.sleep(0.1)
    _be_alone(player, NODES)  # who was slow to make himself known has done so by now
    return nodes
