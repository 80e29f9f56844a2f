"""The served policy: its actions are those in process, whoever else is there; state is a client's own."""

import asyncio
import os
import signal
import threading
import time
import urllib.request

import numpy as np
import pytest

from serving.served_policy import (
    BANANA,
    BOX,
    DOWN,
    WORKSPACE,
    Client,
    ConnectionClosed,
    connect,
    message_of,
    msgpack,
    serving,
)
from tristage_ros.cli import main
from tristage_ros.mla.values import Observation
from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.cloud import RgbdFrame, build_cloud
from tristage_ros.serving.names import Names
from tristage_ros.serving.wire import pack, unpack


def test_the_client_of_openpi_gets_the_actions_of_the_policy_in_process(served):
    theirs = pytest.importorskip("openpi_client.websocket_client_policy", reason="needs openpi-client")
    broker = pytest.importorskip("openpi_client.action_chunk_broker").ActionChunkBroker
    policy, here = theirs.WebsocketClientPolicy("127.0.0.1", served.port), served.in_process()
    metadata = policy.get_server_metadata()
    steps = broker(policy, metadata["action_horizon"])
    for step in range(4):
        message = message_of(step)
        answer = steps.infer(message)
        assert answer["actions"].tobytes() == here.step(message)[0].tobytes()
        assert answer["pruning"]["rate"] == here.report.pruning.rate
        assert answer["server_timing"]["infer_ms"] > 0
    assert here.report.pruning.pruned
    with pytest.raises(RuntimeError, match="observation/state is missing"):
        policy.infer(message_of(9, state=None))
    answer = steps.infer(message_of(4))  # and the conversation goes on
    assert answer["actions"].tobytes() == here.step(message_of(4))[0].tobytes()


def test_two_clients_in_turn_have_pruning_state_of_their_own(served):
    with served.client() as one, served.client() as other:
        one_here, other_here = served.in_process(BANANA), served.in_process(BOX)
        for step in range(4):
            mine, theirs = message_of(step), message_of(100 + step, BOX)
            for client, here, message in ((one, one_here, mine), (other, other_here, theirs)):
                answer = client.ask(message)
                assert answer["actions"].tobytes() == here.step(message).tobytes()
                told = answer["pruning"]
                assert (told["step"], told["tokens_2d"]) == (step + 1, here.report.pruning.tokens_2d)
        kept, kept_there = (here.report.masks.keep_2d for here in (one_here, other_here))
        assert not kept.equal(kept_there)


@pytest.mark.parametrize("how", ["prompt", "reset", "connection"])
def test_another_prompt_a_reset_and_a_new_connection_begin_anew(served, how):
    prompt = BOX if how == "prompt" else BANANA
    fresh = served.in_process(prompt)
    client = served.client()
    with client:
        for step in range(2):
            client.ask(message_of(step))
        if how != "connection":
            first = client.ask(message_of(2, prompt, reset=how == "reset"))
            again = client.ask(message_of(3, prompt, reset=False))
    if how == "connection":
        with served.client() as client:
            first, again = client.ask(message_of(2)), client.ask(message_of(3))
    assert first["actions"].tobytes() == fresh.step(message_of(2)).tobytes()
    assert again["actions"].tobytes() == fresh.step(message_of(3)).tobytes()
    assert (first["pruning"]["rate"], again["pruning"]["step"]) == (0.0, 2)


def test_depth_becomes_the_cloud_of_the_workspace(served):
    message = message_of(0, points=None)
    camera = CameraModel(64, 48, 50.0, 50.0, 31.5, 23.5, DOWN)
    color, depth = message["observation/image"], message["observation/depth"].astype(np.float32) * np.float32(1e-3)
    cloud = build_cloud([RgbdFrame(color, depth, camera, 0.0)], WORKSPACE, count=64)
    state = message["observation/state"].astype(np.float32)
    here = served.in_process()
    action, _ = here._policy.act(Observation(color, camera, cloud.points, state, depth))
    in_metres = message_of(0, points=None, depth=depth)
    in_units = message_of(0, points=None, depth=message["observation/depth"] * 4, depth_scale=0.00025)
    with served.client() as client:
        for asked in (message, in_metres, in_units):
            answer = client.ask(asked | {"observation/reset": True})
            assert answer["actions"][:, :3].tobytes() == action.translation.tobytes()


def test_metadata_say_what_to_send_and_what_comes(served):
    with served.client() as client:
        told = client.metadata
    assert set(told["observation"]) == set(message_of(0)) | {"observation/depth_scale", "observation/reset"}
    assert all(entry["kind"] and entry["meaning"] for entry in told["observation"].values())
    assert "relative to the tool" in told["actions"]["meaning"]
    assert (told["pruning"]["preset"], told["pruning"]["settings"]["target_rate"]) == ("robot", 0.7)
    assert (told["engine"], told["limits"]["clients"]) == ("cached", 8)
    assert told["checkpoint"].startswith("RANDOM WEIGHTS")


def test_names_of_ones_own_and_what_is_always_the_same(tiny_policy):
    whole = message_of(0)
    pose = whole["observation/camera_pose"].tolist()
    names = Names(
        Names().of | {"image": "cam/top", "prompt": "task"},
        {"intrinsics": whole["observation/intrinsics"], "camera_pose": pose},
    )
    short = message_of(0, image=None, prompt=None, intrinsics=None, camera_pose=None)
    short |= {"cam/top": whole["observation/image"], "task": BANANA}
    with serving(tiny_policy, names=names) as served, served.client() as client:
        assert client.ask(short)["actions"].tobytes() == served.in_process().step(whole).tobytes()
        assert "cam/top is missing; there came" in client.ask(message_of(0) | {"task": BANANA})
        assert client.metadata["observation"]["observation/intrinsics"]["required"] == "no: the server knows it"


def test_a_client_that_never_reads_and_one_that_is_gone_keep_nobody_waiting(served):
    here = served.in_process()
    with served.client() as silent, served.client() as asking:
        gone = served.client()
        for step in range(20):
            silent.socket.send(pack(message_of(step)))
            gone.socket.send(pack(message_of(step)))
        gone.socket.socket.close()  # without a word
        for step in range(3):
            assert asking.ask(message_of(step))["actions"].tobytes() == here.step(message_of(step)).tobytes()


@pytest.mark.flaky(reruns=2)
def test_turns_go_round_whoever_sends_ahead(served):
    async def race() -> int:
        address, options = f"ws://127.0.0.1:{served.port}", {"compression": None, "proxy": None, "close_timeout": 0.2}
        async with connect(address, **options) as greedy, connect(address, **options) as modest:
            await greedy.recv(), await modest.recv()
            data, ahead = pack(message_of(0)), 0
            await asyncio.gather(*(greedy.send(data) for _ in range(60)), modest.send(data))
            answer = asyncio.ensure_future(modest.recv())
            while not answer.done():
                following = asyncio.ensure_future(greedy.recv())
                await asyncio.wait({answer, following}, return_when=asyncio.FIRST_COMPLETED)
                ahead += following.done()
                if not following.done():
                    following.cancel()
            assert unpack(await answer)["pruning"]["step"] == 1
            return ahead

    assert asyncio.run(race()) < 50


def test_the_command_serves_until_it_is_asked_to_end(free_port, capsys):
    came = {}

    def use() -> None:
        try:
            for _ in range(600):
                try:
                    came["health"] = urllib.request.urlopen(f"http://127.0.0.1:{free_port}/healthz", timeout=5).read()
                    break
                except OSError:
                    time.sleep(0.1)
            with Client(free_port) as client:
                came["metadata"], came["answer"] = client.metadata, client.ask(message_of(0))
                os.kill(os.getpid(), signal.SIGTERM)
                with pytest.raises(ConnectionClosed):
                    client.socket.recv(30)
        except BaseException:
            os.kill(os.getpid(), signal.SIGTERM)
            raise

    user = threading.Thread(target=use)
    user.start()
    code = main(["serve", "--port", str(free_port), "--threads", "1", "--pruning", "paper"])
    user.join()
    assert (code, came["health"]) == (0, b"OK\n")
    assert f"serving mini.safetensors, pruning paper, on ws://127.0.0.1:{free_port}" in capsys.readouterr().out
    metadata = came["metadata"]
    assert len(metadata["checkpoint"]["sha256"]) == 64 and metadata["checkpoint"]["path"] == "mini.safetensors"
    assert metadata["versions"].keys() >= {"tristage_ros", "torch", "msgpack", "websockets"}
    assert came["answer"]["actions"].shape == (1, 7)
    assert msgpack.packb(metadata)
