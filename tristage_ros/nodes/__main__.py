"""One node as a process: `python -m tristage_ros.nodes NAME [--ros-args ...]`."""

import sys

from tristage_ros.start import NODES, node

if sys.argv[1:2] and sys.argv[1] in NODES:
    node(sys.argv.pop(1))
sys.exit(f"usage: python -m tristage_ros.nodes {'|'.join(NODES)} [--ros-args ...]")
