#!/usr/bin/env bash
# Makes .venv: the packages pinned in constraints.txt with ROS 2's wheels, this package (editable) and its messages.
# Does only what is missing, and may be interrupted at any point.  PYTHON=python3.12 chooses the interpreter,
# TORCH=cpu or TORCH=cuda the build of torch; by default that with CUDA where an NVIDIA GPU is, and it stays as it was made.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly VENV=$PWD/.venv
readonly LOG=$VENV/setup.log
# A stamp is removed before and written after the work that it stands for, so one that exists can be trusted.
readonly PACKAGES_STAMP=$VENV/.packages-stamp
readonly MESSAGES_STAMP=$VENV/.messages-stamp
readonly TORCH_INDEX=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}

# MB to download when nothing is cached, as measured with constraints.txt; the build with CUDA brings NVIDIA's libraries.
readonly PACKAGES_MB=600
declare -rA TORCH_MB=([cpu]=190 [cuda]=2700)
readonly TELL_EVERY=${TELL_EVERY:-$([[ -t 1 ]] && echo 1 || echo 15)}  # s between two lines of progress

# A sourced ROS 2, or a Python of its wheels that called this, would mix its libraries with those of .venv.
unset PYTHONPATH PYTHONHOME AMENT_PREFIX_PATH CMAKE_PREFIX_PATH LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
export PYTHONNOUSERSITE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_REQUIRE_VIRTUALENV=1

say() { printf 'set-up: %s\n' "$*"; }

fail() {
  printf 'set-up failed: %s\n' "$1" >&2
  shift
  (($# == 0)) || printf '  %s\n' "$@" >&2
  exit 1
}

# --- what is there ---------------------------------------------------------------------------------------------------

packages_wanted() { cat requirements.txt requirements-venv.txt constraints.txt setup.py setup.cfg | sha256sum; }
messages_wanted() { cat msg/* scripts/build_messages.py scripts/ros_wheels.cmake constraints.txt | sha256sum; }

minor_version() { "$1" -S -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

has_nvidia_gpu() { [[ -e /dev/nvidiactl ]] || nvidia-smi -L >/dev/null 2>&1; }

stamped_torch() { sed -n '2{/^cpu$/p;/^cuda$/p}' "$PACKAGES_STAMP"; }

# An environment keeps its build of torch until another is asked for: a GPU that comes and goes would rebuild it each time.
torch_wanted() {
  if [[ -n ${TORCH:-} ]]; then
    echo "$TORCH"
  elif venv_is_whole; then
    stamped_torch
  elif has_nvidia_gpu; then
    echo cuda
  else
    echo cpu
  fi
}

# Whole: its packages were all installed, at this place, with $TORCH's build if that is given, and its interpreter (of
# $PYTHON's version, if given) still runs.
venv_is_whole() {
  local version
  [[ -f $PACKAGES_STAMP && $(tail -n 1 "$PACKAGES_STAMP") == "$VENV" ]] || return 1
  [[ -n $(stamped_torch) && ${TORCH:-$(stamped_torch)} == "$(stamped_torch)" ]] || return 1
  version=$(minor_version "$VENV/bin/python") || return 1
  [[ -z ${PYTHON:-} || $version == "$(minor_version "$PYTHON")" ]]
}

packages_are_current() { venv_is_whole && [[ $(head -n 1 "$PACKAGES_STAMP") == "$(packages_wanted)" ]]; }
messages_are_current() { [[ -f $MESSAGES_STAMP && $(<"$MESSAGES_STAMP") == "$(messages_wanted)" ]]; }

# --- running and explaining ------------------------------------------------------------------------------------------

run() {
  local what=$1 failed=0 from teller
  shift
  from=$(wc -c <"$LOG")
  tell_progress "$from" 9>&- & # without the lock, which the next set-up waits for
  teller=$!
  "$@" >>"$LOG" 2>&1 || failed=1
  kill "$teller" 2>/dev/null || true
  wait "$teller" 2>/dev/null || true
  [[ ! -t 1 ]] || printf '\r\033[K'
  ((failed == 0)) || explain "$what"
}

# Says how far what is logged from byte $1 on has come, for as long as this script runs.
tell_progress() {
  local now said='' waited
  while true; do
    for ((waited = 0; waited < TELL_EVERY; waited++)); do
      sleep 1
      kill -0 $$ 2>/dev/null || return 0 # interrupted: what runs in the background does not hear of it
    done
    now=$(tail -c "+$(($1 + 1))" "$LOG" | how_far)
    [[ -n $now && $now != "$said" ]] || continue
    said=$now
    if [[ -t 1 ]]; then
      printf '\rset-up: %.70s\033[K' "$now"
    else
      say "$now"
    fi
  done
}

# In words, what pip and apt have said so far. Pip names all that it installs in one line, and then each when it is there.
how_far() {
  awk -v there="$(count_installed)" '
    function megabytes(size, unit) { return unit ~ /^G/ ? size * 1000 : unit ~ /^M/ ? size : size / 1000 }
    /^ *Collecting / { found++; name = $2; sub(/[=<>!~;\[].*/, "", name); text = "looking: " found " packages found, " name }
    /^ *(Downloading|Using cached) .*\([0-9.]+ [kKMG]?B\)/ && !/metadata/ {
      match($0, /\([0-9.]+ [kKMG]?B\)/)
      split(substr($0, RSTART + 1, RLENGTH - 2), part, " ")
      loaded += megabytes(part[1], part[2]); name = $1 == "Using" ? $3 : $2; sub(/.*\//, "", name); sub(/-[0-9].*/, "", name)
      text = sprintf("downloading: %d packages, %d MB, %s %s %s", ++files, loaded, name, part[1], part[2])
    }
    /^Installing collected packages: / { wanted = NF - 3 }
    /^(Get:|Unpacking|Setting up)/ { text = tolower($1) == "setting" ? "setting up " $3 : tolower($1) " " $2 }
    END { print wanted ? "installing " wanted " packages, " there " are there" : text }'
}

count_installed() { find "$VENV"/lib/python3*/site-packages -maxdepth 1 -name '*.dist-info' 2>/dev/null | wc -l; }

explain() {
  if grep -qiE 'No space left on device|Errno 28' "$LOG"; then
    fail "$1: the disk is full" "free about 8 GB below $PWD or ${TMPDIR:-/tmp}, then run make again"
  elif grep -qiE 'name resolution|failure resolving|unreachable|Failed to establish|timed out|ProxyError' "$LOG"; then
    fail "$1: cannot reach the package index" "check the network (proxy: HTTPS_PROXY), then run make again"
  fi
  fail "$1, with these last words:" "$(tail -n 8 "$LOG")" "the whole log: $LOG"
}

# --- system packages -------------------------------------------------------------------------------------------------

check_platform() {
  [[ $(uname -sm) == "Linux x86_64" ]] || fail \
    "ROS 2 is on PyPI for Linux on x86_64 only, and this is $(uname -sm)" \
    "install ROS 2 and build with colcon instead; README.md says how"
}

find_python() {
  local candidate candidates=(python3 python3.13 python3.12 python3.11 python3.10)
  [[ -z ${PYTHON:-} ]] || candidates=("$PYTHON")
  for candidate in "${candidates[@]}"; do
    case $(minor_version "$candidate") in
      3.10 | 3.11 | 3.12 | 3.13) command -v "$candidate" && return ;;
    esac
  done
  return 1
}

# Debian's names of what the wheels and the message build need from the system and do not find there.
missing_system_packages() {
  local package python
  if python=$(find_python); then
    "$python" - <<'PROBE'
import importlib.util, os, sys, sysconfig
version = "python%d.%d" % sys.version_info[:2]
if not importlib.util.find_spec("ensurepip"):
    print(version + "-venv")
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    print(version + "-dev")
PROBE
  else
    echo python3 python3-venv python3-dev
  fi
  command -v g++ >/dev/null || echo g++
  command -v dpkg-query >/dev/null || return 0
  for package in libusb-1.0-0 libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || echo "$package"
  done
}

install_system_packages() {
  local sudo=()
  command -v apt-get >/dev/null ||
    fail "system packages are missing (Debian's names): $*" "install them, then run make again"
  if ((EUID != 0)); then
    sudo=(sudo -n)
    sudo -n true 2>/dev/null ||
      fail "system packages are missing; type this, then run make again:" "sudo apt-get update && sudo apt-get install -y $*"
  fi
  say "installing system packages:" "$@"
  export DEBIAN_FRONTEND=noninteractive
  "${sudo[@]}" dpkg --configure -a >>"$LOG" 2>&1 || true  # finishes an installation that was interrupted
  "${sudo[@]}" apt-get update >>"$LOG" 2>&1 || true       # one broken source of many does not matter
  run "cannot install the system packages $*" \
    "${sudo[@]}" apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"
}

# --- the steps -------------------------------------------------------------------------------------------------------

install_packages() {
  local python missing torch whole=true
  [[ -z ${PYTHON:-} ]] || find_python >/dev/null || fail "PYTHON=$PYTHON is not a Python 3.10, 3.11, 3.12 or 3.13"
  [[ ${TORCH:-cpu} =~ ^(cpu|cuda)$ ]] || fail "TORCH=$TORCH is neither cpu nor cuda"
  torch=$(torch_wanted)
  venv_is_whole || whole=false
  if ! $whole; then
    [[ ! -e $VENV ]] || say "rebuilding .venv, which is incomplete, moved, or of another Python or torch"
    rm -rf "$VENV"
    mkdir "$VENV"
  fi
  : >"$LOG"
  touch "$VENV/COLCON_IGNORE"
  missing=$(missing_system_packages)
  # shellcheck disable=SC2086
  [[ -z $missing ]] || install_system_packages $missing
  python=$(find_python) || fail "no Python 3.10 to 3.13 found" "install one, or name it: make PYTHON=/path/to/python3.12"
  rm -f "$PACKAGES_STAMP"
  if ! $whole; then
    say "creating .venv with $python ($(minor_version "$python"))"
    run "cannot create .venv" "$python" -m venv "$VENV"
  fi
  say "installing Python packages, torch for $torch (minutes the first time; log: .venv/setup.log)"
  $whole || say "to download: about $((PACKAGES_MB + TORCH_MB[$torch])) MB, of which torch is ${TORCH_MB[$torch]}; pip keeps" \
    "what it has loaded before"
  [[ $torch == cuda ]] || install_torch_for_cpu
  run "cannot install the Python packages" \
    "$VENV/bin/python" -m pip install -r requirements-venv.txt -c constraints.txt
  run "cannot install tristage_ros itself" \
    "$VENV/bin/python" -m pip install --no-deps --no-build-isolation -e .
  printf '%s\n' "$(packages_wanted)" "$torch" "$VENV" >"$PACKAGES_STAMP"
}

# PyPI has torch with CUDA only. What goes wrong here is no failure, and stays out of the log that `explain` reads.
install_torch_for_cpu() {
  local version
  version=$(sed -n 's/^torch==\([^ ;]*\).*/\1/p' constraints.txt)
  "$VENV/bin/python" -m pip install --no-deps --retries 1 --timeout 10 --index-url "$TORCH_INDEX" "torch==$version+cpu" \
    >"$VENV/torch.log" 2>&1 ||
    say "no torch for CPUs at $TORCH_INDEX (log: .venv/torch.log): PyPI's brings NVIDIA's libraries, 2.7 GB to download"
}

build_messages() {
  say "building the messages"
  rm -f "$MESSAGES_STAMP"
  run "cannot build the messages" "$VENV/bin/python" scripts/build_messages.py
  messages_wanted >"$MESSAGES_STAMP"
}

main() {
  packages_are_current && messages_are_current && return
  check_platform
  exec 9<.
  flock --nonblock 9 || { say "waiting for another set-up"; flock 9; }
  packages_are_current || install_packages
  messages_are_current || build_messages
  say "done in $SECONDS s"
}

# Not when sourced: the tests call single functions.
[[ ${BASH_SOURCE[0]} != "$0" ]] || main
