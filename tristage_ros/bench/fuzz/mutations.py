"""How inputs are made: bytes of something real that are changed, and trees of values in which something is amiss."""

from __future__ import annotations

import copy
import json
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import yaml
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

MOST_EDITS = 4
SIZES = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    8 << 30,
    2**63,
    2**64 - 1,
)
_CODES = (("<B", 8), ("<H", 16), (">H", 16), ("<I", 32), (">I", 32), ("<Q", 64))
EXTREMES = [struct.pack(code, size % 2**bits) for code, bits in _CODES for size in SIZES]
_EDIT = st.tuples(
    st.sampled_from(("overwrite", "overwrite", "insert", "delete", "cut", "double")),
    st.one_of(st.integers(0, 255), st.integers(-64, -1), st.integers(0, 2**20)),
    st.one_of(st.sampled_from(EXTREMES), st.binary(min_size=1, max_size=8)),
)


@st.composite
def mangled(draw: DrawFn, seeds: Sequence[bytes]) -> bytes:
    """Return one of `seeds` with a few bytes overwritten, inserted, taken out, doubled or cut off."""
    data = draw(st.sampled_from(seeds))
    for what, place, patch in draw(st.lists(_EDIT, max_size=MOST_EDITS)):
        at = max(0, len(data) + place) if place < 0 else place % (len(data) + 1)
        here = data[at : at + len(patch) ** 2]
        data = {
            "overwrite": data[:at] + patch + data[at + len(patch) :],
            "insert": data[:at] + patch + data[at:],
            "delete": data[:at] + data[at + len(here) :],
            "double": data[:at] + here + data[at:],
            "cut": data[:at],
        }[what]
    return data


def mostly(usual: SearchStrategy[Any], other: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Return the one in two of three draws: what is wrong everywhere is refused at once, and shows little."""
    return st.integers(0, 2).flatmap(lambda drawn: usual if drawn else other)


NUMBERS = st.one_of(
    st.integers(-3, 10), st.floats(), st.sampled_from((*SIZES, -(2**63), 10**400, -1, math.pi, math.nan, math.inf))
)
TEXTS = st.one_of(
    st.text(max_size=8), st.sampled_from(("", " ", "\n", "a\nb", "\x1b[31m", "~", "nan", "../..", "0" * 64))
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=7), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)
SPLICE = "SPLICED_IN_HERE"  # stands where a piece of text is put that no writer writes
BOMB = ", ".join(f"&{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 8)}]" for n in range(9))
YAML_PIECES = (
    '!!int ""', '!!timestamp "x"', "!!bool maybe", "!!float x", '!!binary "é"', "2001-99-99", "2001-12-14", "0x_",
    "0b_",
    "&a [*a]", "&b {c: *b}", "*nobody", "!!python/object:os.system {}", "{[1]: 2}", "{{}: 1}", "1e999", ".nan", "-.inf",
    "{<<: 3}", "190:20:30", "9" * 5000, "[" * 2000 + "]" * 2000, "[" * 3000, "{a: " * 600 + "}" * 600, "? 1",
    "|\n  a\n  b", f"[&a [x, x, x, x, x, x, x, x], {BOMB}]",
)  # fmt: skip
JSON_PIECES = (
    "1e999",
    "-Infinity",
    "9" * 5000,
    "[" * 5000,
    "[" * 3000 + "]" * 3000,
    '"\\ud800"',
    "{}",
    "\x00",
    '{"a":' * 3000,
)


@st.composite
def spoiled(draw: DrawFn, tree: Any) -> Any:
    """Return a copy of `tree`, of dicts and lists, in which values are others, are missing, or have company."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(tree))
        if not places:
            return draw(VALUES)
        holder, key = draw(st.sampled_from(places))
        what = draw(st.sampled_from(("replace", "replace", "replace", "splice", "delete", "add")))
        if what == "delete":
            del holder[key]
        elif what == "add":
            holder.append(draw(VALUES)) if isinstance(holder, list) else holder.update({draw(SCALARS): draw(VALUES)})
        else:
            holder[key] = SPLICE if what == "splice" else draw(VALUES)
    return tree


def spoiled_yaml(tree: Any) -> SearchStrategy[bytes]:
    """Return YAML texts near that of `tree`, and some that are far from it."""
    written = _text(tree)
    flow = st.sampled_from((None, False))
    near = st.builds(_spliced, st.builds(_text, spoiled(tree), flow), st.sampled_from(YAML_PIECES))
    far = st.one_of(VALUES.map(_text), st.sampled_from(YAML_PIECES), st.text(max_size=20))
    return mostly(near.map(_encoded), st.one_of(mangled([written.encode()]), far.map(_encoded)))


def spoiled_json(tree: Any) -> SearchStrategy[bytes]:
    """Return JSON texts near that of `tree`, and some that are far from it."""
    near = st.builds(_spliced, st.builds(_json, spoiled(tree)), st.sampled_from(JSON_PIECES))
    far = st.one_of(VALUES.map(_json), st.sampled_from(JSON_PIECES), st.text(max_size=20))
    return mostly(near.map(_encoded), st.one_of(mangled([json.dumps(tree).encode()]), far.map(_encoded)))


def written_to(path: Any, read: Callable[[], object]) -> Callable[[bytes], object]:
    """Return what writes an input to `path` before it is read there."""

    def write_and_read(data: bytes) -> object:
        path.write_bytes(data)
        return read()

    return write_and_read


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def _text(tree: Any, flow: bool | None = None) -> str:
    return yaml.safe_dump(tree, allow_unicode=True, default_flow_style=flow, sort_keys=False)


def _json(tree: Any) -> str:
    return json.dumps(tree, skipkeys=True)


def _spliced(text: str, piece: str) -> str:
    return text.replace(f'"{SPLICE}"', piece).replace(SPLICE, piece)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
