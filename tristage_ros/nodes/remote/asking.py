"""The server as the node has it: connected again by itself, asked, begun anew, and heard by the arm.

What a connection ends on, and what is wrong with the server, is told in words; nobody waits for more than a moment.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from std_msgs.msg import Header

from tristage_ros.openpi.answers import contradiction
from tristage_ros.openpi.connection import Connection, ServerError, SilentError
from tristage_ros.openpi.mapping import PolicyMap
from tristage_ros.ros.diagnostics import ERROR, OK, Part

AGAIN = 1.0  # s from a connection that failed to the next


class Asking:
    """Ask one server; `echoed` and `begin_anew` may be called by other threads than the one that asks."""

    def __init__(self, url: str, mapped: PolicyMap, within: float, first_within: float) -> None:
        """Connect later; an answer may take `within` s, the first of a connection `first_within` s."""
        self.url, self._mapped, self._within, self._first_within = url, mapped, within, first_within
        self.trouble = "not connected yet"  # "" while all is well
        self.traceback = ""  # of the server, of the newest trouble
        self.connections = 0  # so far
        self.metadata: Mapping[Any, Any] = {}
        self._connection: Connection | None = None
        self._answered = False  # on this connection, or known not to be computing for the first time
        self._was_silent = False  # so that it is no patience that it needs
        self._next = 0.0  # s, monotonic, of the next try
        self._anew, self._closed = threading.Event(), threading.Event()
        self._travelling: tuple[threading.Event, Header] | None = None  # what the server is to send back

    def connected(self) -> bool:
        """Connect where there is no connection, once a second; return whether there is a new one, or one still."""
        if self._closed.is_set():
            return False
        if self._anew.is_set():
            self._drop()
            self._anew.clear()
            self._next = 0.0
        if self._connection is not None:
            return True
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + AGAIN
        try:
            connection = Connection(self.url)
        except ServerError as error:
            self._was_silent = False  # another process may answer next
            self._tell(error)
            return False
        if said := contradiction(self._mapped, connection.metadata):
            connection.close()
            self.trouble = said
            return False
        self.metadata, self.trouble, self.traceback = connection.metadata, "", ""
        self._answered, self._travelling = self._was_silent, None
        self.connections += 1
        self._connection = connection
        return True

    def ask(self, question: Mapping[str, Any]) -> Mapping[Any, Any] | None:
        """Return the answer; None where there is none, and `trouble` says why, or the connection begins anew."""
        connection = self._connection
        if connection is None:
            return None
        within = self._within if self._answered else self._first_within
        try:
            answer = connection.ask(question, within, self._given_up)
        except ServerError as error:
            self._was_silent = isinstance(error, SilentError)
            if not self._given_up():
                self._tell(error)
            self._drop()
            return None
        self._answered, self._was_silent = True, False
        return answer

    def echoed(self, header: Header) -> Header | None:
        """Send a word of the arm on to the server; return the newest that came back, where one did.

        Until the first answer it is returned at once: a server is deaf while its model compiles, and nothing of this
        connection moves the arm yet.
        """
        connection, travelling = self._connection, self._travelling
        if connection is None:
            return None
        if not self._answered:
            return header
        returned = travelling[1] if travelling and travelling[0].is_set() else None
        if (sent := connection.echo()) is not None:
            self._travelling = sent, header
        return returned

    def begin_anew(self) -> None:
        """Have a new connection made: to a server that is the beginning of something else."""
        self._anew.set()

    def part(self, took: Mapping[str, object]) -> Part:
        """Return the state of the connection for diagnostics, beside what the server says that it `took`."""
        values = {"address": self.url, "connections": self.connections, **took}
        return Part(ERROR, self.trouble, values) if self.trouble else Part(OK, "connected", values)

    def close(self) -> None:
        """End the connection, and whatever waits for an answer; there is none any more."""
        self._closed.set()
        self._drop()

    def _given_up(self) -> bool:
        return self._anew.is_set() or self._closed.is_set()

    def _tell(self, error: ServerError) -> None:
        self.trouble, self.traceback = str(error), error.traceback

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
