"""The service as it runs: worker and API as processes of their own, on a real broker and store, spoken to from outside."""

import contextlib
import json
import signal
import socket
import sys
import threading
import time
from itertools import count

import httpx
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from geo_service.catalogue.documents import Campaign, Capacity, Caps, Fence, Sensor, Store, Trigger
from geo_service.catalogue.site import Site, write_site
from geo_service.delivery.mqtt_url import BrokerUrl
from geo_service.embedded.processes import Nursery
from geo_service.storage.accounts import Accounts
from geo_service.storage.connection import connect
from geo_service.storage.keys import Keys

_numbers = count()
_PATIENCE_S = 40.0
"""For what takes milliseconds on a machine that has nothing else to do."""


def eventually(question, timeout_s=_PATIENCE_S):
    """Wait until `question()` is true, and return what it said."""
    deadline = time.monotonic() + timeout_s
    while not (answer := question()):
        assert time.monotonic() < deadline, f"still {answer!r} after {timeout_s} s"
        time.sleep(0.02)
    return answer


class Town:
    """Stores along a meridian, each with a fence around it, one of its own, a door, and an offer for whoever comes near."""

    def __init__(self, *stores, comfort=10, total=None, dwell_s=None):
        self.site = Site()
        self.stores = stores
        for number, store in enumerate(stores):
            lat, lon = self.place(store)
            self.site.store[store] = Store(
                id=store,
                name=f"Store {number}",
                lat=lat,
                lon=lon,
                capacity=Capacity(comfort=comfort, legal=2 * comfort),
            )
            around = {"geometry": {"type": "Point", "coordinates": [lon, lat]}, "store": store, "dwell_s": dwell_s}
            self.site.fence[f"{store}.near"] = Fence(id=f"{store}.near", role="near", radius_m=300, **around)
            self.site.fence[f"{store}.shop"] = Fence(id=f"{store}.shop", role="store", radius_m=80, **around)
            self.site.sensor[f"{store}.door"] = Sensor(id=f"{store}.door", store=store)
        self.site.campaign["bread"] = Campaign(
            id="bread", name="Bread", holdout=0, trigger=Trigger(role="near"), caps=Caps(total=total)
        )

    def place(self, store, metres=0):
        """So many metres north of the store's middle."""
        return 45 + self.stores.index(store) * 0.05 + metres / 111_200, -6.0

    def ping(self, store, metres=0, *, at_s=None, **more):
        """A native ping there."""
        lat, lon = self.place(store, metres)
        return {"time": time.time() if at_s is None else at_s, "lat": lat, "lon": lon, "accuracy_m": 5} | more


class Mqtt:
    """A plain client: publishes, and keeps all that comes on the topics it listens to."""

    def __init__(self, url, *topics):
        broker = BrokerUrl.parse(url)
        self.messages = []
        self._granted = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _client, _data, message: self.messages.append(message)
        self._client.on_subscribe = lambda *_: self._granted.set()
        self._client.max_inflight_messages_set(0)
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        if topics:
            self._client.subscribe([(topic, 1) for topic in topics])
            assert self._granted.wait(_PATIENCE_S)

    def publish(self, topic, payload, *, retain=False, qos=1):
        """Returns once the broker has it."""
        self.send(topic, payload, retain=retain, qos=qos).wait_for_publish(_PATIENCE_S)

    def send(self, topic, payload, *, retain=False, qos=1):
        """Returns at once."""
        return self._client.publish(topic, payload if isinstance(payload, bytes) else json.dumps(payload), qos, retain)

    def on(self, topic, **fields):
        """What came on a topic with these fields."""
        found = [json.loads(message.payload) for message in list(self.messages) if message.topic == topic]
        return [said for said in found if all(said.get(name) == value for name, value in fields.items())]

    def expect(self, topic, **fields):
        """Wait for such a message; the first of them."""
        return eventually(lambda: self.on(topic, **fields))[0]

    def insist(self, topic, payload, on, **fields):
        """Publish until such a message comes on another topic."""

        def say():
            self.publish(topic, payload)
            return self.on(on, **fields)

        eventually(say)

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()


class Stream:
    """`GET /v1/stream`, read on a thread of its own."""

    def __init__(self, service, query=""):
        self.events = []
        self._lines = []
        self._open = threading.Event()
        self._stop = threading.Event()
        self._url = f"{service.url}/v1/stream{query}"
        self._headers = service.headers
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        assert self._open.wait(_PATIENCE_S)

    def _read(self):
        with httpx.stream("GET", self._url, headers=self._headers, timeout=_PATIENCE_S) as answer:
            assert answer.status_code == 200
            kind = None
            for line in answer.iter_lines():
                self._open.set()
                if self._stop.is_set():
                    return
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    self.events.append((kind, json.loads(line.removeprefix("data: "))))

    def expect(self, kind, **fields):
        """Wait for such an event; the first of them."""
        return eventually(
            lambda: [
                said
                for was, said in list(self.events)
                if was == kind and all(said.get(name) == value for name, value in fields.items())
            ]
        )[0]

    def close(self):
        self._stop.set()


class Service:
    """One service of a name of its own; its roles can be started, killed, and started again."""

    def __init__(self, folder, redis, mqtt, town, *, partitions=1, presence="steady"):
        self.folder = folder
        self.redis, self.mqtt = redis, mqtt
        self.town = town
        self.partitions = partitions
        self.presence = presence
        self.prefix = f"t{next(_numbers)}-{time.time_ns() % 10**9}:"
        self.keys = Keys(self.prefix)
        self.client = connect(redis)
        self.port = 0
        self._nursery = Nursery()
        self._clients = []
        write_site(town.site, folder / "site")
        self._shared = ["--redis", redis, "--prefix", self.prefix, "--partitions", str(partitions)]

    # --- its processes -----------------------------------------------------------------------------------------------

    def start_worker(self):
        """Start a worker; returns at once."""
        arguments = ["--mqtt", self.mqtt, "--site", str(self.folder / "site"), "--presence", self.presence]
        return self._start("worker", ["worker", *self._shared, *arguments])

    def start_api(self):
        """Start the API on a free port; returns once it answers."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        api = self._start("api", ["api", *self._shared, "--port", str(self.port)])
        api.await_ready(lambda: self.get("/healthz").status_code == 200)
        return api

    def _start(self, name, arguments):
        log = self.folder / f"{name}-{next(_numbers)}.log"
        argv = [sys.executable, "-m", "geo_service", *arguments]
        return self._nursery.start(name, argv, log=log, orphan_signal=signal.SIGKILL)

    def await_worker(self):
        """Wait until a worker reads: it answers a ping. Then have each door speak, or no store would know how full it is."""
        device = f"probe-{next(_numbers)}"
        listener = self.listen(f"geo/v1/store/{self.town.stores[0]}/crossing")

        def probe():
            listener.publish(f"geo/v1/ping/{device}", self.town.ping(self.town.stores[0], 280))
            return listener.on(f"geo/v1/store/{self.town.stores[0]}/crossing", device=device)

        eventually(probe)
        for store in self.town.stores:
            listener.publish(f"geo/v1/sensor/{store}.door", {"in": 0, "out": 0})

    def stop(self):
        """Everything; twice does no harm."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        self._nursery.stop()
        self._forget_session()
        self.client.close()

    def _forget_session(self):
        """The broker need not keep for ever what comes for this service."""
        broker = BrokerUrl.parse(self.mqtt)
        client = Client(CallbackAPIVersion.VERSION2, client_id=f"{self.prefix.rstrip(':')}-worker")
        with contextlib.suppress(OSError):  # where the test has stopped the broker
            client.connect(broker.host, broker.port)
            client.loop_start()
            eventually(client.is_connected)
            client.disconnect()
            client.loop_stop()

    # --- speaking to it ----------------------------------------------------------------------------------------------

    def listen(self, *topics):
        """A client that hears these topics."""
        client = Mqtt(self.mqtt, *topics)
        self._clients.append(client)
        return client

    def stream(self, query=""):
        """The event stream, from now on."""
        stream = Stream(self, query)
        self._clients.append(stream)
        return stream

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self):
        """With a secret key, made when first needed."""
        if not hasattr(self, "_key"):
            accounts = Accounts(self.client, lambda: time.time_ns() // 1_000_000, keys=self.keys)
            self._key = accounts.create_key("secret")[1]
        return {"Authorization": f"Bearer {self._key}"}

    def get(self, path):
        try:
            return httpx.get(self.url + path, headers=self.headers, timeout=_PATIENCE_S)
        except httpx.ConnectError as error:
            raise ConnectionRefusedError from error

    def post(self, path, body, **more):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = self.headers | {"Content-Type": "application/json"} | more
        return httpx.post(self.url + path, content=content, headers=headers, timeout=_PATIENCE_S)

    def put(self, path, document):
        return httpx.put(self.url + path, json=document, headers=self.headers, timeout=_PATIENCE_S)

    def counters(self, role):
        """The role's counters as `/metrics` shows them."""
        counters = {}
        for line in self.get("/metrics").text.splitlines():
            if line.startswith("geo_events_total{") and f'role="{role}"' in line:
                counters[line.partition('name="')[2].partition('"')[0]] = float(line.rpartition(" ")[2])
        return counters

    def outputs(self):
        """All that was said so far, in order within a partition: `(id of the entry, line)`."""
        said = []
        for partition in range(self.partitions):
            for entry_id, fields in self.client.xrange(self.keys("outputs", partition=partition)):
                said += [(entry_id.decode(), line) for line in fields[b"d"].split(b"\n")]
        return said


@pytest.fixture(scope="session")
def until():
    """`until(question)` waits until `question()` is true and returns what it said."""
    return eventually


@pytest.fixture(scope="session")
def town_of():
    """`town_of("a", "b", …)`: a town of these stores."""
    return Town


@pytest.fixture(scope="session")
def service_of(tmp_path_factory):
    """`with service_of(redis, mqtt, town, …) as service`; nothing of it runs yet, and nothing of it is left."""

    @contextlib.contextmanager
    def make(redis, mqtt, town, **options):
        service = Service(tmp_path_factory.mktemp("service"), redis, mqtt, town, **options)
        try:
            yield service
        finally:
            service.stop()

    return make


@pytest.fixture(params=[1, 3], ids=["one partition", "three partitions"])
def partitions(request):
    """Into how many the log of a test is divided."""
    return request.param
