#!/usr/bin/env bash
# Measure the 7B model, random weights of its exact shapes, on a CUDA machine. Needs python3 with torch and numpy there,
# no ROS and no checkpoint; with fpsample on PYTHONPATH the point tokenizer chooses its centres faster.
# Tables are printed, the summary last; all figures go to $OUT (default: bench/).
# BENCH_SIZE=tiny BENCH_DEVICE=cpu bench/gpu.sh --quick tries the script where there is no GPU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
name=${BENCH_SIZE:-7b}-${BENCH_DEVICE:-cuda}
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
exec "${PYTHON:-python3}" -m tristage_ros.bench.model --size "${name%-*}" --device "${name##*-}" \
    --json "${OUT:-bench}/$name.json" --markdown "${OUT:-bench}/$name.md" "$@"
