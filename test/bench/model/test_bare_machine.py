import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fpsample import fps_sampling

from tristage_ros.bench import model as bench
from tristage_ros.mla import visual_tokens

ABSENT = ("fpsample", "tokenizers", "safetensors", "rich", "cv2", "yaml", "scipy", "rclpy", "open3d", "can", "mujoco")


def test_torch_and_numpy_are_enough():
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r}));"
        "sys.argv = ['bench', '--size', 'tiny', '--quick', '--only', 'overhead'];"
        "import runpy; runpy.run_module('tristage_ros.bench.model', run_name='__main__')"
    )
    root = Path(bench.__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "### Method overhead" in done.stdout


@pytest.mark.parametrize("seed", range(10))
def test_centres_are_the_same_without_fpsample(monkeypatch, seed):
    monkeypatch.setitem(sys.modules, "fpsample", None)
    spec = importlib.util.spec_from_file_location("bare_point_tokens", visual_tokens.__file__)
    bare = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, bare)
    spec.loader.exec_module(bare)
    assert bare.fps_sampling is not fps_sampling
    points = np.random.default_rng(seed).random((400, 3), dtype=np.float32)
    np.testing.assert_array_equal(
        bare.fps_sampling(points, 200, start_idx=seed), fps_sampling(points, 200, start_idx=seed)
    )
