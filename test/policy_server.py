"""A policy server as OpenPI's, that tests can break: what it says of itself and what it answers are theirs."""

import http
import threading

import pytest

msgpack = pytest.importorskip("msgpack", reason="no msgpack here: pip install -r requirements.txt")
server = pytest.importorskip("websockets.sync.server", reason="no websockets here: pip install -r requirements.txt")

from websockets.exceptions import ConnectionClosed  # noqa: E402

from tristage_ros.openpi.codec import packed, unpacked  # noqa: E402

SILENCE = object()


class PolicyServer:
    """Serve `answer(observation)`: a map, bytes or a text as they are, or SILENCE. So are the metadata."""

    def __init__(self, answer, metadata=None, port=0):
        self.answer, self.metadata = answer, {} if metadata is None else metadata
        self.asked, self.connections = [], []
        self._server = server.serve(
            self._serve, "127.0.0.1", port, compression=None, max_size=None, process_request=healthz, close_timeout=0.2
        )
        self.port = self._server.socket.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _serve(self, connection):
        self.connections.append(connection)
        try:
            self._say(connection, self.metadata)
            while True:
                self.asked.append(unpacked(connection.recv()))
                self._say(connection, self.answer(self.asked[-1]))
        except ConnectionClosed:
            pass

    @staticmethod
    def _say(connection, said):
        if said is not SILENCE:
            connection.send(said if isinstance(said, (bytes, str)) else packed(said))

    def die(self):
        """End without a word, as a process that is killed does: its sockets are closed."""
        self._server.socket.close()
        for connection in self.connections:
            connection.close_socket()

    def close(self):
        self._server.shutdown()
        self.die()
        self._thread.join(5.0)


def healthz(connection, request):
    return connection.respond(http.HTTPStatus.OK, "OK\n") if request.path == "/healthz" else None
