"""Log the records that come through the standard input: `python -I PATH/OF/logger (--connect URL | --save FILE)`.

It knows archetypes by their names alone; what a run looks like is decided by who sends the records.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys

import numpy as np
import rerun as rr
from blueprint import blueprint
from wire import WireError, records

APPLICATION = "tristage"


def main() -> int:
    """Log until the input ends; return the exit code."""
    parser = argparse.ArgumentParser()
    sink = parser.add_mutually_exclusive_group(required=True)
    sink.add_argument("--connect", metavar="URL")
    sink.add_argument("--save", metavar="FILE")
    parser.add_argument("--name", default="run", help="of the recording")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the input ends when who sends it does
    rr.init(APPLICATION, recording_id=f"{options.name}-{os.getpid()}", strict=True)
    if options.save:
        rr.save(options.save, default_blueprint=blueprint())
    else:
        rr.connect_grpc(options.connect, default_blueprint=blueprint())
    rr.send_recording_name(options.name)
    rr.log("cell", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    try:
        for record in records(sys.stdin.buffer):
            if record.time is not None:
                rr.set_time("time", duration=np.timedelta64(record.time, "ns"))
            made = getattr(rr, record.archetype)(**record.fields)
            rr.log(record.path, made, static=record.time is None)
    except WireError as error:
        sys.exit(f"error: {error}")
    finally:
        rr.disconnect()  # writes what is left
    return 0


if __name__ == "__main__":
    sys.exit(main())
