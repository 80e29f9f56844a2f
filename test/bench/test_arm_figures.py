"""The arm's figures: what is held against which limit, and that each measurement's quick form measures."""

from __future__ import annotations

import argparse
import math

import numpy as np
import pytest

from tristage_ros.bench.arm import alarms, command, contact, reactions, stopping
from tristage_ros.bench.arm.conditions import Account, Figure, verdict
from tristage_ros.bench.arm.contact import PLACES, Contact, noticed_within
from tristage_ros.bench.arm.faults import FAULTS
from tristage_ros.bench.arm.reactions import Reaction, moved_within
from tristage_ros.bench.options import PLACES as OFFERED
from tristage_ros.bench.options import add_measurements
from tristage_ros.graph.load import busy

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("values", "counts", "missed"),
    [
        ([0.1, 0.3, 0.2], 0.3, False),
        ([0.1, 0.31, 0.2], 0.31, True),
        ([0.1] * 198 + [9.0] * 2, 0.1, False),  # 99 % of many are within
        ([0.1] * 197 + [9.0] * 3, 9.0, True),
        ([0.1] * 98 + [9.0], 9.0, True),  # of few the largest counts
        ([0.1, INF], INF, True),
        ([], NAN, True),  # what was not measured has kept no limit
        ([NAN], NAN, True),
        ([NAN, 0.2], 0.2, False),
    ],
)
def test_a_figure_is_held_against_its_limit(values: list[float], counts: float, missed: bool) -> None:
    figure = Figure(values, 0.3)
    assert figure.counts == pytest.approx(counts, nan_ok=True)
    assert figure.missed is missed
    assert not Figure(values).missed
    assert verdict(figure, Figure(values)) == ("missed" if missed else "kept") and verdict(Figure(values)) == "-"


def test_a_missed_limit_is_an_exit_code_on_a_quiet_machine_only() -> None:
    account = Account()
    assert account.take("kept") == "kept" and account.exit_code(0) == 0
    account.take("missed")
    assert (account.exit_code(0), account.exit_code(4)) == (1, 0)
    assert account.line() == "limits kept in 1 rows, missed in 1"


@pytest.mark.parametrize(
    ("contacts", "kept"),
    [
        ([Contact(0.2, 39.0, 0.1, 0.001, 0.0)], True),
        ([Contact(0.2, 39.0, 0.1, 0.001)], True),  # a repetition that was not watched sinking
        ([Contact(0.2, 39.0, 0.1, 0.001), Contact(0.31, 39.0, 0.1, 0.001)], False),
        ([Contact(0.2, 39.0, 2.1, 0.001)], False),
        ([Contact(0.2, 39.0, 0.1, 0.011)], False),
        ([Contact(0.2, 39.0, 0.1, 0.001, 0.0021)], False),
        ([Contact()], False),  # never noticed
        ([], False),  # never measured
    ],
)
def test_a_contact_has_four_limits(contacts: list[Contact], kept: bool) -> None:
    account = Account()
    row = contact.row(PLACES["joint1"], 1.0, 0.5, False, contacts, account)
    assert row.endswith("| kept |" if kept else "| missed |")
    assert (account.kept, account.missed) == (int(kept), int(not kept))
    assert "of 0.30 s" in row


def test_limits_are_those_of_the_speed_and_of_the_feedback() -> None:
    assert [noticed_within(PLACES["joint2"], scale, False) for scale in (1.0, 0.5, 0.1)] == [0.3, 0.3, 0.8]
    assert noticed_within(PLACES["table"], 0.1, True) == pytest.approx(1.0)
    limits = {fault.name: moved_within(fault, False) for fault in FAULTS}
    prompt = [name for name, limit in limits.items() if limit == pytest.approx(0.02)]
    assert prompt == [
        "emergency stop pressed on the arm",
        "motor fault",
        "teach button",
        "teach button, firmware obeys 0x151",
        "somebody else commands the arm",
    ]
    missing = {fault.name: (limits[fault.name], moved_within(fault, True)) for fault in FAULTS if fault.missing}
    assert missing["arm status (0x2A1) stops"] == pytest.approx((0.27, 0.52))
    assert missing["motor states (0x261 to 0x266) stop"] == pytest.approx((0.27, 0.52))
    assert missing["CAN silent"] == pytest.approx((0.40, 0.48), abs=0.005)


def test_a_reaction_that_comes_late_is_missed_and_one_that_never_comes_too() -> None:
    (button,) = [fault for fault in FAULTS if fault.name == "teach button"]
    for seen, words in (
        ([Reaction(0.01, 0.0, 0.02, 0.03)], "| kept |"),
        ([Reaction(0.01, 0.0, 0.02, 0.03), Reaction(0.01, 0.021, 0.02, 0.03)], "21 of 20 ms"),
        ([Reaction(INF)], "| missed |"),
    ):
        row = reactions.row(button, False, seen, Account())
        assert words in row and "nan" not in row and "inf" not in row


def stopped(unslowed: int, pace: float = 0.3) -> np.ndarray:
    """Return set-points 10 ms apart that go evenly until `unslowed` after t = 1 s, and then slow down."""
    feed, at, rows = stopping.SCALE, 0.0, []
    for k in range(200):
        after = feed if k <= 100 + unslowed else max(0.0, feed - 0.03)
        at += 0.01 * (feed + after) / 2 * pace / stopping.SCALE
        feed = after
        rows.append([0.01 * k, *(at * np.array([1.0, 0.1, 0.0, 0.0, 0.0, 0.0]))])
    return np.array(rows)


@pytest.mark.parametrize("unslowed", [0, 1, 2, 3, 20])
def test_unslowed_setpoints_are_told_by_the_way_that_was_gone(unslowed: int) -> None:
    seen = stopping.judged(stopped(unslowed), 1.0)
    assert round(seen.unslowed) == unslowed
    assert seen.after == pytest.approx(0.01 * unslowed, abs=0.011)
    row = stopping.row(stopping.CALLBACK, "nothing", [seen], Account())
    assert row.endswith("| kept |" if unslowed <= 2 else "| missed |")


def test_a_stop_of_an_arm_that_stands_tells_nothing() -> None:
    with pytest.raises(ValueError, match="too slow to tell"):
        stopping.judged(stopped(0, pace=0.001), 1.0)


def test_forty_episodes_have_all_conditions() -> None:
    assert len({alarms.setting_of(seed) for seed in range(1000, 1040)}) == 40


def test_what_is_offered_is_what_there_is() -> None:
    assert tuple(PLACES) == OFFERED


def test_a_contact_is_measured() -> None:
    seen = contact.measure(PLACES["joint1"], 1.0, 0.5, False, 0.2)
    assert 0.0 < seen.noticed < 1.0 and seen.most > 5.0  # it did run into something
    assert seen.push < 4.0 and seen.travel < 0.02 and seen.sinking < 0.002


def test_a_reaction_is_timed_from_the_frame_that_shows_its_cause() -> None:
    (pressed,) = [fault for fault in FAULTS if fault.name.startswith("emergency stop")]
    account = Account()
    seen = reactions._during(pressed, False)
    assert 0.0 <= seen.moved < 0.3 and 0.0 < seen.told < 1.0 and 0.0 <= seen.lead < 0.3
    assert "emergency stop" in reactions.row(pressed, False, [seen], account)


def test_a_stop_is_measured() -> None:
    (seen,) = stopping.stops("nothing", 1)
    assert isinstance(seen, stopping.Stop), seen
    assert 0.0 <= seen.unslowed < 50.0 and 0.0 <= seen.after < 0.5


def test_an_episode_is_led_at_the_wire_and_a_fault_is_a_false_alarm(monkeypatch) -> None:
    monkeypatch.setattr("tristage_ros.simulation.tasks.umbrella.Umbrella.max_steps", 1)
    lines: list[str] = []
    tally = alarms.alarms(0.01, 4, lines.append)
    assert tally.episodes == 1 and tally.key_frames == 1 and not tally.broken
    assert lines[0].startswith("seed 4: umbrella, 0 kg, speed 1, usual feedback: ")
    tally.faults.append("seed 4")
    assert tally.lines()[-1] == "FALSE ALARM: seed 4"


def test_a_table_ends_with_a_line_also_where_nothing_could_be_measured(monkeypatch, capsys) -> None:
    def busy_machine(*given: object) -> Contact:
        raise RuntimeError("no answer")

    monkeypatch.setattr(contact, "measure", busy_machine)
    parser = argparse.ArgumentParser()
    dict(add_measurements(parser))
    options = parser.parse_args(["arm", "contact", "--where", "table", "--repetitions", "1", "--load", "1"])
    assert command.run(options) == 0
    told = capsys.readouterr().out.splitlines()
    assert "load 1" in told[0] and "  not measured: no answer" in told
    assert told[-1] == "limits kept in 0 rows, missed in 6, 6 times not measured"


def test_busy_processes_end_with_the_measurement() -> None:
    with busy(2) as spinning:
        assert [process.poll() for process in spinning] == [None, None]
    assert None not in [process.poll() for process in spinning]


def test_a_way_of_measuring_that_does_not_come_up_is_a_line_too() -> None:
    def ways(case: str, repetitions: int):
        yield stopping.Stop(1.0, 0.01)
        raise TimeoutError("the arm node: not within 60 s")

    account = Account()
    lines = list(stopping.table({stopping.CALLBACK: ways}, 2, account))
    assert lines.count("  not measured: the arm node: not within 60 s") == 4 == account.trouble
    assert account.kept == 4 and "| 1 of 2 |" in lines[2]
