"""Whoever has no key, asks for too much, or sends what is no message: told in a line, and nobody else notices."""

import asyncio
import contextlib
import socket
import struct
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

from serving.served_policy import ConnectionClosed, InvalidStatus, connect, message_of, serving
from tristage_ros.cli import main
from tristage_ros.serving.admission import Limits, is_loopback
from tristage_ros.serving.wire import pack

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TEXT, BINARY, LAST = 0x1, 0x2, 0x80


def bare(port):
    """Return a socket that has become a websocket, and sends what bytes it likes."""
    raw = socket.create_connection(("127.0.0.1", port), 30)
    raw.sendall(UPGRADE)
    came = b""
    while b"\r\n\r\n" not in came:
        came += raw.recv(1 << 16)
    assert came.startswith(b"HTTP/1.1 101")
    return raw


def heard(raw):
    """Return everything until the other side is gone."""
    came = b""
    with contextlib.suppress(ConnectionResetError):
        while part := raw.recv(1 << 16):
            came += part
    return came


def test_bad_messages_are_told_and_change_nothing(served):
    here, refused = served.in_process(), message_of(5, state=np.full(7, np.nan))
    bad = [
        (refused, "observation/state holds nan"),
        (message_of(5, prompt="x" * 501), "501 characters"),
        (message_of(5, prompt=" "), "the instruction is empty"),
        (message_of(5, image=None), "observation/image is missing"),
        (b"\xc1", "not a message in msgpack"),
        (pack(message_of(5))[:-7], "not a message in msgpack"),
        (b"", "not a message in msgpack"),
        ("hello", "a text came"),
    ]
    with served.client() as client, served.client() as other:
        for step in range(2):
            client.ask(message_of(step)), here.step(message_of(step))
        for message, words in bad:
            answer = client.ask(message)
            assert isinstance(answer, str) and words in answer and "\n" not in answer
        assert client.ask(message_of(2))["actions"].tobytes() == here.step(message_of(2)).tobytes()
        assert other.ask(message_of(0))["pruning"]["step"] == 1


def test_what_goes_wrong_inside_is_told_ends_that_connection_and_no_other(served, monkeypatch, caplog):
    with served.client() as client, served.client() as other:
        other.ask(message_of(0))
        monkeypatch.setattr("tristage_ros.serving.session.pruning_of", lambda report: 1 / 0)
        assert client.ask(message_of(0)) == "internal error, ZeroDivisionError: division by zero"
        with pytest.raises(ConnectionClosed, match="1011"):
            client.socket.recv(30)
        monkeypatch.undo()
        assert other.ask(message_of(1))["pruning"]["step"] == 2
    assert "a step failed" in caplog.text and "Traceback" in caplog.text


def test_a_message_that_is_too_large_is_refused_by_its_header(tiny_policy, caplog):
    with serving(tiny_policy, Limits(max_bytes=100_000, max_rate=1e6)) as served, served.client() as other:
        with bare(served.port) as raw:
            raw.sendall(struct.pack(">BBQI", LAST | BINARY, 0x80 | 127, 1 << 30, 0) + bytes(100_000))
            assert b"exceeds limit" in heard(raw)
        with served.client() as client, pytest.raises(ConnectionClosed, match="1009"):
            client.ask(bytes(100_001))
        assert other.ask(message_of(0))["pruning"]["step"] == 1
    assert "exceeds limit of 100000 bytes" in caplog.text


def test_a_byte_now_and_then_is_no_message(tiny_policy, caplog):
    with serving(tiny_policy, Limits(idle_s=0.5, max_rate=1e6)) as served:
        with bare(served.port) as raw:
            raw.sendall(struct.pack(">BBH", LAST | BINARY, 0x80 | 126, 1000))
            with contextlib.suppress(OSError):  # until nobody listens
                for _ in range(100):
                    raw.sendall(b"x")
                    time.sleep(0.02)
            assert b"no whole message came for 0.5 s" in heard(raw)
        with served.client() as client:
            assert client.socket.recv(30) == "no whole message came for 0.5 s"
    assert caplog.text.count("no whole message came for 0.5 s; closed") == 2


def test_fragments_without_bytes_have_an_end(served):
    with bare(served.port) as raw:
        raw.sendall(struct.pack(">BBI", BINARY, 0x80, 0) + struct.pack(">BBI", 0, 0x80, 0) * 3000)
        assert b"a message in more than 1024 fragments" in heard(raw)


def test_a_handshake_takes_so_long_and_no_longer(tiny_policy):
    with serving(tiny_policy, Limits(handshake_s=0.3)) as served:
        with socket.create_connection(("127.0.0.1", served.port), 30) as raw:
            raw.sendall(UPGRADE[:20])
            assert heard(raw) == b""
        with served.client() as client:
            assert client.metadata["limits"]["handshake_s"] == 0.3


def test_without_the_key_nobody_comes_in(tiny_policy, caplog):
    with serving(tiny_policy, key="sesame") as served:
        for sent in (None, "Api-Key wrong", "Api-Key sesam", "Bearer sesame", "Api-Key sesame2", "Api-Key \xfc"):
            headers = {} if sent is None else {"Authorization": sent}
            with pytest.raises(InvalidStatus) as refused:
                served.client(additional_headers=headers)
            assert refused.value.response.status_code == 401
            assert b"a wrong API key, or none" in refused.value.response.body
        with served.client(additional_headers={"Authorization": "Api-Key sesame"}) as client:
            assert client.ask(message_of(0))["pruning"]["step"] == 1
        assert urllib.request.urlopen(f"http://127.0.0.1:{served.port}/healthz", timeout=30).read() == b"OK\n"
    assert caplog.text.count("a wrong API key, or none") == 6 and "sesame" not in caplog.text.replace("Api-Key", "")


def test_the_client_of_openpi_comes_in_with_its_key(tiny_policy):
    theirs = pytest.importorskip("openpi_client.websocket_client_policy", reason="needs openpi-client")
    with serving(tiny_policy, key="sesame") as served:
        with pytest.raises(InvalidStatus, match="401"):
            theirs.WebsocketClientPolicy("127.0.0.1", served.port, api_key="wrong")
        policy = theirs.WebsocketClientPolicy("127.0.0.1", served.port, api_key="sesame")
        assert policy.infer(message_of(0))["actions"].shape == (1, 7)


def test_a_page_in_a_browser_does_not_come_in(served):
    with pytest.raises(InvalidStatus, match="403"):
        served.client(origin="http://somewhere.example")


def test_there_is_room_for_so_many(tiny_policy):
    with serving(tiny_policy, Limits(clients=1, max_rate=1e6)) as served:
        with served.client() as client:
            with pytest.raises(InvalidStatus, match="503") as refused:
                served.client()
            assert b"1 clients are here already" in refused.value.response.body
            with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/healthz", timeout=30) as health:
                assert health.status == 200
            client.ask(message_of(0))
        for _ in range(100):  # the server hears of it a moment later
            with contextlib.suppress(InvalidStatus), served.client() as client:
                assert client.ask(message_of(0))["pruning"]["step"] == 1
                return
            time.sleep(0.05)
        pytest.fail("a client that left still takes room")


def test_there_is_room_for_so_many_however_many_come_at_once(tiny_policy):
    async def crowd(port: int) -> list[object]:
        address = f"ws://127.0.0.1:{port}"
        coming = [connect(address, compression=None, proxy=None, close_timeout=0.2) for _ in range(20)]
        came = await asyncio.gather(*coming, return_exceptions=True)
        await asyncio.gather(*(each.close() for each in came if not isinstance(each, BaseException)))
        return came

    with serving(tiny_policy, Limits(clients=3)) as served:
        came = asyncio.run(crowd(served.port))
    assert sum(isinstance(each, InvalidStatus) for each in came) == 17


def test_more_than_the_rate_waits(tiny_policy):
    with serving(tiny_policy, Limits(max_rate=4.0)) as served, served.client() as client:
        began = time.monotonic()
        waited = [client.ask(message_of(step))["server_timing"]["waiting_ms"] for step in range(3)]
        assert time.monotonic() - began >= 0.5
        assert waited[0] < min(waited[1:]) + 250


def test_no_client_holds_the_server_up_when_it_ends(tiny_policy):
    with serving(tiny_policy) as served:
        raw = bare(served.port)
        raw.sendall(struct.pack(">BBH", LAST | BINARY, 0x80 | 126, 1000))
    assert heard(raw)  # and serving() has seen its thread end
    raw.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--host", "0.0.0.0"],
            "--host 0.0.0.0 lets other machines move what this policy moves: give them an --api-key",
        ),
        (["--host", "::"], "--api-key"),
        (["--host", "robot.example"], "--api-key"),
        (["--api-key", "two words"], "the API key has characters that no HTTP header carries"),
        (["--clients", "0"], "clients = 0 must be more than 0"),
        (["--names", "/nowhere.yaml"], "/nowhere.yaml"),
        (["--pruning", "none"], "no pruning preset is called 'none'"),
        (["--checkpoint", "/nowhere"], "no checkpoint at /nowhere"),
        (["--workspace", "1", "0", "0", "0", "1", "1"], "workspace"),
        (["--threads", "0"], "--threads 0"),
    ],
)
def test_what_cannot_be_served_is_told_before_anything_is_loaded(options, words, capsys, monkeypatch):
    monkeypatch.delenv("TRISTAGE_API_KEY", raising=False)
    assert main(["serve", *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and words in error


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_is_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "10.0.0.1", "localhost.example", "127.1"])
def test_everything_else_is_not(host):
    assert not is_loopback(host)


def test_a_port_that_is_taken_is_told(served, capsys):
    assert main(["serve", "--port", str(served.port), "--checkpoint", "random", "--threads", "1"]) == 2
    assert "address already in use" in capsys.readouterr().err


def test_a_request_that_is_no_websocket_is_answered(served):
    with pytest.raises(urllib.error.HTTPError, match="426"):
        urllib.request.urlopen(f"http://127.0.0.1:{served.port}/", timeout=30)
