"""Real servers for the tests: those on the PATH, or with `GEO_TEST_SERVERS=wheel` (and where none is installed) the wheels'."""

import os

import pytest
from hypothesis import settings

from geo_service.embedded.servers import find_mosquitto, find_redis, start_servers
from geo_service.storage.connection import connect

# How long an example takes is the machine's business; what it gives must be the same every time.
settings.register_profile("suite", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True)
settings.load_profile("suite")
PREFER = os.environ.get("GEO_TEST_SERVERS", "path")


def pytest_report_header():
    assert PREFER in ("path", "wheel"), "GEO_TEST_SERVERS is path or wheel"
    return f"servers: store {find_redis(PREFER)[0]}, broker {find_mosquitto(PREFER) or 'amqtt'}"


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory):
    """A store of this worker's own; tests share it, so each uses keys of its own."""
    with start_servers(tmp_path_factory.mktemp("redis"), mqtt=False, prefer=PREFER, fsync="everysec") as servers:
        yield servers.redis_url


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    """A client of a store that one module has to itself, and may flush."""
    with (
        start_servers(tmp_path_factory.mktemp("redis"), mqtt=False, prefer=PREFER, fsync="everysec") as servers,
        connect(servers.redis_url) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def mqtt_url(tmp_path_factory):
    """A broker of this worker's own; tests share it, so each uses topics and client ids of its own."""
    with start_servers(tmp_path_factory.mktemp("mqtt"), redis=False, prefer=PREFER) as servers:
        yield servers.mqtt_url
