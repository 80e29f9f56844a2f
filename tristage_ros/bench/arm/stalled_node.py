"""A node as a process whose interpreter stands still when told to: `python -m tristage_ros.bench.arm.stalled_node`.

Each line on the standard input is a number of seconds for which a C call keeps the interpreter to itself, as a library
does that does not give it up: no other thread of Python runs meanwhile, all of C does.
"""

from __future__ import annotations

import ctypes
import sys
import threading

from tristage_ros.start import node


def _stand_still() -> None:
    call = ctypes.PyDLL(None).usleep  # what PyDLL calls keeps the interpreter, what CDLL calls does not
    for line in sys.stdin:
        call(round(1e6 * float(line)))


if __name__ == "__main__":
    threading.Thread(target=_stand_still, name="stands still", daemon=True).start()
    node(sys.argv.pop(1))
