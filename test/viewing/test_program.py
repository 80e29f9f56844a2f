"""Who looks, and where the viewer can be reached from; what is installed for it."""

import socket
import time
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest

from tristage_ros.viewing import environment, page
from tristage_ros.viewing.environment import Environment, ViewerError
from tristage_ros.viewing.page import LOOPBACK, PageServer
from tristage_ros.viewing.program import connections, has_display, listens


def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def addresses_of(port):
    """Return the local addresses, as the kernel writes them, at which somebody listens on a port."""
    lines = [
        line.split() for table in ("tcp", "tcp6") for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    return {line[1].split(":")[0] for line in lines if int(line[1].split(":")[1], 16) == port and line[3] == "0A"}


def test_who_is_connected_is_counted():
    with closing(socket.create_server((LOOPBACK, 0))) as server:
        port = server.getsockname()[1]
        assert listens(port) and connections(port) == 0
        first, second = (socket.create_connection((LOOPBACK, port)) for _ in range(2))
        accepted = [server.accept()[0] for _ in range(2)]
        until(lambda: connections(port) == 2)
        first.close()
        accepted[0].close()
        until(lambda: connections(port) == 1)
        second.close()
        accepted[1].close()
    until(lambda: not listens(port) and connections(port) == 0)


def test_another_port_is_taken_where_somebody_listens(free_port):
    assert page.free_port(free_port) == free_port
    with closing(socket.create_server((LOOPBACK, free_port))):
        assert page.free_port(free_port) not in (0, free_port)


def test_the_page_is_reached_from_this_machine_alone_and_asks_nobody_else(tmp_path):
    (tmp_path / "index.html").write_text("<p>page")
    (tmp_path / "re_viewer_bg.wasm").write_bytes(b"\0asm")
    server = PageServer(tmp_path, page.free_port(0))
    try:
        assert addresses_of(server.port) == {"0100007F"}
        with urlopen(f"http://{LOOPBACK}:{server.port}/?url=x", timeout=30) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert answer.read() == b"<p>page"
        with urlopen(f"http://{LOOPBACK}:{server.port}/re_viewer_bg.wasm", timeout=30) as answer:
            assert answer.headers["Content-Type"] == "application/wasm"
    finally:
        server.close()
    sources = {word for part in policy.split(";") for word in part.split()[1:] if ":" in word}
    assert sources == {"data:", "blob:", "http://127.0.0.1:*", "http://localhost:*"}


def test_a_display_is_told_by_its_variables(monkeypatch):
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", "")
    assert not has_display()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert has_display()


def test_what_is_installed_is_known_by_its_list(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = Environment()
    assert place.folder.parent == tmp_path / "tristage_ros" and not place.is_whole
    for path in (place.python, place.viewer, place.page / "index.html"):
        path.parent.mkdir(parents=True)
        path.touch()
    assert not place.is_whole
    (place.folder / "installed.txt").write_text("rerun-sdk==0.1\n")
    assert not place.is_whole
    (place.folder / "installed.txt").write_text(place._requirements.read_text())
    assert place.is_whole
    place.make(lambda told: pytest.fail(told))
    assert not {"PYTHONPATH", "LD_LIBRARY_PATH"} & place.variables().keys()


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("ERROR: No matching distribution found for rerun-sdk==0.39.0", "package index cannot be reached"),
        ("[Errno -2] Temporary failure in name resolution", "package index cannot be reached"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("ensurepip is not available", "python3-venv"),
        ("one\nERROR: the last word\n", "the last word"),
        ("", "no word of why"),
    ],
)
def test_why_it_cannot_be_installed_is_one_line(tmp_path, log, words):
    (tmp_path / "log").write_text(log)
    told = environment._explained(tmp_path / "log")
    assert words in told and "\n" not in told and str(tmp_path / "log") in told


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ViewerError, match=r"file.*XDG_CACHE_HOME"):
        Environment(tmp_path / "file" / "cache").make(print)


@pytest.mark.long
def test_without_a_network_one_line_says_so_and_nothing_counts_as_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", f"http://{LOOPBACK}:1/simple")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_RETRIES", "0")
    place, said = Environment(tmp_path), []
    with pytest.raises(ViewerError, match="package index cannot be reached"):
        place.make(said.append)
    assert len(said) == 1 and "250 MB" in said[0] and not place.is_whole
