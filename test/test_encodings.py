"""Files that a person wrote in another encoding: the byte and the remedy are named by every reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tristage_ros.devices.arm.site import load_site
from tristage_ros.graph.parameter_file import ParameterFile
from tristage_ros.perception.extrinsics import load_extrinsics


def preset(path: Path) -> object:
    return pytest.importorskip("tristage_ros.pruning.preset_file").pruning_config(str(path))


def recipe(path: Path) -> object:
    return pytest.importorskip("tristage_ros.training.recipe").Recipe.load(path)


def parameters(path: Path) -> object:
    return ParameterFile(path).of("arm", "")


@pytest.mark.parametrize("read", [load_site, load_extrinsics, parameters, preset, recipe])
def test_another_encoding_is_named_with_its_remedy(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "caf\u00e9.yaml"
    path.write_bytes("# caf\u00e9\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"caf\u00e9\.yaml.*byte 6 is not UTF-8; save the file as UTF-8"):
        read(path)
