from __future__ import annotations

import sys
import threading

import pytest

from tristage_ros.studies.progress import Progress, in_words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (42, "42 s"), (600, "10 min"), (3599, "1 h 0 min"), (9060, "2 h 31 min")]
)
def test_a_duration_is_as_exact_as_an_estimate(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_into_a_log_goes_a_line_now_and_then_and_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    came = threading.Event()
    for item in Progress(every=0.01).over("episodes", range(3), 3, lambda item: f"{item} was the last"):
        if item == 2:
            came.wait(0.2)  # something that takes its time
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("episodes: 2 of 3, 1 was the last, ") and lines[0].endswith(" to go")
    assert lines[-1].startswith("episodes: 3 of 3, 2 was the last, ") and "to go" not in lines[-1]


def test_what_is_broken_off_is_not_called_whole(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in Progress().over("episodes", range(3), 3):
        break
    assert capsys.readouterr().err.startswith("episodes: 0 of 3, ")


def test_in_a_terminal_a_bar_moves_to_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress().stage("control steps timed", 4) as advance:
        for _ in range(4):
            advance("")
    assert "4/4" in capsys.readouterr().err


def test_the_quiet_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(Progress(quiet=True).over("episodes", range(3), 3)) == [0, 1, 2]
    assert not capsys.readouterr().err
