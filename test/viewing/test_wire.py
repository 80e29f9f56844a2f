"""Records on their way to the process that logs them."""

import io

import numpy as np
import pytest

from tristage_ros.viewing.logger.wire import Record, WireError, pack, records

SENT = [
    Record("a", "Scalars", {"scalars": np.array([0.5, np.nan, np.inf])}, 10**18 + 1),
    Record("é/b", "Boxes3D", {"centers": np.zeros((0, 3)), "labels": ["table", "wall"], "fill_mode": "solid"}),
    Record("c", "EncodedImage", {"contents": b"\xff\xd8odd", "media_type": "image/jpeg"}, -5),
    Record("d", "Points3D", {"positions": np.ones((7, 3), np.float32)[::2], "colors": np.full((4, 3), 9, np.uint8)}, 0),
]


def test_records_come_out_as_they_went_in():
    got = list(records(io.BytesIO(b"".join(map(pack, SENT)))))
    assert [(r.path, r.archetype, r.time, [*r.fields]) for r in got] == [
        (r.path, r.archetype, r.time, [*r.fields]) for r in SENT
    ]
    np.testing.assert_array_equal(got[0].fields["scalars"], SENT[0].fields["scalars"])
    assert got[1].fields["centers"].shape == (0, 3) and got[1].fields["labels"] == ["table", "wall"]
    assert got[2].fields["contents"].tobytes() == b"\xff\xd8odd"
    for name, dtype in (("positions", np.float32), ("colors", np.uint8)):
        assert got[3].fields[name].dtype == dtype
        np.testing.assert_array_equal(got[3].fields[name], SENT[3].fields[name])


def test_arrays_lie_where_their_elements_may():
    # Behind three bytes, where a view of what was read would not.
    sent = Record("a", "X", {"bytes": b"abc", "numbers": np.arange(3.0)})
    (got,) = records(io.BytesIO(pack(sent)))
    assert got.fields["numbers"].flags.aligned and got.fields["numbers"].tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("end", [3, 9, -1])
def test_a_stream_that_ends_within_a_record_is_told(end):
    whole = pack(SENT[0])
    stream = records(io.BytesIO(whole + pack(SENT[1])[:end]))
    assert next(stream).path == "a"
    with pytest.raises(WireError, match="ends"):
        next(stream)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 8,
        b"\4\0\0\0\0\0\0\0null",
        b"\2\0\0\0\0\0\0\0[]",
        pack(SENT[0])[:4] + b"\0\0\0\0" + pack(SENT[0])[8:-24],
    ],
    ids=["lengths", "no list", "too short", "without its array"],
)
def test_what_is_no_record_is_told(data):
    with pytest.raises(WireError):
        list(records(io.BytesIO(data)))
