"""The bytes of OpenPI's messages."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("msgpack", reason="no msgpack here: pip install -r requirements.txt")

from tristage_ros.openpi.codec import CodecError, packed, unpacked

# What openpi-client 0.1.2 makes of {"a": float32 [0, 1], "b": float32 2.5}.
THEIRS = bytes.fromhex(
    "82a16184c40b5f5f6e6461727261795f5fc3c40464617461c408000000000000803fc4056474797065a33c6634c4057368617065"
    "9102a16283c40d5f5f6e7067656e657269635f5fc3c40464617461cb4004000000000000c4056474797065a33c6634"
)


def test_the_bytes_are_those_of_openpi_client():
    ours = {"a": np.arange(2, dtype=np.float32), "b": np.float32(2.5)}
    assert packed(ours) == THEIRS
    back = unpacked(THEIRS)
    np.testing.assert_array_equal(back["a"], ours["a"])
    assert back["a"].dtype == np.float32 and back["b"] == 2.5


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "float32", "float64", ">f4"])
def test_arrays_come_back_as_they_were(dtype):
    array = (np.arange(24).reshape(2, 3, 4) % 2).astype(dtype)
    back = unpacked(packed({"deep": {"list": [array, "text", None]}}))["deep"]["list"][0]
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype and back.flags.writeable


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (b"\xc1", "no msgpack"),
        (b"", "no msgpack"),
        (THEIRS[:-3], "no msgpack"),
        (THEIRS.replace(b"<f4", b"|O8"), "dtype '.O8'"),
        (THEIRS.replace(b"<f4", b"<f8"), "float64 and shape .2,. has 8 bytes"),
        (THEIRS.replace(b"<f4", b"f,f"), "dtype 'f,f'"),
    ],
)
def test_what_is_no_message_is_refused_by_name(told, words):
    with pytest.raises(CodecError, match=words):
        unpacked(told)


def test_what_cannot_be_sent_is_refused_by_name():
    for value in (object(), np.array([object()]), np.zeros(2, complex)):
        with pytest.raises(CodecError, match="cannot be sent"):
            packed({"x": value})


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200), st.integers(0, len(THEIRS) - 1))
def test_whatever_comes_is_read_or_refused(noise, at):
    for data in (noise, THEIRS[:at] + noise + THEIRS[at:], THEIRS[:at] + noise):
        try:
            unpacked(data)
        except CodecError as error:
            assert "\n" not in str(error)
