"""Server processes that never outlive us."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

from geo_service.errors import UnreachableError

_KILLED_BY_THE_KERNEL = sys.platform == "linux"
_READY_S = 60.0
"""A store may have to read a large log first."""
_STOP_S = 10.0
_LAST_LINES = 5


class ServerProcess:
    """One running server: its command line, its log, and the pipe that its watcher watches (not on Linux)."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", log: Path | None, pipe: int | None) -> None:
        self.name = name
        self.process = process
        self.log = log
        self._pipe = pipe

    @property
    def pid(self) -> int:
        """The process id: the server's own on Linux, elsewhere that of who watches it."""
        return self.process.pid

    def await_ready(self, answers: Callable[[], bool]) -> None:
        """Wait until the server answers.

        Raises:
            UnreachableError: it ended, or says nothing; with the last lines of its log.
        """
        deadline = time.monotonic() + _READY_S
        while True:
            ended = self.process.poll()
            if ended is not None:
                raise UnreachableError(self.name, f"it ended with code {ended}; its log ends: {self.last_words()}")
            try:
                if answers():
                    return
            except OSError:
                pass  # not listening yet
            if time.monotonic() > deadline:
                raise UnreachableError(self.name, f"no answer in {_READY_S:.0f} s; its log ends: {self.last_words()}")
            time.sleep(0.02)

    def last_words(self) -> str:
        """The last lines of the log."""
        if self.log is None:
            return "(see above)"
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-_LAST_LINES:]) or "(nothing)"

    def stop(self) -> None:
        """SIGTERM, so that it can save; SIGKILL where that does not help."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.close_pipe()
            self.process.kill()
            self.process.wait()
        self.close_pipe()

    def close_pipe(self) -> None:
        """Let the watcher know that we are gone."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


class Nursery:
    """Starts servers, and holds the one thread that counts as their parent.

    The kernel's "parent died" means the thread that forked, so that thread must live as long as they do: not the caller's,
    which may be a worker of some pool.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedded-servers")
        self.servers: list[ServerProcess] = []

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path | None,
        orphan_signal: signal.Signals,
        keep_open: Sequence[int] = (),
    ) -> ServerProcess:
        """Start `argv`; it gets `orphan_signal` when this process dies. `keep_open` are file descriptors that it inherits.

        Without a `log` it writes where we write.
        """
        server = self._thread.submit(self._spawn, name, argv, log, orphan_signal, tuple(keep_open)).result()
        self.servers.append(server)
        return server

    def stop(self) -> None:
        """Stop all of them, the last first."""
        while self.servers:
            self.servers.pop().stop()
        self._thread.shutdown()

    @staticmethod
    def _spawn(
        name: str, argv: Sequence[str], log: Path | None, orphan_signal: signal.Signals, keep_open: tuple[int, ...]
    ) -> ServerProcess:
        launcher = [sys.executable, "-m", f"{__package__}.child"]
        launcher += ["--parent", str(os.getpid()), "--signal", str(orphan_signal.value)]
        theirs = ours = None
        if not _KILLED_BY_THE_KERNEL:
            theirs, ours = os.pipe()
            launcher += ["--pipe", str(theirs)]
            keep_open += (theirs,)
        try:
            with log.open("wb") if log is not None else nullcontext() as output:
                process = subprocess.Popen(  # noqa: S603 - our own command line
                    [*launcher, "--", *argv],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT if log is not None else None,
                    pass_fds=keep_open,
                    # Ctrl-C in a terminal goes to the whole group: we still need the servers while we stop.
                    start_new_session=True,
                )
        finally:
            if theirs is not None:
                os.close(theirs)
        return ServerProcess(name, process, log, ours)
