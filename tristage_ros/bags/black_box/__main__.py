"""Write a black box in a process of its own: `python -m tristage_ros.bags.black_box`, with its contents as input.

What became of it is the exit code and the last line of standard error. So nothing that converts, compresses or waits
for a disk shares an interpreter with set-points.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys

NICENESS = 10


def main() -> int:
    """Write what comes in on standard input, a pickled `Contents`; return the exit code: 1 where it cannot be."""
    for number in (signal.SIGINT, signal.SIGHUP):  # of the terminal that the node is ended from
        signal.signal(number, signal.SIG_IGN)
    given = sys.stdin.buffer.read()  # before all that takes long to import: whoever gives it may be about to end
    os.nice(NICENESS)
    try:
        from tristage_ros.bags.black_box.writing import write

        write(pickle.loads(given))
    except (OSError, EOFError, ImportError, pickle.UnpicklingError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
