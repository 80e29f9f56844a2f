"""What a bag knows of the run beside its topics: parameters, the files they name, versions and the checkpoint."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from pathlib import Path
from typing import Any

from tristage_ros.bags.messages import new_message, typestore
from tristage_ros.bags.reader import BagReader
from tristage_ros.json_text import parse
from tristage_ros.resources import resource
from tristage_ros.words import one_line, shown
from tristage_ros.yaml_text import parse as parse_yaml

TOPIC, TYPE = "/tristage/run", "std_msgs/msg/String"
PACKAGES = ("tristage_ros", "torch", "numpy", "opencv-python-headless", "open3d", "open3d-cpu",
            "fpsample", "rosbags", "piper_sdk")  # fmt: skip
# What an empty value of a parameter stands for.
DEFAULT_FILES = {
    "pruning": ("config", "pruning", "robot.yaml"),
    "cameras_file": ("config", "cameras.yaml"),
    "site_file": ("config", "site.yaml"),
}
CONFIGURATION = (".yaml", ".yml")
LARGEST_FILE = 1 << 18  # bytes; configuration is small
# What differs between a run and its replay by nature, and what is compared by content.
CIRCUMSTANCES = ("use_sim_time", "start_type_description_service", "image_transport", "autostart", "control",
                 "allow_random_weights", "pruning", "checkpoint", "cameras_file")  # fmt: skip
CHOSEN = ("pruning.", "version of ")  # these are set, or left out, by somebody
ALIASES = {"open3d-cpu": "open3d"}  # packages of two names
PRUNER = "pruner."  # in front of the pruner's settings among the policy's parameters
OWN_SCALE = "own_scale."  # in front of the features whose scale of the model the policy tells; 0: not known
OFF = -1  # of such a parameter: null, as a preset has it
WEIGHTS = ("*.safetensors", "*.pt", "*.bin")


@dataclass(frozen=True)
class Facts:
    """Hold what is needed to judge and to repeat a run; all of it can be written as JSON."""

    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)  # by node
    files: dict[str, str] = field(default_factory=dict)  # content, by "node.parameter" of the parameter that names it
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    checkpoint: dict[str, Any] = field(default_factory=dict)  # path, bytes, sha256; empty: random weights

    def dumped(self) -> str:
        """Return the facts as JSON."""
        return json.dumps(asdict(self), sort_keys=True, default=str)

    @staticmethod
    def parsed(text: str) -> Facts:
        """Return the facts that `dumped` wrote; raise ValueError for another text."""
        try:
            told = Facts(**parse(text))
            told.check()
        except (TypeError, ValueError) as error:
            raise ValueError(f"the facts of the run cannot be read: {one_line(error)}") from None
        return told

    def check(self) -> None:
        """Refuse what is not as `dumped` writes it.

        Raises:
            ValueError: the message names the part, or says what is wrong with the preset.
        """
        for part in fields(self):
            content = getattr(self, part.name)
            kind = {"parameters": dict, "files": str, "versions": str}.get(part.name, object)
            if not isinstance(content, dict) or not all(isinstance(value, kind) for value in content.values()):
                raise ValueError(f"{part.name} is {shown(content)}")
        if not isinstance(self._preset(), dict):
            raise ValueError("policy.pruning is no preset")

    def message(self) -> bytes:
        """Return the facts as a serialised message of `TYPE`."""
        return bytes(typestore().serialize_cdr(new_message(TYPE, data=self.dumped()), TYPE))

    @property
    def pruning(self) -> dict[str, Any]:
        """Return the settings of the pruner: those of its preset as this spells them, and what was set beside it."""
        return dict(self._preset()) | pruner_settings(self.parameters.get("policy", {}))

    def _preset(self) -> Any:
        return parse_yaml(self.files.get("policy.pruning", "")) or {}


def pruner_settings(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the parameters of a policy node set of its pruner, as a preset spells it."""
    ours = {name.removeprefix(PRUNER): value for name, value in parameters.items() if name.startswith(PRUNER)}
    return {name: None if value == OFF else value for name, value in ours.items()}


def gather(parameters: Mapping[str, Mapping[str, Any]], checkpoint: Mapping[str, Any]) -> tuple[Facts, list[str]]:
    """Return the facts of a run whose nodes have `parameters`, read on the machine that it runs on, and what is not."""
    files, lost = {}, []
    for node, values in parameters.items():
        for name, value in values.items():
            if path := _configuration(name, value):
                try:
                    files[f"{node}.{name}"] = path.read_text(encoding="utf-8")
                except (OSError, ValueError) as error:
                    lost.append(f"{node}.{name} = {path}: {error}")
    machine = {"system": platform.platform(), "processors": os.cpu_count(), "ros": os.environ.get("ROS_DISTRO", "")}
    copied = {node: dict(values) for node, values in parameters.items()}
    return Facts(copied, files, versions(), machine, dict(checkpoint)), lost


def describe_checkpoint(path: str) -> dict[str, Any]:
    """Return path, size and SHA-256 of the weights at `path`, a file or a run directory; nothing where there is none.

    A large model takes its time: call this where nobody waits.
    """
    given = Path(path)
    files = sorted(file for pattern in WEIGHTS for file in given.rglob(pattern)) if given.is_dir() else [given]
    if not path or not files or not all(file.is_file() for file in files):
        return {}
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return {"path": str(path), "bytes": sum(file.stat().st_size for file in files), "sha256": digest.hexdigest()}


def read_facts(bag: BagReader) -> Facts:
    """Return the newest facts in a bag, empty ones when it has none.

    Raises:
        BagError: they are damaged.
        ValueError: they are something else.
    """
    newest = deque(bag.messages_of({TOPIC: TYPE}), maxlen=1)
    return Facts.parsed(newest[0].value.data) if newest else Facts()


def differences(first: Facts, second: Facts) -> list[str]:
    """Return what somebody had set differently in the second run, a line each: `pruning.tau_2d: 0.08 -> 0.1`.

    A parameter that one of the two does not have is not among them: its software knew of none, and nobody set it.
    """
    if not (first.parameters and second.parameters):
        return []  # nobody knows
    before, after = _flat(first), _flat(second)
    names = sorted(before.keys() & after.keys() | {n for n in before.keys() ^ after.keys() if n.startswith(CHOSEN)})
    return [
        f"{name}: {before.get(name, 'not set')} -> {after.get(name, 'not set')}"
        for name in names
        if before.get(name) != after.get(name)
    ]


def _flat(facts: Facts) -> dict[str, Any]:
    flat = {f"pruning.{name}": value for name, value in facts.pruning.items()}
    flat |= {"checkpoint": facts.checkpoint.get("sha256", "random weights")}
    flat |= {f"version of {ALIASES.get(name, name)}": value for name, value in facts.versions.items()}
    for node in ("point_cloud", "policy"):
        values = dict(facts.parameters.get(node, {}))
        if values.get("control", "frame") != "frame":  # what a frame sends is then how it is controlled
            values["frame_sends"] = values["control"]
        told = {n: v for n, v in values.items() if not n.startswith(PRUNER) and (v or not n.startswith(OWN_SCALE))}
        flat |= {f"{node}.{name}": value for name, value in told.items() if name not in CIRCUMSTANCES}
        if cameras := facts.files.get(f"{node}.cameras_file"):
            flat[f"{node}.cameras_file"] = hashlib.sha256(cameras.encode()).hexdigest()[:12]
    return flat


def _configuration(name: str, value: object) -> Path | None:
    if value == "" and name in DEFAULT_FILES:
        return resource(*DEFAULT_FILES[name])
    if not isinstance(value, str) or not value.endswith(CONFIGURATION):
        return None
    path = Path(value)
    return path if path.is_file() and path.stat().st_size <= LARGEST_FILE else None


def versions() -> dict[str, str]:
    """Return the versions of Python and of those of `PACKAGES` that are installed, by name."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
