"""A terminal that a test looks at and types into."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time


class Terminal:
    """A process in a terminal of its own."""

    def __init__(self, command, width=80, height=24):
        self.ours, theirs = pty.openpty()
        self.resize(width, height)
        # A size in the environment, which readline leaves there, goes before that of the window.
        inherited = {name: value for name, value in os.environ.items() if name not in ("LINES", "COLUMNS")}
        environment = inherited | {"TERM": "xterm-256color"}
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        self.seen = ""

    def resize(self, width, height):
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def type(self, keys):
        os.write(self.ours, keys.encode())

    def read_until(self, condition, timeout=60.0):
        end = time.monotonic() + timeout
        while not condition(self.seen):
            assert time.monotonic() < end, self.seen[-2000:]
            if select.select([self.ours], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.ours, 65536).decode(errors="replace")
                except OSError:  # the other side is closed
                    return

    def end(self):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
