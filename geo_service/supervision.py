"""`serve` and `demo`: the service's processes under one parent, none of which outlives it.

The parent starts what is missing of broker and store, then worker and API as processes of their own, and does nothing
itself. When one of them ends, everything ends with a clear line: whoever runs us starts us again, and the log makes
that safe.
"""

import signal
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import msgspec

from geo_service.embedded.processes import Nursery, ServerProcess
from geo_service.embedded.servers import start_servers
from geo_service.errors import GeoServiceError, InvalidInputError, UnreachableError
from geo_service.settings import Settings

_LOOK_S = 0.2
_SERVER_OUT_OF_REACH = 3


class Service(NamedTuple):
    """A running service."""

    settings: Settings
    """As they came to be: with the URLs of embedded servers and the port that was found."""
    nursery: Nursery
    notes: list[str]


@contextmanager
def running(settings: Settings) -> Iterator[Service]:
    """Run the service for as long as the context lasts; entered once the API answers.

    Raises:
        UnreachableError: a process or server does not come up.
    """
    settings = msgspec.structs.replace(settings, port=settings.port or free_port(settings.host))
    _require_free(settings.host, settings.port)
    with start_servers(
        settings.data, redis=settings.redis is None, mqtt=settings.mqtt is None, fsync="everysec"
    ) as servers:
        settings = msgspec.structs.replace(
            settings, redis=settings.redis or servers.redis_url, mqtt=settings.mqtt or servers.mqtt_url
        )
        nursery = Nursery()
        try:
            worker = ["worker", *_shared(settings), "--mqtt", str(settings.mqtt), *_rules(settings)]
            start(nursery, "worker", worker)
            api = start(
                nursery, "api", ["api", *_shared(settings), "--host", settings.host, "--port", str(settings.port)]
            )
            service = Service(settings, nursery, servers.notes)
            api.await_ready(lambda: require_all(service) and is_ready(settings))
            yield service
        finally:
            nursery.stop()


def start(nursery: Nursery, name: str, arguments: Sequence[str]) -> ServerProcess:
    """Start one of our own commands as a child that writes where we write."""
    argv = [sys.executable, "-m", "geo_service", *arguments]
    return nursery.start(name, argv, log=None, orphan_signal=signal.SIGTERM)


def _shared(settings: Settings) -> list[str]:
    return [
        *("--redis", str(settings.redis)),
        *("--prefix", settings.prefix),
        *("--partitions", str(settings.partitions)),
        *("--log-level", settings.log_level),
        *("--consent", settings.consent or "none"),
    ]


def _rules(settings: Settings) -> list[str]:
    rules = ["--presence", settings.presence]
    if settings.home_assistant:
        rules += ["--home-assistant", settings.home_assistant]
    return rules if settings.site is None else [*rules, "--site", str(settings.site)]


def is_ready(settings: Settings) -> bool:
    """Whether the API says that everything it needs is there.

    Raises:
        OSError: it does not answer, or not yet well.
    """
    url = f"http://{_reachable(settings.host)}:{settings.port}/readyz"
    with urllib.request.urlopen(url, timeout=2) as answer:
        return bool(answer.status == 200)


def _reachable(host: str) -> str:
    """Where to knock: whoever listens on all addresses listens on the loopback too."""
    return "127.0.0.1" if host in {"0.0.0.0", ""} else host  # noqa: S104 - compared, not bound


def free_port(host: str, wanted: int = 0) -> int:
    """`wanted` if it is free, else any that is."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise InvalidInputError(f"cannot listen on {host}", field="host")


def _require_free(host: str, port: int) -> None:
    if free_port(host, port) != port:
        raise InvalidInputError(f"{port} is in use on {host}; name another, or 0 for any", field="port")


def watch(service: Service, seconds: float | None) -> None:
    """Wait for Ctrl-C, SIGTERM or the time to pass.

    Raises:
        GeoServiceError: a process ended by itself; UnreachableError where it was for a server that does not answer.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    deadline = None if seconds is None else time.monotonic() + seconds
    while not stop.wait(_LOOK_S):
        require_all(service)
        if deadline is not None and time.monotonic() >= deadline:
            return


def require_all(service: Service) -> bool:
    """True while every process runs.

    Raises:
        GeoServiceError: one ended; UnreachableError where it was for a server that does not answer.
    """
    for child in service.nursery.servers:
        code = child.process.poll()
        if code == _SERVER_OUT_OF_REACH:
            raise UnreachableError(f"what the {child.name} needs", "it says above what does not answer")
        if code is not None:
            raise GeoServiceError(f"the {child.name} ended with code {code}; what it said last is above")
    return True
