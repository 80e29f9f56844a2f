"""A headless Chromium, told what to do over its DevTools protocol."""

import base64
import json
import shutil
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Browser:
    """One page in a browser that keeps what the page loads and complains of."""

    def __init__(self, folder: Path, *, webgl: bool = False) -> None:
        """Start; `webgl`: with a GPU in software, for pages that draw by one."""
        client = pytest.importorskip("websockets.sync.client", reason="websockets is not installed")
        program = next(filter(None, map(shutil.which, NAMES)), None)
        if program is None:
            pytest.skip(f"no browser is installed: {', '.join(NAMES)}")
        options = ["--headless=new", "--no-sandbox", "--remote-debugging-port=0", "--no-first-run"]
        options += ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"] if webgl else ["--disable-gpu"]
        self._process = subprocess.Popen(
            [program, *options, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.events: list[dict] = []
        self._number = 0
        self._resources = ExitStack()
        address = self._page_address(folder / "DevToolsActivePort")
        self._socket = self._resources.enter_context(client.connect(address, max_size=None))
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _page_address(self, file: Path) -> str:
        from urllib.request import urlopen

        end = time.monotonic() + 60
        while not file.exists() or len(file.read_text().splitlines()) < 2:
            assert time.monotonic() < end and self._process.poll() is None, "the browser does not start"
            time.sleep(0.1)
        port = file.read_text().splitlines()[0]
        while True:
            with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10) as answer:
                pages = [target for target in json.load(answer) if target["type"] == "page"]
            if pages:
                return pages[0]["webSocketDebuggerUrl"]
            assert time.monotonic() < end
            time.sleep(0.1)

    def call(self, method: str, **parameters: object) -> dict:
        """Send a command and return its result; events that come meanwhile are kept."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("id") == self._number:
                return message["result"]
            self.events.append(message)

    def open(self, page: Path | str) -> None:
        """Open a file or an address and wait until everything in it has loaded."""
        self.call("Page.navigate", url=page if isinstance(page, str) else page.resolve().as_uri())
        end = time.monotonic() + 60
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            assert time.monotonic() < end
            self.events.append(json.loads(self._socket.recv(timeout=60)))

    def evaluate(self, expression: str) -> object:
        """Return the value of a JavaScript expression in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def resize(self, width: int, height: int) -> None:
        """Show the page in so many pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def screenshot(self) -> bytes:
        """Return what is seen as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def of_kind(self, *methods: str) -> list[dict]:
        """Return the parameters of the events of these kinds."""
        return [event["params"] for event in self.events if event.get("method") in methods]

    def close(self) -> None:
        """End the browser."""
        self._resources.close()
        self._process.terminate()
        self._process.wait(30)
