#!/usr/bin/env bash
# Tests the rooms that need no torch with the versions that apt has, each distribution in an environment of its own below
# .venv-apt, beside a pretended ROS 2 in which everything is installed.  scripts/apt_versions.sh [humble] [jazzy] ...
# Makes only what is missing, and may be interrupted at any point.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

unset PYTHONPATH PYTHONHOME AMENT_PREFIX_PATH CMAKE_PREFIX_PATH LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
# Set on many a machine that tests, on few that are used: it hides output that is never flushed.
unset PYTHONUNBUFFERED
export PYTHONNOUSERSITE=1

# jazzy-figures: matplotlib 3.6.3, which Ubuntu 24.04 has, is on PyPI for Python 3.11 at the latest.
readonly -A PYTHONS=([humble]=3.10 [jazzy]=3.12 [jazzy-figures]=3.11)
readonly -A WITHOUT=([jazzy-figures]=^fpsample=)
readonly ALL=(humble jazzy jazzy-figures)
readonly FIGURES=(test/reports)
readonly ROOMS=(
  test/perception test/devices test/bags "${FIGURES[@]}" test/bench/test_arm.py test/bench/model/test_table.py
  test/commands/test_doctor.py test/graph/test_{cameras,graph,namespaces,parameter_file,viewers}.py
  test/ros/test_{convert,image_transport,stream,joint_history,parameters}.py
  test/nodes/test_{viewer,arm,episodes,recorder,point_cloud}.py test/simulation/test_{frames,wire,served_bus,scene}.py
  test/test_pretended_ros.py
)
# Hundreds of examples of pure arithmetic, and minutes of an arm at its obstacles, which `make test` goes through with
# the newest versions.
readonly LONG=(
  --deselect test/devices/arm/test_contact.py
  --deselect test/devices/arm/test_guard.py::test_whatever_comes_in_what_goes_out_is_bounded
  --deselect test/devices/arm/test_guard.py::test_tool_never_leaves_the_workspace
  --deselect test/devices/arm/test_faults.py
  --deselect test/devices/arm/test_unheard.py
  --deselect test/devices/arm/test_motion_property.py
  --deselect test/devices/arm/test_leading_property.py
  --deselect test/nodes/test_episodes.py::test_a_killed_recorder_leaves_whole_bags_and_what_was_on_the_disk_of_the_last
  --deselect test/devices/arm/test_piper.py::test_ten_thousand_bursts_of_two_threads_neither_mix_nor_get_lost
)
# What waits on a clock or a bus more than it works anything out, and arithmetic on libraries whose age is between that of
# Humble's and of the newest; both of these have it.
readonly PACED=(test/devices test/perception test/bags test/nodes/test_{arm,episodes,recorder}.py test/bench/test_arm.py)
# What depends on the age of Python more than on that of a library.
readonly PROGRAMS=(test/test_{cli,package,shadowing}.py test/graph/test_{middleware,prerequisites,supervisor}.py
  test/viewing)

say() { printf 'apt versions: %s\n' "$*"; }

find_python() { # VERSION
  local candidate
  for candidate in "python$1" "$HOME/.pyenv/versions/$1".*/bin/python; do
    [[ $("$candidate" -S -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) == "$1" ]] || continue
    command -v "$candidate"
    return
  done
  return 1
}

wanted() { cat "locks/apt-test/$1.txt" msg/*.action msg/*.msg msg/*.srv scripts/build_messages.py scripts/ros_wheels.cmake setup.py setup.cfg | sha256sum; }

make_environment() { # LEG PYTHON
  local venv=$PWD/.venv-apt/$1
  [[ -f $venv/.stamp && $(<"$venv/.stamp") == "$(wanted "$1") $venv" ]] && return
  say "$1: making .venv-apt/$1 with Python ${PYTHONS[$1]} (log: .venv-apt/$1/setup.log)"
  rm -rf "$venv"
  mkdir -p "$venv"
  touch .venv-apt/COLCON_IGNORE
  {
    .venv/bin/uv venv --quiet --allow-existing --python "$2" "$venv"
    # The lock is whole: there is nothing to resolve. fpsample has to be compiled, and no figure needs it.
    grep -v "${WITHOUT[$1]:-^$}" "locks/apt-test/$1.txt" >"$venv/lock.txt"
    .venv/bin/uv pip install --no-deps --python "$venv/bin/python" -r "$venv/lock.txt"
    # As `colcon build --symlink-install` does it.
    "$venv/bin/python" setup.py --quiet develop --no-deps
    [[ $1 == *-figures ]] || "$venv/bin/python" scripts/build_messages.py
  } >"$venv/setup.log" 2>&1 || {
    tail -n 8 "$venv/setup.log" >&2
    say "$1: the environment could not be made; the whole log: .venv-apt/$1/setup.log" >&2
    return 1
  }
  printf '%s %s\n' "$(wanted "$1")" "$venv" >"$venv/.stamp"
}

test_leg() { # LEG
  local python=.venv-apt/$1/bin/python prefix=$PWD/.venv-apt/$1/ros rooms=("${ROOMS[@]}")
  case $1 in
    humble) rooms+=("${PROGRAMS[@]}") ;;
    jazzy) rooms+=("${PACED[@]/#/--deselect=}" "${FIGURES[@]/#/--deselect=}") ;;  # its figures have a leg of their own
    *-figures) rooms=("${FIGURES[@]}") ;;
  esac
  rm -rf "$prefix"
  say "$1: $("$python" test/pretended_ros.py "$prefix")"
  AMENT_PREFIX_PATH=$prefix ROS_DISTRO=${1%-figures} OMP_NUM_THREADS=1 \
    "$python" -m pytest -n 3 -m "not long" --without-torch --durations=5 "${LONG[@]}" "${rooms[@]}"
}

main() {
  local leg python skipped=()
  for leg in "${@:-${ALL[@]}}"; do
    [[ -v PYTHONS[$leg] ]] || { say "no leg is called $leg; there are: ${ALL[*]}" >&2; return 2; }
    if python=$(find_python "${PYTHONS[$leg]}"); then
      make_environment "$leg" "$python"
      test_leg "$leg"
    else
      skipped+=("$leg (no Python ${PYTHONS[$leg]} on this machine)")
    fi
  done
  ((${#skipped[@]} == 0)) || say "NOT TESTED: $(IFS=,; echo "${skipped[*]}")" >&2
}

main "$@"
