"""What is typed wrong is answered in one line, with exit code 2."""

import pytest

from tristage_ros.cli import main


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["run", "piper_push"], "piper_pick"),
        (["run", "piper_pick", "hardware=piper"], "name:=value"),
        (["run", "piper_pick", "hardware:=ur5"], "sim, piper"),
        (["run", "piper_pick", "speed:=1"], "no launch argument is called 'speed'"),
        (["run", "piper_pick", "seed:=-3"], "seed:=-3"),
        (["run", "piper_pick", "seed:=1", "seed:=2"], "twice"),
        (["demo", "record:=false"], "--out"),
        (["demo", "hardware:=piper", "checkpoint:=/nowhere"], "/nowhere"),
        (["demo", "checkpoint:=/nowhere.safetensors"], "no checkpoint at /nowhere.safetensors"),
        (["report", "/nowhere/bag"], "/nowhere/bag"),
    ],
)
def test_wrong_words_are_named_in_one_line(typed, words, capsys):
    assert main(typed) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert words in error


@pytest.mark.parametrize("seconds", ["x", "0", "-5", "nan", "inf"])
def test_a_duration_is_positive(seconds, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--seconds", seconds])
    assert stop.value.code == 2
    assert "--seconds" in capsys.readouterr().err


def test_interrupted_it_says_so_in_one_line(monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("tristage_ros.evaluation.bench.command.run", interrupted)
    assert main(["bench", "--size", "tiny"]) == 130
    assert capsys.readouterr().err == "interrupted: what was not finished is not written\n"
