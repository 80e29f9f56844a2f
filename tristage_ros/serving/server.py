"""The server: a websocket per client, one thread for the model, and one step at a time, in turn.

Whatever a client sends is read in the model's thread, when it is its turn; the event loop only moves bytes. Of a client
one message is under way, so that turns go round. What cannot be used is told in a text frame, which OpenPI's client
raises as an error, and the conversation goes on; where messages themselves go wrong, the connection ends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.protocol import State

from tristage_ros.mla.policy import MlaPolicy, ModelOutputError
from tristage_ros.serving.admission import Door, Limits, Pace, address
from tristage_ros.serving.observations import Reader
from tristage_ros.serving.session import Session
from tristage_ros.serving.wire import pack
from tristage_ros.words import one_line

logger = logging.getLogger(__name__)

PING_S = 20.0  # a client that does not answer a ping so long after it was sent is gone
WAITING_MESSAGES = 1  # of a client that are taken off the network before their turn
CLOSING_S = 1.0  # for good manners
MOST_FRAGMENTS = 1024  # of a message


class PolicyServer:
    """Serve one model to several clients over OpenPI's protocol."""

    def __init__(
        self, policy: MlaPolicy, reader: Reader, limits: Limits, metadata: dict[str, object], key: str = ""
    ) -> None:
        """Join the parts; every client gets a policy of its own over the model of `policy`."""
        self._policy, self._reader, self._limits = policy, reader, limits
        self._metadata, self._door = pack(metadata), Door(key, limits)
        self._turn = asyncio.Lock()  # first come, first served
        self._worker = ThreadPoolExecutor(1, "model")

    async def run(self, host: str, port: int, stop: asyncio.Event, ready: Callable[[int], None]) -> None:
        """Serve until `stop` is set; `ready` is told the port once clients may come. Port 0: one that is free."""
        with self._worker:
            async with serve(
                self._converse,
                host,
                port,
                process_request=self._door.admit,
                origins=[None],  # no page that a browser has open
                compression=None,  # nothing unfolds here
                max_size=self._limits.max_bytes,
                max_queue=WAITING_MESSAGES,
                open_timeout=self._limits.handshake_s,
                ping_interval=PING_S,
                ping_timeout=PING_S,
                close_timeout=CLOSING_S,
                logger=_one_line_logger(),
            ) as server:
                ready(next(iter(server.sockets)).getsockname()[1])
                await stop.wait()

    async def _converse(self, connection: ServerConnection) -> None:
        client = address(connection)
        self._door.inside.add(connection)
        logger.info("%s: connected", client)
        try:
            await connection.send(self._metadata)
            session = Session(self._policy, self._reader, client)
            pace = Pace(self._limits.max_rate)
            while await self._exchange(connection, session, pace, client):
                pass
        except ConnectionClosed:
            _tell_end(connection, client)
        finally:
            self._door.inside.discard(connection)

    async def _exchange(self, connection: ServerConnection, session: Session, pace: Pace, client: str) -> bool:
        """Answer the next message of a client; return whether another may follow."""
        try:
            message = await asyncio.wait_for(_whole(connection), self._limits.idle_s)
        except _FragmentsError as error:
            return await self._end(connection, client, str(error), CloseCode.POLICY_VIOLATION)
        except asyncio.TimeoutError:  # another one before Python 3.11
            words = f"no whole message came for {self._limits.idle_s:g} s"
            return await self._end(connection, client, words, CloseCode.POLICY_VIOLATION)
        came = time.perf_counter()
        await asyncio.sleep(pace.delay())
        try:
            if message is None:
                raise ValueError("a text came; an observation is msgpack in a binary frame")
            async with self._turn:
                if connection.state is not State.OPEN:
                    return True  # it left while it waited; what it hears next says so
                waited = (time.perf_counter() - came) * 1e3
                loop = asyncio.get_running_loop()
                answer: bytes | str = await loop.run_in_executor(self._worker, session.answer, message, waited)
        except (ValueError, ModelOutputError) as error:
            answer = one_line(error, 1000)
            logger.warning("%s: %s", client, answer)
        except Exception as error:
            logger.exception("%s: a step failed", client)
            words = f"internal error, {type(error).__name__}: {one_line(error)}"
            return await self._end(connection, client, words, CloseCode.INTERNAL_ERROR)
        await connection.send(answer)
        session.previous_ms = (time.perf_counter() - came) * 1e3
        return True

    @staticmethod
    async def _end(connection: ServerConnection, client: str, words: str, code: CloseCode) -> bool:
        """Tell a client why it goes, and end the connection; return False."""
        logger.warning("%s: %s; closed", client, words)
        await connection.send(words)
        await connection.close(code, words[:100])
        return False


class _FragmentsError(Exception):
    """Say that a message came in more parts than anybody needs."""


async def _whole(connection: ServerConnection) -> bytes | None:
    """Return the next message, None for a text.

    Empty fragments have no bytes that a limit would count, but take memory; so fragments are counted.
    """
    parts: list[str | bytes] = []
    async for part in connection.recv_streaming():
        parts.append(part)
        if len(parts) > MOST_FRAGMENTS:
            raise _FragmentsError(f"a message in more than {MOST_FRAGMENTS} fragments")
    binary = [part for part in parts if isinstance(part, bytes)]
    return b"".join(binary) if len(binary) == len(parts) else None


def _tell_end(connection: ServerConnection, client: str) -> None:
    """Say how a connection ended: that it was too much for this side, or that the other one left."""
    usual, ours = (CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY), connection.protocol.close_sent
    if ours is not None and ours.code not in usual:
        logger.warning("%s: %s; closed", client, one_line(ours.reason or f"code {ours.code}"))
    else:
        logger.info("%s: %s", client, "left" if connection.close_code in usual else "lost")


class _OneLine(logging.Filter):
    """Tell what went wrong in a handshake in a line, without the way there."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            record.msg, record.args = f"{record.getMessage()}: {one_line(record.exc_info[1])}", ()
            record.exc_info = None
        return True


def _one_line_logger() -> logging.Logger:
    quiet = logging.getLogger(f"{__name__}.websocket")
    quiet.setLevel(logging.WARNING)
    if not quiet.filters:
        quiet.addFilter(_OneLine())
    return quiet
