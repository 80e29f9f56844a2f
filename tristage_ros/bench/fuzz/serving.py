"""What clients of `tristage serve` may send: to what reads a message, and over the network to a server that runs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tristage_ros.bench.fuzz.judge import Kind
from tristage_ros.bench.fuzz.models import TINY
from tristage_ros.bench.fuzz.mutations import VALUES, mangled, mostly, spoiled
from tristage_ros.mla.model import random_model
from tristage_ros.mla.normalisation import DatasetStatistics
from tristage_ros.mla.policy import MlaPolicy
from tristage_ros.mla.prompt import PromptTokenizer
from tristage_ros.perception.cloud import Workspace
from tristage_ros.pruning import PruningConfig, TriStagePruner
from tristage_ros.serving.admission import Limits
from tristage_ros.serving.names import Names
from tristage_ros.serving.observations import CloudSettings, Reader
from tristage_ros.serving.server import PolicyServer
from tristage_ros.serving.wire import pack, unpack

LARGEST = 1 << 20  # bytes of a message
AS_TEXT, AS_BYTES = b"text", b"raw:"  # in front of what goes into a text frame, and of what goes in no frame at all
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
READER = Reader(Names(), CloudSettings(Workspace((0.0, -0.5, -0.1), (0.6, 0.5, 0.6)), TINY.points))
WHOLE = {
    "observation/image": np.zeros((32, 40, 3), np.uint8),
    "observation/points": np.random.default_rng(0).uniform(0.0, 0.5, (16, 3)).astype(np.float32),
    "observation/depth": np.full((32, 40), 600, np.uint16),
    "observation/depth_scale": 0.001,
    "observation/intrinsics": [40.0, 40.0, 19.5, 15.5],
    "observation/camera_pose": np.diag([1.0, -1.0, -1.0, 1.0]),
    "observation/state": np.array([0.3, 0.0, 0.2, 3.1, 0.3, -3.1, 0.5]),
    "observation/reset": False,
    "prompt": "put the banana on the blue plate",
}


class RefusedError(ValueError):
    """Say what the server answered, in its words."""


def kinds(_: Path) -> dict[str, Kind]:
    """Return the kinds by name; a server for one of them runs as long as this process."""
    messages = _messages()
    return {
        "message": Kind(messages, lambda data: READER.read(unpack(data)), (ValueError,)),
        "socket": Kind(_sent(messages), _Network().send, (RefusedError,)),
    }


def _messages() -> SearchStrategy[bytes]:
    tree = msgpack.unpackb(pack(WHOLE))  # arrays as the maps that they are on the wire
    without_points = {name: value for name, value in tree.items() if name != "observation/points"}
    near = st.sampled_from((tree, without_points)).flatmap(spoiled).map(_packed)
    return mostly(near, st.one_of(mangled([pack(WHOLE)]), VALUES.map(_packed), st.binary(max_size=40)))


def _packed(tree: Any) -> bytes:
    try:
        packed: bytes = msgpack.packb(tree, unicode_errors="surrogatepass")
    except (OverflowError, TypeError, ValueError):  # of what has no form there
        return b"\xc1"
    return packed


@st.composite
def _sent(draw: DrawFn, messages: SearchStrategy[bytes]) -> bytes:
    data = draw(messages)
    return draw(st.sampled_from((b"", b"", b"", AS_TEXT, AS_BYTES))) + data


class _Network:
    """Send to a server of a tiny model, and watch that nobody else notices."""

    def __init__(self) -> None:
        self._port = 0
        self._client: ClientConnection | None = None
        self._bystander: ClientConnection | None = None

    def send(self, data: bytes) -> None:
        """Send something; raise RefusedError for an answer in words, RuntimeError where the server is at fault."""
        if not self._port:
            self._port = _serve()
            self._bystander = self._connection()
        if data.startswith(AS_BYTES):
            self._send_bare(data.removeprefix(AS_BYTES))
            return
        text = data.startswith(AS_TEXT)
        answer = self._answer(data.removeprefix(AS_TEXT).decode("latin-1") if text else data)
        if isinstance(answer, bytes):
            unpack(answer)
        elif answer.startswith("internal error"):
            raise RuntimeError(answer)
        else:
            raise RefusedError(answer)

    def _answer(self, sent: bytes | str) -> bytes | str:
        self._client = self._client or self._connection()
        try:
            self._client.send(sent)
            return self._client.recv(60)
        except ConnectionClosed as error:
            self._client = None
            raise RefusedError(" ".join(str(error).split())) from error

    def _send_bare(self, data: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self._port), 60) as bare, contextlib.suppress(OSError):
            bare.sendall(UPGRADE + data)
            bare.shutdown(socket.SHUT_WR)
            while bare.recv(1 << 16):
                pass
        assert self._bystander is not None
        self._bystander.send(pack(WHOLE))
        if not isinstance(self._bystander.recv(60), bytes):
            raise RuntimeError("a client was told of what another one sent")

    def _connection(self) -> ClientConnection:
        connection = contextlib.ExitStack().enter_context(
            connect(f"ws://127.0.0.1:{self._port}", compression=None, proxy=None)
        )
        connection.recv(60)
        return connection


def _serve() -> int:
    """Start a server in a thread, and return its port."""
    model = random_model(replace(TINY, image_size=24, vocabulary=512), 0)
    pruner = TriStagePruner(PruningConfig.robot())
    policy = MlaPolicy(model, PromptTokenizer.mini(), DatasetStatistics.tabletop(), pruner)
    server = PolicyServer(policy, READER, Limits(max_bytes=LARGEST, max_rate=1e6), {"observation": sorted(WHOLE)})
    started, ports = threading.Event(), [0]

    def ready(port: int) -> None:
        ports[0] = port
        started.set()

    async def forever() -> None:
        await server.run("127.0.0.1", 0, asyncio.Event(), ready)

    threading.Thread(target=asyncio.run, args=(forever(),), daemon=True).start()
    started.wait(60)
    return ports[0]
