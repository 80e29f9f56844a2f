"""A CAN bus that other processes on this machine join through python-can's `remote` interface."""

from __future__ import annotations

import contextlib
import logging
import queue
import socket
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from threading import Lock, Thread

import can
from can_remote.protocol import RemoteError, RemoteProtocolBase
from can_remote.websocket import WebSocket, WebsocketClosed, get_accept_key

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
PATIENCE = 0.02  # s, that a client may block the sender before it is cut off
_PROTOCOL = "can.binary+json.v1"


class ServedBus(can.BusABC):
    """Serve a CAN bus on 127.0.0.1: `can.Bus(interface="remote", channel="127.0.0.1:PORT")` joins it.

    As on a wire, every frame reaches everybody but its sender.
    """

    def __init__(self, channel: str) -> None:
        """Listen on `channel`, "127.0.0.1:PORT"; port 0 takes a free one, see `channel_info`.

        Raises:
            ValueError: the channel is not an address on this machine.
            OSError: the port is taken.
        """
        port = _port(channel)
        try:
            self._server = _Server((HOST, port), self)
        except OSError as error:
            message = (
                f"cannot serve the CAN bus on {channel}: {error.strerror}; end what uses the port or choose another"
            )
            raise OSError(error.errno, message) from error
        self.channel_info = f"{HOST}:{self._server.server_address[1]}"
        self._clients: set[_Session] = set()
        self._received: queue.SimpleQueue[can.Message] = queue.SimpleQueue()
        self._lock = Lock()
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), name="can server", daemon=True)
        self._thread.start()
        super().__init__(self.channel_info)

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        """Send a frame to every client; a client that is gone or does not read is cut off."""
        self._send_to_all_but(None, msg)

    def shutdown(self) -> None:
        """Cut all clients off and free the port; a second call does nothing."""
        if self._is_shutdown:
            return
        super().shutdown()
        self._server.shutdown()
        self._thread.join()
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            client.cut_off()
        self._server.server_close()  # waits for the sessions

    def join(self, client: _Session) -> None:
        """Let a client hear the bus."""
        with self._lock:
            self._clients.add(client)

    def leave(self, client: _Session) -> None:
        """Forget a client."""
        with self._lock:
            self._clients.discard(client)

    def receive(self, msg: can.Message, sender: _Session) -> None:
        """Take a client's frame."""
        self._received.put(msg)
        self._send_to_all_but(sender, msg)

    def _send_to_all_but(self, sender: _Session | None, msg: can.Message) -> None:
        with self._lock:
            clients = [client for client in self._clients if client is not sender]
        for client in clients:
            client.send(msg)

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        try:
            return self._received.get(timeout=timeout), False
        except queue.Empty:
            return None, False


class _Server(ThreadingMixIn, TCPServer):
    allow_reuse_address = True  # the port is free again as soon as it is closed
    daemon_threads = False

    def __init__(self, address: tuple[str, int], bus: ServedBus) -> None:
        self.bus = bus
        super().__init__(address, _Session)

    def handle_error(self, request: object, client_address: object) -> None:
        log.debug("CAN client %s failed", client_address, exc_info=True)


class _Session(BaseHTTPRequestHandler):
    """Talk to one client: python-can-remote's binary protocol in a web socket."""

    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 1.0  # s, for a client to say what it wants

    def do_GET(self) -> None:
        """Turn the connection into a web socket and serve it until it ends."""
        self.close_connection = True
        if "Sec-WebSocket-Key" not in self.headers:
            self.send_error(400, "this is a CAN bus: join it with python-can's remote interface")
            return
        self._accept()
        self._sending = Lock()  # frames come from the bus and from every other client's thread
        self._link = RemoteProtocolBase(WebSocket(None, _PROTOCOL, sock=self.connection))
        bus = self.server.bus
        try:
            self._link.recv(self.timeout)  # the bit rate the client wishes for
            self._link.send("bus_response", {"channel_info": bus.channel_info})
            self.connection.settimeout(PATIENCE)
            bus.join(self)
            while True:
                event = self._link.recv()
                if isinstance(event, can.Message):
                    bus.receive(event, self)
        except (WebsocketClosed, RemoteError, OSError, ValueError) as error:
            log.debug("CAN client %s left: %s", self.client_address, error)
        finally:
            bus.leave(self)

    def send(self, msg: can.Message) -> None:
        """Send a frame to the client."""
        try:
            with self._sending:
                self._link.send_msg(msg)
        except OSError as error:
            log.warning("CAN client %s is gone or does not read and is cut off: %s", self.client_address, error)
            self.cut_off()

    def cut_off(self) -> None:
        """End the connection, and with it the session's thread."""
        self.server.bus.leave(self)
        with contextlib.suppress(OSError):  # the client was faster
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:
        """Log requests for debugging only."""
        log.debug(format, *args)

    def _accept(self) -> None:
        self.send_response(101)
        self.send_header("Upgrade", "WebSocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", get_accept_key(self.headers["Sec-WebSocket-Key"]))
        self.send_header("Sec-WebSocket-Protocol", _PROTOCOL)
        self.end_headers()


def _port(channel: str) -> int:
    host, _, port = channel.rpartition(":")
    if host != HOST or not port.isdigit() or int(port) > 65535:
        raise ValueError(
            f"CAN channel {channel!r} is not of the form {HOST}:PORT; the bus is served on this machine only"
        )
    return int(port)
