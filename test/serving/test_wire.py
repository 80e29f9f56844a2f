"""Messages: what goes in comes out, as OpenPI's own client packs it, and nothing else is taken."""

import pickle
import struct
import tracemalloc

import numpy as np
import pytest

msgpack = pytest.importorskip("msgpack", reason="needs msgpack: pip install msgpack")

from tristage_ros.serving.wire import MOST_VALUES, WireError, pack, unpack  # noqa: E402


def of_array(**changes):
    parts = {"__ndarray__": True, "data": bytes(12), "dtype": "<f4", "shape": [3]} | changes
    return msgpack.packb({"a": {name.encode(): value for name, value in parts.items() if value is not None}})


@pytest.mark.parametrize("kind", ["u1", "?", "<f2", "<f4", "<f8", ">f4", "<i8", "<u2"])
def test_an_array_comes_out_as_it_went_in(kind):
    array = np.arange(24).reshape(2, 3, 4).astype(kind)
    came = unpack(pack({"a": array, "b": array[:, ::2], "text": "ä", "list": [1, 2.5, None, True]}))
    assert came["a"].dtype == array.dtype and (came["a"] == array).all()
    assert (came["b"] == array[:, ::2]).all()
    assert (came["text"], came["list"]) == ("ä", [1, 2.5, None, True])


def test_numpy_scalars_are_numbers():
    scalars = {"f": np.float32(0.5), "i": np.int64(-3), "b": np.bool_(True), "n": np.float64("inf")}
    assert unpack(pack(scalars)) == {"f": 0.5, "i": -3, "b": True, "n": float("inf")}


def test_the_client_of_openpi_packs_and_reads_the_same():
    theirs = pytest.importorskip("openpi_client.msgpack_numpy", reason="needs openpi-client")
    message = {"image": np.arange(12, dtype=np.uint8).reshape(2, 2, 3), "gripper": np.float32(0.25), "prompt": "go"}
    assert theirs.packb(message) == pack(message)
    came = theirs.unpackb(pack(message))
    assert (came["image"] == message["image"]).all() and came["gripper"] == 0.25


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a message in msgpack"),
        (b"\xc1", "not a message in msgpack"),
        (b"\x81\xa1a", "not a message in msgpack"),
        (b"\x80\x00", "extra data"),
        (b"\x81" * 5000, "not a message in msgpack"),
        (b"\x91" * 5000, "not a message in msgpack"),
        (b"\x01", "map of names to values, not 1"),
        (b"\x81\x01\x02", "not a message in msgpack"),
        (b"\x81\xc4\x01a\x02", "map of names"),
        (of_array(dtype="|O"), "objects never"),
        (of_array(dtype="O"), "objects never"),
        (of_array(dtype="<c8"), "no dtype '<c8'"),
        (of_array(dtype="(1000000,1000000)f8"), "no dtype"),
        (of_array(dtype="V9999999999"), "no dtype"),
        (of_array(dtype=None), "no dtype None"),
        (of_array(data=pickle.dumps([1]), dtype="|O", shape=[1]), "objects never"),
        (of_array(data="text"), "data of an array are bytes"),
        (of_array(data=None), "data of an array are bytes"),
        (of_array(shape=[-3]), r"\[-3\]"),
        (of_array(shape=[-1, -3]), "sizes of 1 or more"),
        (of_array(shape=[0, 3]), "sizes of 1 or more"),
        (of_array(shape=[2**40, 2**40]), "takes 4835703278458516698824704 bytes, and 12 came"),
        (of_array(shape=[1] * 5), "up to 4 sizes"),
        (of_array(shape=[3.0]), r"\[3.0\]"),
        (of_array(shape=[True, 3]), "sizes of 1 or more"),
        (of_array(shape=3), "shape of an array is 3"),
        (of_array(shape=[4]), "takes 16 bytes, and 12 came"),
        (msgpack.packb({"a": {b"__npgeneric__": True, b"data": "x", b"dtype": "<f4"}}), "'x' is no <f4"),
        (msgpack.packb({"a": {b"__npgeneric__": True, b"data": 1, b"dtype": "|O"}}), "objects never"),
        (msgpack.packb({"a": "x" * 20_000}), "not a message in msgpack"),
        (msgpack.packb({"a": list(range(65))}), "not a message in msgpack"),
        (msgpack.packb({"a": [[0] * 64] * 64}), "more than 4096 values"),
        (msgpack.packb({"a": msgpack.ExtType(5, b"abc")}), "not a message in msgpack"),
    ],
)
def test_anything_else_is_refused_in_one_line(data, words):
    with pytest.raises(WireError, match=words) as refused:
        unpack(data)
    assert str(refused.value).isprintable()


# A list of 2**32 - 1 entries, again and again inside each other; millions of empty ones; an array of exabytes.
BOMBS = {
    "declared": b"\x81\xa1a" + b"\xdd\xff\xff\xff\xff" * 500,
    "fitting": b"\x81\xa1a" + (b"\xdd" + struct.pack(">I", 1 << 20)) * 500 + bytes(1 << 20),
    "empty": msgpack.packb({"a": [[[[] for _ in range(64)]] * 64] * 64}),
    "bytes": b"\x81\xa1a\xc6\xff\xff\xff\xff" + bytes(100),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_no_memory_is_taken_for_what_a_message_only_declares(bomb):
    tracemalloc.start()
    try:
        with pytest.raises(WireError):
            unpack(BOMBS[bomb])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 100 * MOST_VALUES + len(BOMBS[bomb])
