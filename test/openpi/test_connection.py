"""A real server on a real socket: what it says, and whatever else comes."""

import http.client
import importlib.util
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from policy_server import SILENCE, PolicyServer
from test_mapping import moment

from tristage_ros.openpi import connection as module
from tristage_ros.openpi.address import address
from tristage_ros.openpi.answers import chunk
from tristage_ros.openpi.connection import Connection, ServerError, described
from tristage_ros.openpi.mapping import map_file, read_map
from tristage_ros.openpi.questions import question

DOCUMENTS = Path(__file__).resolve().parents[2] / "docs"
JOINTS = read_map(map_file("joints"))
ACTIONS = {"actions": np.zeros((5, 7), np.float32)}


@pytest.fixture
def serve():
    servers = []

    def serve(answer=lambda observation: ACTIONS, metadata=None):
        servers.append(PolicyServer(answer, metadata))
        return servers[-1]

    yield serve
    for each in servers:
        each.close()


@pytest.fixture
def connect():
    made = []

    def connect(url, within=5.0):
        made.append(Connection(url, within))
        return made[-1]

    yield connect
    for each in made:
        each.close()


def patiently(connect, url):
    """Connect to a server that is being started."""
    end = time.monotonic() + 10.0
    while True:
        try:
            return connect(url)
        except ServerError:
            assert time.monotonic() < end
            time.sleep(0.02)


def test_metadata_come_first_and_every_question_has_its_answer(serve, connect):
    server = serve(metadata={"reset_pose": [0, -1.5], "mean": np.ones(2)})
    connected = connect(server.url)
    assert connected.metadata["reset_pose"] == [0, -1.5]
    assert described(connected.metadata) == '{"mean": [1.0, 1.0], "reset_pose": [0, -1.5]}'
    for prompt in ("a", "b"):
        answer = connected.ask({"prompt": prompt, "image": np.zeros((224, 224, 3), np.uint8)}, 5.0)
        np.testing.assert_array_equal(answer["actions"], ACTIONS["actions"])
    assert [asked["prompt"] for asked in server.asked] == ["a", "b"]
    assert connected.echo().wait(5.0) and connected.echo() is not None


def test_healthz_says_ok(serve):
    asked = http.client.HTTPConnection("127.0.0.1", serve().port, timeout=5.0)
    asked.request("GET", "/healthz")
    assert asked.getresponse().read() == b"OK\n"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Traceback (most recent call last):\n  File x\nKeyError: 'state'\n", "failed: KeyError: 'state'"),
        (b"\xc1\xc1", "another protocol: instead of an answer it said 2 bytes that are no msgpack"),
        (b"\x01", "another protocol: instead of an answer it said 1"),
        (SILENCE, "is silent: it did not say an answer within 0.2 s"),
    ],
)
def test_what_is_no_answer_ends_the_connection_with_a_line(serve, connect, said, words):
    with pytest.raises(ServerError, match=words) as caught:
        connect(serve(lambda observation: said).url).ask({}, 0.2 if said is SILENCE else 5.0)
    assert "\n" not in str(caught.value)
    assert caught.value.traceback == (said if isinstance(said, str) else "")


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ("hello", "failed: hello"),
        (b"\xc1", "another protocol: instead of its metadata"),
        (SILENCE, "is silent: it did not say its metadata within 0.2 s"),
    ],
)
def test_a_server_whose_first_words_are_others_is_of_another_protocol(serve, connect, metadata, words):
    with pytest.raises(ServerError, match=words):
        connect(serve(metadata=metadata).url, 0.2 if metadata is SILENCE else 5.0)


def test_a_message_that_is_too_large_is_told_as_that(serve, connect, monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 1 << 20)
    with pytest.raises(ServerError, match="sent a message of more than 1 MB"):
        connect(serve(lambda observation: bytes(2 << 20)).url).ask({}, 10.0)


def test_a_server_that_dies_meanwhile_is_noticed(serve, connect):
    server = serve(lambda observation: SILENCE)
    connected = connect(server.url)
    threading.Timer(0.2, server.die).start()
    with pytest.raises(ServerError, match="ended the connection"):
        connected.ask({}, 30.0)
    assert connected.echo() is None


def test_nobody_has_to_wait_for_an_answer(serve, connect):
    connected, begun = connect(serve(lambda observation: SILENCE).url), time.monotonic()
    with pytest.raises(ServerError, match="nobody waits"):
        connected.ask({}, 300.0, lambda: time.monotonic() > begun + 0.1)


def test_where_there_is_no_server_that_is_said(free_port):
    with pytest.raises(ServerError, match=f"no policy server at ws://127.0.0.1:{free_port}: .*refused"):
        Connection(f"ws://127.0.0.1:{free_port}")


def test_a_port_of_something_else_is_told(free_port):
    def hang_up(listening):
        while True:
            try:
                client = listening.accept()[0]
            except OSError:
                return
            client.recv(4096)
            client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            client.close()

    with socket.create_server(("127.0.0.1", free_port)) as listening:
        threading.Thread(target=hang_up, args=(listening,), daemon=True).start()
        with pytest.raises(
            ServerError, match=r"does not speak WebSocket: .*404; GET /healthz says 404: is that the port"
        ):
            Connection(f"ws://127.0.0.1:{free_port}")
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("text", ["", "host:8000", "http://host:8000", "ws://host", "ws://:8000", "ws://host:99999"])
def test_what_is_no_address_is_refused_by_name(text):
    with pytest.raises(ValueError, match=r"is no address of a policy server; write ws://HOST:PORT"):
        address(text)
    assert address(" ws://gpu:8000 ") == "ws://gpu:8000"


def test_the_server_of_twenty_lines_is_one(connect, free_port):
    text = (DOCUMENTS / "any_policy.md").read_text(encoding="utf-8")
    lines = text.split("```python\n")[1].split("```")[0].replace("8000", str(free_port))
    threading.Thread(target=exec, args=(lines, {}), daemon=True).start()
    asked = question(JOINTS, moment(), "go on")
    told = patiently(connect, f"ws://127.0.0.1:{free_port}").ask(asked, 5.0)
    assert len(chunk(JOINTS, told, moment()).gripper) == 20


def test_the_server_for_lerobot_speaks_the_protocol(connect, free_port):
    class Policy:
        metadata, begun = {"policy": "act"}, 0

        def reset(self):
            self.begun += 1

        def answer(self, observation):
            return np.tile(observation["observation.state"], (3, 1))

    spec = importlib.util.spec_from_file_location("lerobot_server", DOCUMENTS.parent / "examples" / "lerobot_server.py")
    module, policy = importlib.util.module_from_spec(spec), Policy()
    spec.loader.exec_module(module)
    server = module.serving(policy, "127.0.0.1", free_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connected = patiently(connect, f"ws://127.0.0.1:{free_port}")
    told = connected.ask({"observation.state": np.arange(7, dtype=np.float32)}, 5.0)
    assert connected.metadata == {"policy": "act"} and policy.begun == 1
    assert told["action"].shape == (3, 7) and told["server_timing"]["infer_ms"] >= 0.0
    with pytest.raises(ServerError, match=r"failed: KeyError: 'observation.state'"):
        connected.ask({}, 5.0)
    server.shutdown()
