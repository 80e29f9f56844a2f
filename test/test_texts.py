"""YAML, JSON and the words of others: whatever a person brings is read, or refused in one printable line."""

import pytest

from tristage_ros import json_text, yaml_text
from tristage_ros.words import MOST, one_line, shown

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a: !!int ""', "line 1: '' is no int"),
        ('a: !!timestamp "x"', "is no timestamp"),
        ("\na: !!bool maybe", "line 2: 'maybe' is no bool"),
        ("a: 0x_", "'0x_' is no int"),
        (f"a: {'9' * 5000}", "is no int|a"),  # Python 3.10 has no limit everywhere
        ("[" * 5000, "nested too deep"),
        ("a: &a {b: *a}", "line 1 has itself for a part"),
        (LAUGHS, "more than 100000 values"),
        ("a: [1\nb: 2", "in line|special characters"),
        ("a\0", "in line|special characters"),
        ("x: 1\nx: 2", "x is there twice, again in line 2"),
    ],
)
def test_a_yaml_text_is_read_or_refused_in_one_line(text, message):
    try:
        yaml_text.parse(text)
    except ValueError as error:
        assert str(error).isprintable() and len(str(error)) < 2 * MOST
        with pytest.raises(ValueError, match=message):
            yaml_text.parse(text)
    else:
        assert text.startswith("a: 9")


def test_anchors_and_merge_keys_are_read():
    assert yaml_text.parse("a: &a {x: 1}\nb: {<<: *a, y: [*a, *a]}")["b"] == {"x": 1, "y": [{"x": 1}, {"x": 1}]}


@pytest.mark.parametrize(
    ("text", "message"),
    [("[" * 50_000, "nested too deep"), ("{", "not JSON"), (b"\xff", "not JSON"), ("[1]", r"it holds \[1\], not")],
)
def test_a_json_text_holds_an_object_or_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        json_text.parse(text)


def test_values_and_names_are_short_and_printable():
    assert (shown("a\nb"), shown([1, 2]), one_line("home")) == ("'a\\nb'", "[1, 2]", "home")
    for value in ("\x1b[31m\n", [[[[1] * 99] * 99] * 99], 10**5000, "x" * 10**6, {"k" * 999: float("nan")}, "\udc80"):
        for text in (shown(value), one_line(value)):
            assert text.isprintable() and 0 < len(text) <= MOST
