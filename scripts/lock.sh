#!/usr/bin/env bash
# Remakes constraints.txt (for .venv), locks/*.txt (for pip beside apt's packages) and locks/apt-test/*.txt (for
# scripts/apt_versions.sh), with the uv of .venv.
# Pins that are there and still fit stay as they are; scripts/lock.sh --upgrade renews all of them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PWD/.venv/bin:$PATH

# apt's own packages need apt's own versions of these: a newer one in a virtual environment would take their place.
readonly BY_APT=(matplotlib opencv-python opencv-python-headless pyyaml scipy setuptools)

lock() { # FILE PYTHON [OPTION...]
  local file=$1 python=$2
  shift 2
  uv pip compile --quiet --universal --no-annotate --custom-compile-command scripts/lock.sh \
    --python-version "$python" -o "$file" "$@"
}

lock_beside_apt() { # DISTRIBUTION PYTHON [OPTION...]
  local distribution=$1 python=$2
  shift 2
  # shellcheck disable=SC2046
  lock "locks/$distribution.txt" "$python" requirements.txt $(printf -- '--no-emit-package %s ' "${BY_APT[@]}") "$@"
  # torch's build with CUDA asks for these itself, its build without does not.
  sed -i -E '/^(cuda|nvidia|triton)/d' "locks/$distribution.txt"
}

# The whole environment of a leg, apt's versions included; a sed program says which of those PyPI does not have.
lock_leg() { # LEG DISTRIBUTION PYTHON SED [OPTION...]
  local leg=$1 distribution=$2 python=$3 missing=$4
  shift 4
  uv pip compile --quiet --no-annotate --custom-compile-command scripts/lock.sh --python-version "$python" \
    --python-platform x86_64-manylinux_2_35 -o "locks/apt-test/$leg.txt" requirements-apt-test.txt \
    -c <(sed "$missing" "locks/apt/$distribution.txt") "$@"
}

lock constraints.txt 3.10 requirements-venv.txt "$@"
lock_beside_apt humble 3.10 -c locks/apt/humble.txt "$@"
lock_beside_apt jazzy 3.12 -c locks/apt/jazzy.txt "$@"
lock_beside_apt lyrical 3.14 --no-emit-package numpy "$@" # apt's versions there are not known here
lock_leg humble humble 3.10 /PyYAML/d "$@" # 5.4.1 does not compile any more
lock_leg jazzy jazzy 3.12 s/matplotlib==3.6.3/matplotlib==3.7.3/ "$@"
lock_leg jazzy-figures jazzy 3.11 "" "$@"
