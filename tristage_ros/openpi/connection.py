"""One connection to a policy server that speaks OpenPI's protocol: its metadata, then an answer to every question.

A text frame is the traceback of a server that failed. Whatever else comes, comes late or does not come ends the
connection: an answer that is late would be taken for that to the next question.
"""

from __future__ import annotations

import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any
from urllib.parse import SplitResult, urlsplit

import numpy as np

from tristage_ros.openpi.codec import LARGEST, CodecError, packed, unpacked
from tristage_ros.words import one_line, shown

CONNECTS = 2.0  # s in which a server has to take a connection and to say its metadata
_SENDS = 1.0  # s in which the network has to take a part of a question
_LOOKS = 0.05  # s between two looks whether to give up
_TOLD = 4000  # characters of metadata that are told on


class ServerError(RuntimeError):
    """Say why a server gives no answer, in one line; `traceback` is what it said itself, if it did."""

    def __init__(self, reason: str, traceback: str = "") -> None:
        """Take the line, and the server's own words."""
        super().__init__(reason)
        self.traceback = traceback


class SilentError(ServerError):
    """Say that a server did not answer in time."""


def described(metadata: Mapping[str, Any]) -> str:
    """Return what a server says of itself as JSON, arrays as lists, what is long cut off."""
    text = json.dumps(metadata, default=_plain, sort_keys=True)
    return text if len(text) <= _TOLD else json.dumps({"too long to tell, begins": text[:_TOLD]})


class Connection:
    """Ask one server, one question at a time; `echo` may be called by another thread."""

    def __init__(self, url: str, within: float = CONNECTS) -> None:
        """Connect and hear the metadata, `within` s each.

        Raises:
            ServerError: there is no server, or it is of another protocol.
        """
        from websockets.exceptions import InvalidHandshake, WebSocketException
        from websockets.sync.client import connect

        self.url, self._stack = url, ExitStack()
        self._ping: threading.Event | None = None
        try:
            # No keep-alive of its own: servers are deaf while they compute, for minutes the first time.
            opened = connect(
                url, compression=None, max_size=LARGEST, open_timeout=within, close_timeout=0.2, ping_interval=None,
                proxy=None,
            )  # fmt: skip
            self._socket = self._stack.enter_context(opened)
        except InvalidHandshake as error:
            raise ServerError(f"{url} does not speak WebSocket: {one_line(error)}{_health(urlsplit(url))}") from error
        except (OSError, WebSocketException, EOFError) as error:
            raise ServerError(f"no policy server at {url}: {one_line(error) or type(error).__name__}") from error
        # recv waits in a thread of its own; only what is sent may not take for ever
        self._socket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(_SENDS), 0))
        try:
            self.metadata = self._hear(within, "its metadata")
        except ServerError:
            self.close()
            raise

    def ask(
        self, question: Mapping[str, Any], within: float, given_up: Callable[[], bool] = lambda: False
    ) -> dict[Any, Any]:
        """Return the answer; after an error the connection is of no use any more.

        Args:
            question: the observation, see `codec`.
            within: s for the answer.
            given_up: whether nobody waits for it any more.

        Raises:
            ServerError: there is none; the message says why.
            CodecError: the question cannot be sent.
        """
        data = packed(question)
        try:
            self._socket.send(data)
        except Exception as error:  # of the socket, or that the connection is closed
            raise self._ended(error) from error
        return self._hear(within, "an answer", given_up)

    def echo(self) -> threading.Event | None:
        """Ask the server for a sign of life; return what is set once it came, None while another is waited for."""
        if self._ping is not None and not self._ping.is_set():
            return None
        with suppress(Exception):  # it is closed: nothing comes
            self._ping = self._socket.ping()
            return self._ping
        return None

    def close(self) -> None:
        """End the connection; a second call does nothing."""
        with suppress(Exception):
            self._stack.close()

    def _hear(self, within: float, what: str, given_up: Callable[[], bool] = lambda: False) -> dict[Any, Any]:
        end = time.monotonic() + within
        while True:
            try:
                told = self._socket.recv(timeout=min(_LOOKS, max(0.0, end - time.monotonic())))
                break
            except TimeoutError:
                if given_up():
                    raise ServerError(f"{self.url}: nobody waits for {what} any more") from None
                if time.monotonic() >= end:
                    raise SilentError(f"{self.url} is silent: it did not say {what} within {within:g} s") from None
            except Exception as error:
                raise self._ended(error) from error
        if isinstance(told, str):
            lines = [line for line in told.splitlines() if line.strip()] or ["nothing"]
            raise ServerError(f"{self.url} failed: {one_line(lines[-1])}", told[:_TOLD])
        try:
            answer = unpacked(told)
        except CodecError as error:
            raise ServerError(f"{self.url} speaks another protocol: instead of {what} it said {error}") from error
        if not isinstance(answer, dict):
            raise ServerError(f"{self.url} speaks another protocol: instead of {what} it said {shown(answer)}")
        return answer

    def _ended(self, error: Exception) -> ServerError:
        from websockets.exceptions import ConnectionClosed
        from websockets.frames import CloseCode

        if isinstance(error, ConnectionClosed) and error.sent and error.sent.code == CloseCode.MESSAGE_TOO_BIG:
            return ServerError(f"{self.url} sent a message of more than {LARGEST >> 20} MB")
        return ServerError(f"{self.url} ended the connection: {one_line(error) or type(error).__name__}")


def _health(url: SplitResult) -> str:
    """Return what `GET /healthz` says, which a policy server answers with OK."""
    kind = http.client.HTTPSConnection if url.scheme == "wss" else http.client.HTTPConnection
    try:
        asked = kind(str(url.hostname), url.port, timeout=1.0)
        asked.request("GET", "/healthz")
        return f"; GET /healthz says {asked.getresponse().status}: is that the port of the policy server?"
    except (OSError, http.client.HTTPException):
        return "; GET /healthz says nothing: is that the port of the policy server?"


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return value.decode(errors="replace") if isinstance(value, bytes) else shown(value)
