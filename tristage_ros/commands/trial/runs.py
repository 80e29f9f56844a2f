"""The two ways to run, as they are typed: launch arguments of `piper_pick`, or a YAML file with them."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from tristage_ros.graph import graph
from tristage_ros.graph.arguments import PIPER_PICK, Argument, GraphError, parse_arguments, resolve
from tristage_ros.reports.trial.file import CELL, Plan, TrialError
from tristage_ros.resources import RANDOM, read_text, user_path
from tristage_ros.words import one_line, shown
from tristage_ros.yaml_text import parse

OWN = ("seed", "record", "run_dir", "episodes")
WHOLE = {"machine": "all", "policy": "true", "lead": "false"}  # a trial starts and ends all of the graph
SAME = ("hardware", "task", "namespace")  # a pair has one scene


def read_run(text: str, side: str) -> dict[str, str]:
    """Return the launch arguments that a text says or a file holds, checked one by one.

    Raises:
        TrialError: it is no such text or file, or an argument is not one that a run may choose.
    """
    try:
        given = parse_arguments(shlex.split(text)) if ":=" in text or not text.strip() else _from_file(text)
        checked = resolve(PIPER_PICK, given)
    except (GraphError, ValueError) as error:
        raise TrialError(f"--{side} {text!r}: {error}") from error
    for name in given:
        if name in OWN:
            raise TrialError(f"--{side}: {name} is the trial's own; see --seed and --out")
        if name in WHOLE and checked[name] != WHOLE[name]:
            raise TrialError(f"--{side}: {name}:={checked[name]} leaves out what a trial starts; leave {name} out")
    return {
        argument.name: _in_full(argument, checked[argument.name]) for argument in PIPER_PICK if argument.name in given
    }


def check_pair(plan: Plan) -> graph.Graph:
    """See that both can be started, that they differ, and that they are runs of one scene; return the first.

    Raises:
        TrialError: they are not.
        GraphError: one names something that does not exist.
    """
    a, b = (resolve(PIPER_PICK, run) for run in (plan.a, plan.b))
    if a == b:
        raise TrialError("--a and --b are the same run: there is nothing to compare; change an argument of one")
    for name in SAME:
        if a[name] != b[name]:
            raise TrialError(
                f"--a has {name}:={a[name]}, --b {name}:={b[name]}: a pair is of one scene; give both the same"
            )
    if plan.judge == CELL and a["hardware"] != "sim":
        raise TrialError(
            "--unattended is for hardware:=sim, whose cell tells when the task is done; a real arm has a person"
        )
    described, _ = (graph.build("piper_pick", run) for run in (plan.a, plan.b))
    return described


def _in_full(argument: Argument, value: str) -> str:
    """Return the value of an argument, a path in full: a trial may be gone on with from another folder."""
    is_name = value in ("", RANDOM) or (argument.name == "pruning" and Path(value).suffix not in (".yaml", ".yml"))
    return value if is_name or not argument.path else os.path.abspath(value)


def _from_file(text: str) -> dict[str, str]:
    path: Path = user_path(text)
    try:
        content = parse(read_text(path))
    except OSError as error:
        raise TrialError(f"it is neither NAME:=VALUE ... nor a file that can be read ({error.strerror})") from error
    except ValueError as error:
        raise TrialError(one_line(error)) from error
    if not isinstance(content, dict) or not content:
        raise TrialError(f"it holds {shown(content)}; write launch arguments, a line each: pruning: robot")
    return {str(name): _written(str(name), value) for name, value in content.items()}


def _written(name: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    raise TrialError(f"{name} is {shown(value)}, not one value")
