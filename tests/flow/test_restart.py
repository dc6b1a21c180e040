"""Redis or the broker is restarted under the worker: it waits or says why it ends, and nothing is lost or counted twice."""

import contextlib
import json
import signal
import socket
import time

import pytest

from geo_service.embedded.processes import Nursery
from geo_service.embedded.servers import find_mosquitto, find_redis
from geo_service.storage.connection import connect

DOOR = "geo/v1/sensor/r.door"
OCCUPANCY = "geo/v1/store/r/occupancy"
CROSSING = "geo/v1/store/r/crossing"


class Server:
    """A server of the test's own that can be stopped and started again: same port, same data."""

    def __init__(self, folder, name):
        self.folder = folder
        self.name = name
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._nursery = Nursery()
        self.start()

    def start(self):
        """Returns once it listens."""
        log = self.folder / f"{self.name}.log"
        self._server = self._nursery.start(self.name, self.argv(), log=log, orphan_signal=signal.SIGKILL)
        self._server.await_ready(self._listens)

    def _listens(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True

    def stop(self):
        """In order: it saves what it has."""
        self._nursery.servers.remove(self._server)
        self._server.stop()

    def close(self):
        self._nursery.stop()


class Redis(Server):
    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def argv(self):
        options = {"port": self.port, "dir": self.folder, "appendonly": "yes", "appendfsync": "everysec", "save": ""}
        return [find_redis()[0], *(part for name, value in options.items() for part in (f"--{name}", str(value)))]

    def start(self):
        super().start()
        connect(self.url).ping()


class Mosquitto(Server):
    @property
    def url(self):
        return f"mqtt://127.0.0.1:{self.port}"

    def argv(self):
        configuration = self.folder / "mosquitto.conf"
        lines = ["user root", f"listener {self.port} 127.0.0.1", "allow_anonymous true", "persistence true"]
        lines += [f"persistence_location {self.folder}/", "max_inflight_messages 0", "max_queued_messages 0", ""]
        configuration.write_text("\n".join(lines))
        return [find_mosquitto(), "-c", str(configuration)]


@pytest.fixture
def redis(tmp_path):
    with contextlib.closing(Redis(tmp_path, "redis")) as server:
        yield server


@pytest.fixture
def broker(tmp_path):
    if find_mosquitto() is None:
        pytest.skip("no mosquitto is installed")
    with contextlib.closing(Mosquitto(tmp_path, "mosquitto")) as server:
        yield server


def assert_nothing_twice(service):
    ids = [each["id"] for _, line in service.outputs() if (each := json.loads(line))["kind"] in {"crossing", "offer"}]
    assert len(ids) == len(set(ids))


def test_a_worker_outlasts_a_restart_of_redis_or_says_why_it_ends(redis, mqtt_url, town_of, service_of, until):
    with service_of(redis.url, mqtt_url, town_of("r", comfort=500)) as service:
        worker = service.start_worker()
        service.await_worker()
        client = service.listen(OCCUPANCY, CROSSING)
        for number in range(200):
            client.send(DOOR, {"in": 1, "out": 0})
            if number == 100:
                redis.stop()
                redis.start()
        until(lambda: client.on(OCCUPANCY, in_total=200) or worker.process.poll() is not None)
        if worker.process.poll() is not None:  # the machine is so slow that its patience ended
            assert_it_says_that_redis_is_gone(worker)
            service.start_worker()
        client.expect(OCCUPANCY, in_total=200)
        client.publish("geo/v1/ping/after", service.town.ping("r", 10))
        client.expect(CROSSING, device="after", fence="r.shop")
        assert_nothing_twice(service)


def assert_it_says_that_redis_is_gone(worker):
    assert worker.process.wait(10) == 3
    assert "geo-service: cannot reach redis at 127.0.0.1" in worker.last_words()
    assert "Traceback" not in worker.last_words()


def test_a_worker_without_redis_ends_with_a_clear_line_and_goes_on_where_it_was(
    redis, mqtt_url, town_of, service_of, until
):
    with service_of(redis.url, mqtt_url, town_of("r", comfort=500)) as service:
        worker = service.start_worker()
        service.await_worker()
        client = service.listen(OCCUPANCY, CROSSING)
        client.publish("geo/v1/ping/before", service.town.ping("r", 10))
        client.publish(DOOR, {"in": 3, "out": 0})
        client.expect(OCCUPANCY, in_total=3)
        redis.stop()
        client.publish(DOOR, {"in": 4, "out": 0})
        assert_it_says_that_redis_is_gone(worker)
        client.publish(DOOR, {"in": 5, "out": 0})
        redis.start()
        service.start_worker()
        client.expect(OCCUPANCY, in_total=12)
        client.publish("geo/v1/ping/before", service.town.ping("r", 15))
        client.publish("geo/v1/ping/after", service.town.ping("r", 10))
        client.expect(CROSSING, device="after")
        entered = [each for each in client.on(CROSSING, device="before") if each["type"] == "enter"]
        assert sorted({each["fence"] for each in entered}) == ["r.near", "r.shop"]
        assert len({each["id"] for each in entered}) == 2
        assert_nothing_twice(service)


def test_reader_and_publisher_come_back_when_the_broker_does(redis_url, broker, town_of, service_of, until):
    with service_of(redis_url, broker.url, town_of("r", comfort=500)) as service:
        worker = service.start_worker()
        service.await_worker()
        client = service.listen(OCCUPANCY, CROSSING)
        client.publish(DOOR, {"in": 3, "out": 0})
        client.expect(OCCUPANCY, in_total=3)
        broker.stop()
        # What the fold says meanwhile waits for the publisher.
        service.start_api()
        assert service.post("/v1/sensors/r.door", {"in": 4, "out": 0}).status_code == 202
        time.sleep(1)
        broker.start()
        client = service.listen(OCCUPANCY, CROSSING)
        client.expect(OCCUPANCY, in_total=7)
        client.publish(DOOR, {"in": 5, "out": 0})
        client.expect(OCCUPANCY, in_total=12)
        client.publish("geo/v1/ping/back", service.town.ping("r", 10))
        client.expect(CROSSING, device="back", fence="r.shop")
        assert worker.process.poll() is None
        assert_nothing_twice(service)


def test_what_the_broker_had_acknowledged_while_no_worker_was_there_survives_its_restart(
    redis_url, broker, town_of, service_of
):
    with service_of(redis_url, broker.url, town_of("r", comfort=500)) as service:
        worker = service.start_worker()
        service.await_worker()
        service.listen(OCCUPANCY).expect(OCCUPANCY)
        worker.process.kill()
        worker.process.wait()
        client = service.listen()
        for _ in range(50):
            client.publish(DOOR, {"in": 1, "out": 0})
        broker.stop()
        broker.start()
        service.start_worker()
        service.listen(OCCUPANCY).expect(OCCUPANCY, in_total=50)
