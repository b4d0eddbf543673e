"""Starts processes and stops every one of them again, however the script ends (short of kill -9).

Each leads a session of its own, so that Ctrl-C reaches the script alone, which then stops them in order: what was started as the
stack last, since the others need it to stop in good order.
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

# Longer than a service takes to stop in good order.
PATIENCE_SECONDS = 12
POLL_SECONDS = 0.1


class Failed(Exception):
    """What went wrong, for people."""


class Processes:
    """Everything that was started and may still run. Use it as a context manager."""

    def __init__(self, logs):
        self.logs = pathlib.Path(logs)
        self.running = []
        self.names = {}
        self.deferred = False
        self.signalled = None

    def __enter__(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        stack, others = self.running[:1], self.running[1:]
        if not stack or self.names[stack[0].pid] != "devstack":
            stack, others = [], self.running
        for group in (others, stack):
            stop(group)

    def _on_signal(self, number, _frame):
        if self.deferred:
            self.signalled = number
        else:
            raise SystemExit(128 + number)

    @contextlib.contextmanager
    def _signals_deferred(self):
        """Between the start of a process and its entry in the list no signal may get in, or it would be left behind."""
        self.deferred = True
        try:
            yield
        finally:
            self.deferred = False
        if self.signalled:
            number, self.signalled = self.signalled, None
            raise SystemExit(128 + number)

    def _start(self, name, command, **options):
        with self._signals_deferred():
            process = subprocess.Popen(
                [os.fspath(part) for part in command], stdin=subprocess.DEVNULL, start_new_session=True, **options
            )
            self.names[process.pid] = name
            self.running.append(process)
        return process

    def start(self, name, command, **options):
        """Starts a service that writes its output and log to `<logs>/<name>.log`."""
        with self.log(name).open("wb") as log:
            return self._start(name, command, stdout=log, stderr=log, **options)

    def run(self, command, **options):
        """Runs one step to its end; its output goes to stderr unless the options say otherwise."""
        options.setdefault("stdout", sys.stderr)
        process = self._start(pathlib.Path(command[0]).name, command, **options)
        output, _ = process.communicate()
        self.running.remove(process)
        if process.returncode != 0:
            raise Failed(f"`{' '.join(map(str, command))}` ended with {process.returncode}")
        return output

    def log(self, name):
        return self.logs / f"{name}.log"

    def await_line(self, process, pattern):
        """The match of a pattern in the log of a service, as soon as it is there. Starting may include fetching ClickHouse, so
        that only the end of the service ends the wait."""
        log = self.log(self.names[process.pid])
        while True:
            ended = process.poll() is not None
            found = pattern.search(log.read_text(errors="replace"))
            if found:
                return found
            if ended:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
                raise Failed(f"{self.names[process.pid]} has ended:\n{tail}")
            time.sleep(POLL_SECONDS)

    def check(self):
        """Fails when a service has ended."""
        for process in self.running:
            if process.poll() is not None:
                raise Failed(f"{self.names[process.pid]} has ended; see {self.log(self.names[process.pid])}")


def stop(processes):
    """Asks all of them to end, gives them time, then ends what is left of them and of what they started."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            # A step may be a compiler with children; a service sees to its own.
            process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_SECONDS
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0, deadline - time.monotonic()))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
