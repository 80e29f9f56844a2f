#!/usr/bin/env bash
# Has the real lerobot load what we write, train on it, and write what we read.
# scripts/lerobot_check.sh [ENVIRONMENT], with the Python of ours in $OURS (default: that of .venv). The environment is
# lerobot's own, outside of this folder, of Python 3.12, and made when it is not there: 2 GB with a torch for CPUs, 6 GB
# where only PyPI's is to be had, whose NVIDIA libraries nothing here uses but which it does not start without.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly ENVIRONMENT=${1:-${TMPDIR:-/tmp}/lerobot-check}
readonly OURS=${OURS:-$PWD/.venv/bin/python}
readonly THEIRS=$ENVIRONMENT/bin/python
readonly TORCH_INDEX=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
readonly LEROBOT=0.6.1 TORCH=2.7.1 VISION=0.22.1 ROOM=9 # GB, with what pip downloads
readonly NEEDED=("numpy<2.3" "opencv-python-headless<4.14" "Pillow<13" "einops<0.9" "draccus<0.12"
  "huggingface-hub>=1.6,<2" requests "gymnasium<2" safetensors "packaging<26" termcolor tqdm "datasets>=4.8,<5"
  "pandas<3" "pyarrow>=21" "av>=15,<16" jsonlines "accelerate>=1.14")
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 WANDB_MODE=disabled

say() { printf 'lerobot check: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }

find_python() {
  local candidate
  for candidate in python3.12 "$HOME"/.pyenv/versions/3.12.*/bin/python; do
    [[ $("$candidate" -S -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) == 3.12 ]] || continue
    command -v "$candidate"
    return
  done
  return 1
}

make_environment() {
  local python free
  python=$(find_python) || fail "lerobot $LEROBOT needs Python 3.12, and there is none"
  mkdir -p "$ENVIRONMENT"
  free=$(df --output=avail -B 1000000000 "$ENVIRONMENT" | tail -n 1)
  ((free >= ROOM)) || fail "$ENVIRONMENT has $free GB, and $ROOM are needed"
  say "making $ENVIRONMENT with $python (log: $ENVIRONMENT/setup.log)"
  "$python" -m venv --clear "$ENVIRONMENT"
  {
    install --no-deps --retries 1 --timeout 10 --index-url "$TORCH_INDEX" "torch==$TORCH+cpu" "torchvision==$VISION+cpu" ||
      install_torch_with_cuda
    install filelock fsspec jinja2 networkx sympy typing-extensions "setuptools<82" "${NEEDED[@]}"
    install --no-deps "lerobot==$LEROBOT"
  } >"$ENVIRONMENT/setup.log" 2>&1 || fail "it cannot be made: $(tail -n 3 "$ENVIRONMENT/setup.log")"
  touch "$ENVIRONMENT/.whole"
}

install() { "$THEIRS" -m pip install --no-cache-dir -q "$@"; }

# Without triton, which only compiles for a GPU.
install_torch_with_cuda() {
  install --no-deps "torch==$TORCH" "torchvision==$VISION"
  "$THEIRS" -c 'from importlib.metadata import requires
print(*(r.split(";")[0].strip() for r in requires("torch") if r.startswith("nvidia")), sep="\n")' >"$ENVIRONMENT/nvidia.txt"
  install -r "$ENVIRONMENT/nvidia.txt"
}

# Its encoders tell of every setting.
theirs() {
  "$THEIRS" scripts/lerobot_theirs.py "$@" 2>"$ENVIRONMENT/last.log" || fail "$(tail -n 5 "$ENVIRONMENT/last.log")"
}

main() {
  [[ -f $ENVIRONMENT/.whole ]] || make_environment
  say "$(du -sh "$ENVIRONMENT" | cut -f 1) in $ENVIRONMENT; disk: $(df -h --output=avail "$ENVIRONMENT" | tail -n 1) free"
  local work
  work=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  "$OURS" scripts/lerobot_ours.py write "$work/ours"
  say "lerobot $LEROBOT reads what we wrote"
  theirs read "$work/ours" "$work/seen.npz"
  "$OURS" scripts/lerobot_ours.py seen "$work/ours" "$work/seen.npz"
  say "lerobot $LEROBOT trains a step of a small ACT on it"
  theirs train "$work/ours_colour"
  say "we read what lerobot $LEROBOT writes"
  theirs write "$work/theirs" "$work/made.npz"
  "$OURS" scripts/lerobot_ours.py made "$work/theirs" "$work/made.npz"
  say "all is well"
}

main
