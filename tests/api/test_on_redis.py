"""The API on a real Redis, which is killed and comes back."""

import json
import shutil
import socket
import subprocess
import time

import httpx
import pytest
from prometheus_client import CollectorRegistry

from geo_service.flow.entries import EntryId
from geo_service.flow.log import Commit
from geo_service.settings import Settings
from geo_service.storage.accounts import Accounts
from geo_service.storage.connection import connect
from geo_service.storage.redis_log import RedisLog
from geo_service.wiring_api import services_of

PARTITIONS = 2


class Redis:
    """A server that keeps its data and its port over a kill -9."""

    def __init__(self, folder):
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("no redis-server on the PATH")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port = taken.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        options = {"port": self.port, "bind": "127.0.0.1", "dir": folder, "appendonly": "yes", "appendfsync": "always"}
        self._command = [program, *(word for name, value in options.items() for word in (f"--{name}", str(value)))]
        self.start()

    def start(self):
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        with connect(self.url, retries=20) as client:
            client.ping()

    def kill(self):
        self._process.kill()
        self._process.wait()


@pytest.fixture
def redis(tmp_path):
    redis = Redis(tmp_path)
    yield redis
    redis.kill()


class Worker:
    """Commits outputs as the fold does."""

    def __init__(self, url):
        self._log = RedisLog.open(connect(url, retries=20), PARTITIONS)
        for partition in range(PARTITIONS):
            self._log.acquire(partition)

    def say(self, partition, output, current=None):
        line = json.dumps(output).encode()
        position = EntryId(time.time_ns() // 1_000_000, 0)
        self._log.commit(partition, Commit([(position, line)], {current: line} if current else {}, None))


def crossing(number):
    return {"kind": "crossing", "id": f"c{number}", "device": "phone-1", "store": "harbour"}


def events(lines):
    """`(kind, data, last id)` off a stream."""
    kind, data, last_id = "", "", ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            kind = value
        elif field == "data":
            data = value
        elif field == "id":
            last_id = value
        elif not line and data and kind != "heartbeat":
            yield kind, json.loads(data), last_id
            data = ""


def test_a_stream_outlives_the_death_of_its_redis_and_resumes_in_another_process(redis, make_app):
    worker = Worker(redis.url)
    occupancy = {"kind": "occupancy", "store": "harbour", "zone": None, "mean": 4}
    worker.say(1, occupancy, "occupancy:harbour")
    _, key = Accounts(connect(redis.url), lambda: 0).create_key("secret")
    settings = Settings(redis=redis.url, partitions=PARTITIONS)
    headers = {"Authorization": f"Bearer {key}"}

    first = make_app(services_of(settings, CollectorRegistry()))
    with (
        httpx.Client(base_url=first.url, timeout=30, trust_env=False) as client,
        client.stream("GET", "/v1/stream", headers=headers) as answer,
    ):
        heard = events(answer.iter_lines())
        assert next(heard)[:2] == ("occupancy", occupancy)
        worker.say(0, crossing(1))
        _, said, last_id = next(heard)
        assert said == crossing(1)
        redis.kill()
        refused = client.post("/v1/session", json={"name": "ada", "password": "x"})
        assert refused.status_code == 503
        redis.start()
        worker.say(1, crossing(2))
        assert next(heard)[1] == crossing(2)
    first.stop()

    worker.say(0, crossing(3))
    second = make_app(services_of(settings, CollectorRegistry()))
    resuming = {**headers, "Last-Event-ID": last_id}
    with (
        httpx.Client(base_url=second.url, timeout=30, trust_env=False) as client,
        client.stream("GET", "/v1/stream", headers=resuming) as answer,
    ):
        heard = events(answer.iter_lines())
        assert [next(heard)[1] for _ in range(3)] == [crossing(2), crossing(3), occupancy]
