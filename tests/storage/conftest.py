"""Real servers for the tests of storage: Redis and Valkey where both are present, each test behind a key prefix of its own."""

import os
import signal
import socket
import threading
import uuid
from contextlib import ExitStack, contextmanager
from urllib.parse import unquote, urlsplit

import pytest

from geo_service.embedded.servers import find_redis, start_servers
from geo_service.errors import UnreachableError
from geo_service.flow.log import MemoryLog
from geo_service.storage.connection import connect
from geo_service.storage.keys import Keys
from geo_service.storage.redis_log import RedisLog

_PREFER = {"redis": "path", "valkey": "wheel"}


class Servers:
    """At most one server of each kind per test run; tests keep out of each other's way by prefix."""

    def __init__(self, tmp_path_factory):
        self._factory, self._urls, self._stack = tmp_path_factory, {}, ExitStack()

    def __getitem__(self, kind):
        if kind not in self._urls:
            try:
                _, is_wheel = find_redis(_PREFER[kind])
            except UnreachableError as error:
                pytest.skip(str(error))
            if is_wheel != (kind == "valkey"):
                pytest.skip("no redis-server on the PATH")
            folder = self._factory.mktemp(kind)
            started = start_servers(folder, mqtt=False, prefer=_PREFER[kind], fsync="everysec")
            self._urls[kind] = self._stack.enter_context(started).redis_url
        return self._urls[kind]

    def stop(self):
        self._stack.close()


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
def url(servers, request):
    return servers[request.param]


@pytest.fixture
def client(url):
    with connect(url, retries=0) as client:
        yield client


@pytest.fixture
def keys(client):
    with _keys_of_its_own(client) as keys:
        yield keys


@pytest.fixture(params=["memory", "redis", "valkey"])
def log(servers, request):
    """A log of three partitions, of each kind."""
    if request.param == "memory":
        log = MemoryLog(3)
        log.now_ms = 1_700_000_000_000
        yield log
    else:
        with connect(servers[request.param], retries=0) as client, _keys_of_its_own(client) as keys:
            yield RedisLog.open(client, 3, keys=keys, tail_s=0)


class MortalServer:
    """A server of the test's own, which it may kill and start again on the same data."""

    def __init__(self, folder):
        self._folder, self._stack = folder, ExitStack()
        self.start()

    def start(self):
        self._running = self._stack.enter_context(start_servers(self._folder, mqtt=False))
        self.url = self._running.redis_url

    def kill(self):
        os.kill(self._running.pids["redis"], signal.SIGKILL)
        self._stack.close()


@pytest.fixture
def mortal_server(tmp_path):
    server = MortalServer(tmp_path)
    yield server
    server.kill()


class LosingProxy:
    """Passes requests on to a server, and loses the answer to one of them together with the connection."""

    def __init__(self, url):
        parts = urlsplit(url)
        self._target = unquote(parts.path) if parts.scheme == "unix" else (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        self.lose_when = None
        """The answer to the next request that holds these bytes is lost."""
        self.lost = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET)
            server.connect(self._target)
            threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client, server):
        with client, server:
            back = threading.Thread(target=self._answers, args=(server, client), daemon=True)
            back.start()
            while request := client.recv(1 << 20):
                if self.lose_when is not None and self.lose_when in request:
                    self.lose_when = None
                    self.lost += 1
                    client.shutdown(socket.SHUT_RDWR)
                    server.sendall(request)
                    server.shutdown(socket.SHUT_WR)
                    break
                server.sendall(request)
            back.join(5)

    @staticmethod
    def _answers(server, client):
        try:
            while answer := server.recv(1 << 20):
                client.sendall(answer)
        except OSError:
            while server.recv(1 << 20):
                pass

    def close(self):
        self._listener.close()


@pytest.fixture
def losing_proxy(url):
    proxy = LosingProxy(url)
    yield proxy
    proxy.close()
