"""The viewer as a page: its files, taken from the viewer once, and their server, which this machine alone reaches.

As it comes, the page tells its makers of its use and asks for fonts and releases. Ours asks nobody but this machine.
"""

from __future__ import annotations

import re
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

LOOPBACK = "127.0.0.1"
FILES = ("index.html", "favicon.ico", "re_viewer.js", "re_viewer_bg.wasm")
PATIENCE = 20.0  # s for the viewer to answer
# What the page asks of others is answered here, with nothing; should it find another way, the browser stops it.
_GUARD = """<script>
  const asked = window.fetch, ours = [location.hostname, "127.0.0.1", "localhost"];
  window.fetch = (what, how) => ours.includes(new URL(what.url ?? what, location).hostname)
    ? asked(what, how) : Promise.resolve(new Response(null, { status: 204 }));
</script>
"""
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    f"img-src 'self' data: blob:; worker-src 'self' blob:; connect-src 'self' http://{LOOPBACK}:* http://localhost:*"
)
_FOREIGN_LINK = re.compile(r"<link\b[^>]*https://[^>]*>")


def take_page(viewer: Path, variables: Mapping[str, str], folder: Path) -> None:
    """Write the files of the page that the program `viewer` serves into `folder`, without what asks others.

    Raises:
        OSError: it does not serve them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port, page_port = free_port(0), free_port(0)
    command = [str(viewer), "--serve-web", "--bind", LOOPBACK, "--port", str(port), "--web-viewer-port", str(page_port)]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, env=dict(variables))
    try:
        for name in FILES:
            data = _loaded(f"http://{LOOPBACK}:{page_port}/{'' if name == 'index.html' else name}")
            if name == "index.html":
                text = _FOREIGN_LINK.sub("", data.decode())
                data = text.replace("<script>", f"{_GUARD}<script>", 1).encode()
            (folder / name).write_bytes(data)
    finally:
        process.terminate()
        process.wait()


def _loaded(url: str) -> bytes:
    end, opener = time.monotonic() + PATIENCE, build_opener(ProxyHandler({}))
    while True:
        try:
            with opener.open(url, timeout=PATIENCE) as answer:
                return bytes(answer.read())
        except URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


class PageServer:
    """Serve the files of the page on the loopback interface."""

    def __init__(self, folder: Path, wanted: int) -> None:
        """Serve `folder` at the port `wanted`, or at another one where that is taken."""
        self.port = free_port(wanted)
        self._server = ThreadingHTTPServer((LOOPBACK, self.port), partial(_Files, directory=str(folder)))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


class _Files(SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", _POLICY)
        super().end_headers()

    def log_message(self, *words: object) -> None:
        pass


def free_port(wanted: int) -> int:
    """Return `wanted` if nobody listens there, else another port of this machine that is free."""
    for port in (wanted, 0):
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no port of this machine is free")
