"""What reads what is not ours, with inputs that nobody would write; and what counts as a finding."""

import json
import time

import pytest
from hypothesis import strategies as st

from tristage_ros.bench.fuzz import judge
from tristage_ros.bench.fuzz.command import kind_of
from tristage_ros.bench.fuzz.judge import Finding, Kind, examine, search
from tristage_ros.bench.options import FUZZED

SLOW = ("files/", "models/run", "bags/m", "bags/s")  # of which fewer are tried here


@pytest.mark.parametrize("name", FUZZED)
def test_whatever_comes_is_taken_or_refused_in_one_line(name, tmp_path):
    inputs = 200 if name == "serving/socket" else 10 if name.startswith(SLOW) else 60
    outcome = search(kind_of(name, tmp_path), inputs, seed=7)
    assert list(outcome.findings.values()) == []
    assert outcome.counts["accepted"] > 0


def refusing(error: Exception) -> Kind:
    def read(_: bytes) -> None:
        raise error

    return Kind(st.binary(), read, (ValueError,))


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (ValueError("two\nlines"), "one printable line"),
        (ValueError("\x1b[31m"), "one printable line"),
        (ValueError("x" * 3000), "3000 characters"),
        (ValueError(""), "0 characters"),
    ],
)
def test_a_refusal_that_is_no_line_is_a_finding(error, what, monkeypatch):
    monkeypatch.setattr(judge, "PACKAGE", "/")
    with pytest.raises(Finding, match=what):
        examine(refusing(error), b"")


def test_words_that_nobody_here_wrote_are_a_finding(monkeypatch):
    monkeypatch.setattr(judge, "PACKAGE", "/")
    with pytest.raises(Finding, match="nobody here wrote"):
        examine(Kind(st.binary(), json.loads, (ValueError,)), b"{")


def test_memory_that_ran_out_behind_a_refusal_is_a_finding(monkeypatch):
    def read(_: bytes) -> None:
        try:
            raise MemoryError
        except MemoryError as error:
            raise ValueError("damaged") from error

    monkeypatch.setattr(judge, "PACKAGE", "/")
    with pytest.raises(Finding, match="MemoryError"):
        examine(Kind(st.binary(), read, (ValueError,)), b"")


def test_what_does_not_end_is_a_finding_whoever_catches_errors(monkeypatch):
    def read(_: bytes) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                sum(range(1000))
            except Exception:
                continue

    monkeypatch.setattr(judge, "PATIENCE", 0.05)
    with pytest.raises(Finding, match="not done"):
        examine(Kind(st.binary(), read, (ValueError,)), b"")


def test_another_error_is_found_and_made_small():
    def read(data: bytes) -> None:
        if b"\x80" in data:
            raise KeyError(data)

    outcome = search(Kind(st.binary(), read, (ValueError,)), 2000, seed=1)
    [(what, smallest)] = outcome.findings.values()
    assert smallest == b"\x80"
    assert what.startswith("KeyError in test_fuzz.py")
