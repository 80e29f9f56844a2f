"""Run one node as a process: start, spin, stop once on SIGINT or SIGTERM, with an exit code that says why.

A `ManagedNode` is a lifecycle node that configures and activates itself.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from types import FrameType
from typing import Any, Protocol, TypeVar

import rclpy
from rclpy.executors import Executor, ExternalShutdownException, MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.node import Node

from tristage_ros.graph.middleware import MiddlewareError
from tristage_ros.ros.context import begin
from tristage_ros.ros.parameters import Parameter, ParameterError

EXIT_CONFIGURATION = 2
_BREATH = 0.001  # s, in which other threads run
_LAST_CALLBACKS = 1.0  # s in which callbacks that run may end before their node does
STOP = threading.Event()  # set by SIGINT and SIGTERM; what waits while a node is made must look at it
Answer = TypeVar("Answer")


class ConfigurationError(RuntimeError):
    """Say what keeps a node from starting; the message is one line for a person."""


class StoppedError(BaseException):
    """End a node that was asked to stop while it was being made; no error, so what handles errors lets it pass."""


class Closable(Protocol):
    """A node that ends its threads and devices in `close()`, which may be called more than once."""

    def close(self) -> None:
        """End everything that the node started."""


class NodeExecutor(MultiThreadedExecutor):
    """Run callbacks in threads without a storm of copies, and let them end while what they use still exists."""

    def wait_for_ready_callbacks(self, *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        """Return a callback that is ready and not queued yet.

        rclpy offers a queued callback again and again, without a pause, until a thread begins it. That keeps the
        interpreter lock from the very threads that should begin, for a second and longer.
        """
        while True:
            ready: tuple[Any, Any, Any] = super().wait_for_ready_callbacks(*args, **kwargs)
            if ready[0] not in self._futures:
                return ready
            time.sleep(_BREATH)

    def shutdown(self, timeout_sec: float | None = None, *, wait_for_threads: bool = True) -> bool:
        """Stop, as the executor of rclpy does, after its threads are idle, or did not become so in `timeout_sec`."""
        idle = threading.Thread(target=self._executor.shutdown, daemon=True)
        idle.start()
        idle.join(timeout_sec)
        return bool(super().shutdown(timeout_sec))


def run(
    make_node: Callable[[], Node], argv: Sequence[str] | None = None, *, threads: int = 1, niceness: int = 0
) -> int:
    """Spin the node made by `make_node` until a signal or its `failure` ends it.

    Args:
        make_node: makes the node once rclpy is up.
        argv: command line, default this process'.
        threads: more than one for nodes with callbacks that take long beside others that must not wait.
        niceness: 0 for what moves the arm or keeps time, higher for what may wait when the processor is short.

    rclpy's own signal handlers are replaced: Ctrl-C under a launch system arrives two or three times, and a
    KeyboardInterrupt in the middle of the clean-up would leave a device behind.

    Returns:
        0 after a clean stop, 1 after a failure, 2 when the configuration is wrong.
    """
    os.nice(niceness)

    def on_signal(number: int, frame: FrameType | None) -> None:
        STOP.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    gc.freeze()  # what was imported stays, and is not gone through again
    try:
        begin(argv if argv is not None else sys.argv)
        return _spin(make_node, NodeExecutor(threads) if threads > 1 else SingleThreadedExecutor())
    except StoppedError:
        return 0
    except (ParameterError, ConfigurationError, MiddlewareError) as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return EXIT_CONFIGURATION
    finally:
        gc.collect()  # a node that could not be made, or has states, still holds shared memory
        rclpy.try_shutdown()


def unless_stopped(node: Node, work: Callable[[], Answer]) -> Answer:
    """Return what `work` comes to; once the process is to stop, give it up.

    Args:
        node: which needs it.
        work: what takes long and opens no device. It goes on until the process ends, so it must not hold the node.

    Raises:
        StoppedError: it was given up, and with it `node`.
    """
    answer: Future[Answer] = Future()

    def carry_out() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=carry_out, daemon=True).start()
    while not answer.done():
        if STOP.is_set():
            node.destroy_node()
            raise StoppedError
        wait([answer], timeout=0.05)
    return answer.result()


def _spin(make_node: Callable[[], Node], executor: Executor) -> int:
    node = make_node()
    executor.add_node(node)
    try:
        while rclpy.ok() and not STOP.is_set() and not getattr(node, "failure", None):
            executor.spin_once(timeout_sec=0.1)
    except ExternalShutdownException:
        pass
    finally:
        close = getattr(node, "close", None)
        if close:
            close()
        executor.shutdown(timeout_sec=_LAST_CALLBACKS)
        node.destroy_node()
    failure = getattr(node, "failure", None)
    if failure:
        print(f"error: {failure}", file=sys.stderr, flush=True)
    return 1 if failure else 0


# Lifecycle nodes bring themselves up, so that the graph is the same with and without a launch system.

AUTOSTART = Parameter("autostart", True, "configure and activate at start; false: wait for lifecycle transitions")


class ManagedNode(LifecycleNode):
    """Say why a transition failed, and carry a `failure` that ends the process."""

    def __init__(self, name: str) -> None:
        """Start unconfigured."""
        super().__init__(name)
        self.failure = ""
        self.refusal = ""

    def bring_up(self) -> None:
        """Configure and activate.

        Raises:
            ConfigurationError: a transition was refused; `refusal` says why.
        """
        for transition in (self.trigger_configure, self.trigger_activate):
            done = transition() == TransitionCallbackReturn.SUCCESS
            if STOP.is_set():
                self.close()
                raise StoppedError
            if not done:
                raise ConfigurationError(f"{self.get_name()}: {self.refusal or 'transition refused'}")

    def close(self) -> None:
        """End everything that the node started."""

    def refuse(self, reason: str) -> TransitionCallbackReturn:
        """Log `reason` and return what a refused transition returns."""
        self.refusal = reason
        self.get_logger().error(reason)
        return TransitionCallbackReturn.FAILURE
