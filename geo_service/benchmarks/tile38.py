"""Tile38 as a rival: a fence is a channel, a ping is a SET, and what a subscriber of all channels hears are the crossings.

`SETCHAN f7 INTERSECTS fleet FENCE DETECT enter,exit OBJECT {…}` once a fence (a circle is its own `CIRCLE`), then `SET fleet d1
POINT lat lon` in pipelines over one connection, and `PSUBSCRIBE *` on another; nothing is written to disk. `PUBLISH`
after a batch tells when all of its messages have come, as messages keep the order of their commands.
"""

import selectors
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import hiredis
import msgspec

from geo_service.benchmarks.broker import cpu_s
from geo_service.benchmarks.rivals import Crossing
from geo_service.catalogue.documents import Fence
from geo_service.embedded.processes import Nursery, ServerProcess
from geo_service.errors import UnreachableError
from geo_service.pings.batch import PingBatch

BINARY: Final = "tile38-server"
_KEY: Final = "fleet"
_MARK: Final = "that-was-all"
_AT_ONCE: Final = 256
"""Commands in one write: few enough that their bytes fit into the socket's buffers while nobody reads."""
_PATIENCE_S: Final = 30.0
_READ_BYTES: Final = 1 << 18


class _Told(msgspec.Struct):
    """What of a fence's message is of interest."""

    detect: str
    id: str
    hook: str


class Tile38:
    """A running server with the fences in it."""

    def __init__(self, server: ServerProcess, port: int, fences: Sequence[Fence]) -> None:
        self._server = server
        self._commands = _Connection(port)
        self._messages = _Connection(port)
        self._messages.send([("PSUBSCRIBE", "*")])
        self._exchange(0, lambda message: message[0] == b"psubscribe")
        for start in range(0, len(fences), _AT_ONCE):
            some = fences[start : start + _AT_ONCE]
            self._commands.send([_channel(fence) for fence in some])
            self._exchange(len(some), None)

    def cpu_s(self) -> float:
        """CPU seconds of the server so far."""
        return cpu_s(self._server.pid)

    def step(self, batch: PingBatch) -> list[Crossing]:
        """Pipelines of SETs, and what the subscriber heard until the mark after them."""
        crossings: list[Crossing] = []

        def hear(message: list[Any]) -> bool:
            _, _, channel, payload = message
            if channel == _MARK.encode():
                return True
            told = msgspec.json.decode(payload, type=_Told)
            if told.detect in ("enter", "exit"):
                crossings.append(Crossing("enter" if told.detect == "enter" else "exit", told.id, told.hook))
            return False

        rows = list(zip(batch.devices, map(repr, batch.lat.tolist()), map(repr, batch.lon.tolist()), strict=True))
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            sets = [("SET", _KEY, device, "POINT", lat, lon) for device, lat, lon in some]
            self._commands.send([*sets, ("PUBLISH", _MARK, "")])
            self._exchange(len(some) + 1, hear)
        return crossings

    def _exchange(self, replies: int, hear: Any) -> None:
        """Read both connections until so many commands are answered and `hear` has had enough of the messages.

        Raises:
            UnreachableError: a command was refused, or nothing comes any more.
        """
        listening = hear is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._commands.socket, selectors.EVENT_READ, self._commands)
            selector.register(self._messages.socket, selectors.EVENT_READ, self._messages)
            while replies or listening:
                ready = selector.select(_PATIENCE_S)
                if not ready:
                    raise UnreachableError(BINARY, f"it is silent; {replies} commands are not answered")
                for key, _ in ready:
                    for answer in key.data.receive():
                        if key.data is self._commands:
                            replies -= 1
                        elif listening:
                            listening = not hear(answer)

    def close(self) -> None:
        """Hang up."""
        self._commands.socket.close()
        self._messages.socket.close()


class _Connection:
    """RESP (redis.io, *Redis serialization protocol*, version 2) over a socket."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()

    def send(self, commands: Sequence[tuple[str, ...]]) -> None:
        """Write commands in one piece."""
        # hiredis says that it packs one word; it packs any number.
        self.socket.sendall(b"".join(hiredis.pack_command(cast("tuple[str]", command)) for command in commands))

    def receive(self) -> list[Any]:
        """The complete answers of one read.

        Raises:
            UnreachableError: one is an error, or there will be no more.
        """
        data = self.socket.recv(_READ_BYTES)
        if not data:
            raise UnreachableError(BINARY, "it hung up")
        self._reader.feed(data)
        answers = []
        while (answer := self._reader.gets()) is not False:
            if isinstance(answer, hiredis.ReplyError):
                raise UnreachableError(BINARY, f"it answers: {answer}")
            answers.append(answer)
        return answers


def _channel(fence: Fence) -> tuple[str, ...]:
    """The command that makes a fence."""
    head = ("SETCHAN", fence.id, "INTERSECTS", _KEY, "FENCE", "DETECT", "enter,exit")
    if fence.radius_m is None:
        return (*head, "OBJECT", msgspec.json.encode(fence.geometry).decode())
    lon, lat = fence.geometry["coordinates"][:2]
    return (*head, "CIRCLE", repr(lat), repr(lon), repr(fence.radius_m))


@contextmanager
def tile38(fences: Sequence[Fence]) -> Iterator[Tile38]:
    """A Tile38 of our own with these fences, as long as the context lasts.

    Raises:
        UnreachableError: it is not on the PATH or does not start; with the last lines of its log.
    """
    binary = shutil.which(BINARY)
    if binary is None:
        raise UnreachableError(BINARY, "it is not on the PATH")
    nursery = Nursery()
    with tempfile.TemporaryDirectory(prefix="geo-tile38-") as name:
        folder, port = Path(name), _free_port()
        argv = [binary, "-h", "127.0.0.1", "-p", str(port), "-d", str(folder / "data"), "--appendonly", "no", "-q"]
        try:
            server = nursery.start(BINARY, argv, log=folder / "log", orphan_signal=signal.SIGTERM)
            server.await_ready(lambda: _answers(port))
            rival = Tile38(server, port, fences)
            try:
                yield rival
            finally:
                rival.close()
        finally:
            nursery.stop()


def _answers(port: int) -> bool:
    connection = _Connection(port)
    try:
        connection.send([("PING",)])
        return connection.receive() == [b"PONG"]
    finally:
        connection.socket.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
