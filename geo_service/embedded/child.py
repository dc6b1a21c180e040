"""Starts a server that dies when its parent does, even by kill -9: `python -m geo_service.embedded.child …`.

On Linux the kernel does it (prctl(2), PR_SET_PDEATHSIG), and this process becomes the server. Elsewhere this process stays
and watches a pipe whose other end only the parent holds.

It imports next to nothing: it runs once per server.
"""

import argparse
import ctypes
import os
import select
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1
_GRACE_S = 5.0


def die_with_parent(parent: int, signal_number: int) -> None:
    """Have the kernel send us `signal_number` when the thread that started us ends; it survives exec, but not setuid."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the kernel knew what we want
        sys.exit(f"the parent, process {parent}, has ended")


def watch(pipe: int, argv: list[str], signal_number: int) -> int:
    """Run `argv`, end it when the other end of `pipe` closes; return its exit code."""
    with subprocess.Popen(argv) as server:  # noqa: S603 - our own command line
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        while server.poll() is None:
            if select.select([pipe], [], [], 0.2)[0]:
                server.send_signal(signal_number)
                try:
                    server.wait(_GRACE_S)
                except subprocess.TimeoutExpired:
                    server.kill()
                break
        return server.wait()


def main() -> None:
    """Read the command line and become, or run, the server."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--signal", type=int, required=True, help="what the server gets when the parent has died")
    parser.add_argument("--pipe", type=int, help="watch this file descriptor instead of asking the kernel")
    parser.add_argument("argv", nargs="+")
    options = parser.parse_args()
    if options.pipe is not None:
        sys.exit(watch(options.pipe, options.argv, options.signal))
    die_with_parent(options.parent, options.signal)
    os.execvp(options.argv[0], options.argv)  # noqa: S606 - our own command line


if __name__ == "__main__":
    main()
