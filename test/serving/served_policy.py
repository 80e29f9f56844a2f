"""A served policy of a tiny model, what a client sends it, and the same policy in process.

Whoever imports this is skipped where a library is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

msgpack = pytest.importorskip("msgpack", reason="needs msgpack: pip install msgpack")
client = pytest.importorskip("websockets.sync.client", reason="needs websockets: pip install websockets")

from websockets.asyncio.client import connect as connect  # noqa: E402
from websockets.exceptions import ConnectionClosed as ConnectionClosed  # noqa: E402
from websockets.exceptions import InvalidStatus as InvalidStatus  # noqa: E402

from tristage_ros.mla.config import MlaConfig  # noqa: E402
from tristage_ros.mla.model import random_model  # noqa: E402
from tristage_ros.mla.normalisation import DatasetStatistics  # noqa: E402
from tristage_ros.mla.policy import MlaPolicy  # noqa: E402
from tristage_ros.mla.prompt import PromptTokenizer  # noqa: E402
from tristage_ros.mla.values import Observation  # noqa: E402
from tristage_ros.perception.camera import CameraModel  # noqa: E402
from tristage_ros.perception.cloud import Workspace  # noqa: E402
from tristage_ros.pruning import PruningConfig, TriStagePruner  # noqa: E402
from tristage_ros.serving.admission import Limits  # noqa: E402
from tristage_ros.serving.metadata import describe  # noqa: E402
from tristage_ros.serving.names import Names  # noqa: E402
from tristage_ros.serving.observations import CloudSettings, Reader  # noqa: E402
from tristage_ros.serving.server import PolicyServer  # noqa: E402
from tristage_ros.serving.session import as_array  # noqa: E402
from tristage_ros.serving.wire import pack, unpack  # noqa: E402

DOWN = np.array([[0, -1, 0, 0.3], [-1, 0, 0, 0.0], [0, 0, -1, 0.7], [0, 0, 0, 1]], float)  # a camera over the table
WORKSPACE = Workspace((0.0, -0.5, -0.1), (0.6, 0.5, 0.6))  # m, base frame
BANANA, BOX = "put the banana on the blue plate", "close the box"


def message_of(step: int, prompt: str = BANANA, **changes) -> dict:
    """Return what a client sends at a step; None takes an entry out."""
    rng = np.random.default_rng(step)
    parts = {
        "image": rng.integers(0, 256, (48, 64, 3), dtype=np.uint8),
        "points": (rng.random((64, 3)) * (0.4, 0.5, 0.1) + (0.1, -0.25, 0.0)).astype(np.float32),
        "depth": (rng.random((48, 64)) * 100 + 600).astype(np.uint16),
        "intrinsics": [50.0, 50.0, 31.5, 23.5],
        "camera_pose": DOWN,
        "state": np.array([0.3, 0.0, 0.2, 3.1, 0.3, -3.1, 0.5]),
        "prompt": prompt,
    }
    named = {"prompt" if name == "prompt" else f"observation/{name}": part for name, part in (parts | changes).items()}
    return {name: part for name, part in named.items() if part is not None}


def observation_of(message: dict) -> Observation:
    """Return the observation that a message holds, as somebody in the same process would put it together."""
    depth = message["observation/depth"].astype(np.float32) * np.float32(1e-3)
    return Observation(
        message["observation/image"],
        CameraModel(64, 48, 50.0, 50.0, 31.5, 23.5, DOWN),
        message["observation/points"],
        message["observation/state"].astype(np.float32),
        depth,
    )


class InProcess:
    """The policy without a server."""

    def __init__(self, policy: MlaPolicy, prompt: str = BANANA) -> None:
        self._policy = policy.another(TriStagePruner(policy.pruner.config))
        self._policy.reset(prompt)

    def step(self, message: dict) -> np.ndarray:
        action, self.report = self._policy.act(observation_of(message))
        return as_array(action)


class Client:
    """A plain client: any websocket, and the two functions that make bytes."""

    def __init__(self, port: int, **options) -> None:
        options = {"compression": None, "max_size": None, "proxy": None} | options
        self._open = contextlib.ExitStack()
        self.socket = self._open.enter_context(client.connect(f"ws://127.0.0.1:{port}", **options))
        self.metadata = msgpack.unpackb(self.socket.recv(10))

    def ask(self, message: dict | bytes | str) -> dict | str:
        self.socket.send(pack(message) if isinstance(message, dict) else message)
        answer = self.socket.recv(30)
        return answer if isinstance(answer, str) else unpack(answer)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


@dataclass
class Served:
    port: int
    policy: MlaPolicy

    def client(self, **options) -> Client:
        return Client(self.port, **options)

    def in_process(self, prompt: str = BANANA) -> InProcess:
        return InProcess(self.policy, prompt)


def tiny() -> MlaPolicy:
    """Return a policy with random weights and the robot's preset."""
    config = MlaConfig(
        width=32, layers=2, heads=2, ffn_width=48, vocabulary=512, image_size=24, patch_size=2, image_width=16,
        image_heads=2, points=64, groups=(32, 16), neighbours=8, point_base=6, point_width=20, image_squash=None,
    )  # fmt: skip
    pruner = TriStagePruner(PruningConfig.robot())
    return MlaPolicy(random_model(config, seed=3), PromptTokenizer.mini(), DatasetStatistics.tabletop(), pruner)


@contextlib.contextmanager
def serving(
    policy: MlaPolicy, limits: Limits | None = None, key: str = "", names: Names | None = None
) -> Iterator[Served]:
    """Serve a policy from a thread for as long as the context lasts."""
    limits = limits or Limits(max_rate=1e6)
    reader = Reader(names or Names(), CloudSettings(WORKSPACE, policy.model.config.points))
    metadata = describe(policy, reader, limits, preset="robot", checkpoint={}, versions={})
    server = PolicyServer(policy, reader, limits, metadata, key)
    loop, stop, started, ports = asyncio.new_event_loop(), asyncio.Event(), threading.Event(), []

    def ready(port: int) -> None:
        ports.append(port)
        started.set()

    thread = threading.Thread(target=loop.run_until_complete, args=(server.run("127.0.0.1", 0, stop, ready),))
    thread.start()
    assert started.wait(30)
    try:
        yield Served(ports[0], policy)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()
        assert not thread.is_alive()
