"""The process that logs, and the way to it: nobody waits for it, unless asked to.

What is put is packed and queued; a thread writes it into the process' pipe. Live, a full queue lets go of its oldest
frames. From a file, it makes who puts wait.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tristage_ros.viewing.environment import Environment
from tristage_ros.viewing.logger import wire

PROGRAM = Path(wire.__file__).parent
TOGETHER = {False: 0.2, True: 2.0}  # s of what is logged that the viewer takes in one; many small ones make a page slow
QUEUE = 16 << 20  # bytes on their way: two or three seconds of a run


class Stream:
    """Hand records to a process that logs them."""

    def __init__(
        self, command: Sequence[str], variables: dict[str, str] | None = None, *, patient: bool = False
    ) -> None:
        """Start the process `command`, which reads records from its standard input; `patient`: drop nothing."""
        self._patient = patient
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._complaints, env=variables
        )
        self._queue: deque[tuple[bool, bytes]] = deque()  # whether it may be dropped, packed
        self._queued = 0  # bytes
        self._changed = threading.Condition()
        self._ended = False  # nothing more comes
        self._broken = False
        self.dropped = 0  # records
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def put(self, record: wire.Record) -> None:
        """Take a record; what holds at all times is never dropped."""
        data = wire.pack(record)
        with self._changed:
            if self._patient:
                self._changed.wait_for(lambda: self._queued < QUEUE or self._broken)
            if self._broken:
                return
            self._queue.append((record.time is not None, data))
            self._queued += len(data)
            if not self._patient and self._queued > QUEUE:
                self._drop()
            self._changed.notify_all()

    def _drop(self) -> None:
        kept: deque[tuple[bool, bytes]] = deque()
        while self._queued > QUEUE and self._queue:
            droppable, data = self._queue.popleft()
            if droppable:
                self._queued -= len(data)
                self.dropped += 1
            else:
                kept.append((droppable, data))
        self._queue.extendleft(reversed(kept))

    @property
    def failure(self) -> str:
        """Return why the process has ended, empty while it runs."""
        code = self.process.poll()
        if code is None:
            return ""
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        return f"{lines[-1] if lines else 'without a word'} (exit code {code})"

    def finish(self) -> str:
        """Write what is queued, wait for the process to end, and return why it failed, empty where it did not."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()
        self.process.wait()
        return self.failure if self.process.returncode else ""

    def close(self) -> None:
        """End the process now, with what is queued."""
        with self._changed:
            self._ended = self._broken = True
            self._changed.notify_all()
        self.process.kill()
        self.process.wait()
        self._thread.join()

    def _write(self) -> None:
        pipe = self.process.stdin
        assert pipe is not None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._ended)
                if self._broken or not self._queue:
                    break
                _, data = self._queue.popleft()
                self._queued -= len(data)
                self._changed.notify_all()
            try:
                pipe.write(data)
                pipe.flush()
            except OSError:  # it has ended
                with self._changed:
                    self._broken = True
                    self._queue.clear()
                    self._changed.notify_all()
                break
        with suppress(OSError):
            pipe.close()


def logger(environment: Environment, sink: Sequence[str], name: str, *, patient: bool = False) -> Stream:
    """Return a stream to a process that logs into `sink`: `--connect URL` or `--save FILE`."""
    command = [str(environment.python), "-I", str(PROGRAM), *sink, "--name", name]
    variables = environment.variables() | {"RERUN_FLUSH_TICK_SECS": str(TOGETHER[patient])}
    return Stream(command, variables, patient=patient)
