"""Where a policy server is, as a person writes it."""

from __future__ import annotations

from urllib.parse import urlsplit

from tristage_ros.words import shown

SCHEMES = ("ws", "wss")


def address(text: str) -> str:
    """Return the address of a server, as ws://HOST:PORT.

    Raises:
        ValueError: it is none; the message says what to write.
    """
    parts = urlsplit(text.strip())
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in SCHEMES or not parts.hostname or not port or parts.query or parts.fragment:
        raise ValueError(f"{shown(text)} is no address of a policy server; write ws://HOST:PORT")
    return parts.geturl()
