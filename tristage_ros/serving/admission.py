"""Who may come in, and how much a client may ask for."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import time
from dataclasses import dataclass
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

logger = logging.getLogger(__name__)

SCHEME = "Api-Key "
HEALTH = "/healthz"


@dataclass(frozen=True)
class Limits:
    """Bound what clients may do. Raises ValueError on a bound that leaves nothing."""

    max_bytes: int = 16 << 20  # of a message
    max_rate: float = 100.0  # messages per second and client; more wait
    idle_s: float = 600.0  # without a whole message, which end a connection
    handshake_s: float = 10.0
    clients: int = 8

    def __post_init__(self) -> None:
        """Check every bound."""
        for name, value in vars(self).items():
            if not 0 < value < float("inf"):
                raise ValueError(f"{name} = {value} must be more than 0 and finite")


def require_key(host: str, key: str) -> None:
    """Raise ValueError where anybody else than this machine could come in without a key, and for a key that is none."""
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise ValueError("the API key has characters that no HTTP header carries: use letters and digits")
    if not key and not is_loopback(host):
        raise ValueError(f"--host {host} lets other machines move what this policy moves: give them an --api-key")


def is_loopback(host: str) -> bool:
    """Tell whether a host to listen on is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Door:
    """Answer HTTP requests: `/healthz` for anybody, a websocket for whoever has the key, as long as there is room."""

    def __init__(self, key: str, limits: Limits) -> None:
        """Want `key` of everybody, nothing where it is empty."""
        self._key, self._limits = key, limits
        self.inside: set[ServerConnection] = set()

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Return what a request is answered; None: it becomes a websocket."""
        if request.path == HEALTH:
            return connection.respond(HTTPStatus.OK, "OK\n")
        if self._key and not self._has_key(request):
            words = "a wrong API key, or none: send the header Authorization: Api-Key KEY"
            return self._refuse(connection, HTTPStatus.UNAUTHORIZED, words)
        if len(self.inside) >= self._limits.clients:
            words = f"{self._limits.clients} clients are here already, and no more are served at once"
            return self._refuse(connection, HTTPStatus.SERVICE_UNAVAILABLE, words)
        return None

    def _has_key(self, request: Request) -> bool:
        given = request.headers.get_all("Authorization")
        # Of unequal lengths compare_digest tells the length alone.
        sent = given[0].encode("utf-8", "surrogateescape") if len(given) == 1 else b""
        return hmac.compare_digest(sent, (SCHEME + self._key).encode())

    @staticmethod
    def _refuse(connection: ServerConnection, status: HTTPStatus, words: str) -> Response:
        logger.warning("%s: refused: %s", address(connection), words)
        return connection.respond(status, f"{words}\n")


def address(connection: ServerConnection) -> str:
    """Return where a client comes from, for a person."""
    remote = connection.remote_address
    return f"{remote[0]}:{remote[1]}" if isinstance(remote, tuple) else "a client that left"


class Pace:
    """Say how long the next message of a client has to wait, so that it gets no more than its rate."""

    def __init__(self, rate: float) -> None:
        """Let `rate` messages through per second."""
        self._interval, self._next = 1.0 / rate, 0.0

    def delay(self) -> float:
        """Take note of a message; return in how many seconds its turn comes."""
        now = time.monotonic()
        begins = max(now, self._next)
        self._next = begins + self._interval
        return begins - now
