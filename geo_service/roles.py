"""Roles of a process: threads that run until told to stop, where the failure of one ends them all.

Whoever started the process starts it again (systemd, compose, `serve`); the log makes that safe. A role that limps on
after a failure would not be.
"""

import signal
import threading
from collections.abc import Callable

import structlog

_log = structlog.get_logger(__name__)
_STOP_WITHIN_S = 8.0


class Roles:
    """Start roles, then `wait`."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._failure: BaseException | None = None

    def start(self, name: str, run: Callable[[threading.Event], None]) -> None:
        """Run `run(stop)` on a thread of its own; it returns once `stop` is set."""
        thread = threading.Thread(target=self._run, args=(name, run), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def fail(self, failure: BaseException) -> None:
        """Something that is not one of the threads failed: end them all."""
        if self._failure is None:
            self._failure = failure
        self.stop.set()

    def _run(self, name: str, run: Callable[[threading.Event], None]) -> None:
        try:
            run(self.stop)
        except BaseException as failure:  # noqa: BLE001 - `wait` raises it
            _log.error("role failed", role=name, error=repr(failure))
            self.fail(failure)
        else:
            if not self.stop.is_set():
                self.fail(RuntimeError(f"{name} ended by itself"))

    def stop_on_signals(self) -> None:
        """SIGTERM and SIGINT end the roles in order."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop.set())

    def wait(self) -> None:
        """Wait until told to stop or until a role fails; its exception is raised here once all have ended."""
        while not self.stop.wait(3600):
            pass
        for thread in self._threads:
            thread.join(_STOP_WITHIN_S)
            if thread.is_alive():
                _log.warning("role does not stop", role=thread.name)
        if self._failure is not None:
            raise self._failure
