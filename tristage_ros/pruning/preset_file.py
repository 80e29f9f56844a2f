"""The settings of the pruner as a YAML file holds them, which is a preset."""

from __future__ import annotations

from tristage_ros.pruning.config import PruningConfig
from tristage_ros.resources import read_text
from tristage_ros.words import shown
from tristage_ros.yaml_text import parse


def pruning_config(path: str) -> PruningConfig:
    """Return the pruning preset in a YAML file.

    Raises:
        OSError: there is no such file.
        ValueError: it is no preset; the message names the file and what is wrong with it.
    """
    try:
        settings = parse(read_text(path)) or {}
        if not isinstance(settings, dict):
            raise ValueError(f"it holds {shown(settings)}, not settings of the pruner by their names")
        return PruningConfig.from_dict(settings)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
