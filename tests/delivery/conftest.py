import socket
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager
from itertools import count

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from geo_service.delivery.mqtt_reader import MqttReader
from geo_service.delivery.mqtt_url import BrokerUrl
from geo_service.embedded.servers import find_mosquitto, start_servers

from .webhook_office import Office, Receiver

_numbers = count()


def _eventually(question, timeout_s=20.0):
    """Wait until `question()` is true."""
    deadline = time.monotonic() + timeout_s
    while not (answer := question()):
        assert time.monotonic() < deadline, f"still {answer!r} after {timeout_s} s"
        time.sleep(0.01)
    return answer


@pytest.fixture
def eventually():
    """`eventually(question)` waits until `question()` is true and returns what it said."""
    return _eventually


@pytest.fixture
def name(request):
    """A name that no other test uses, for topics and client ids."""
    return f"{request.node.name.split('[')[0][:30]}-{next(_numbers)}-{time.time_ns() % 10**9}"


class Inbox:
    """What a reader handed over."""

    def __init__(self):
        self.batches = []
        self.refused = []
        self.lock = threading.Lock()

    def take(self, batch):
        with self.lock:
            self.batches.append(batch)

    def refuse(self, topic, reason):
        self.refused.append((topic, reason))

    @property
    def messages(self):
        with self.lock:
            return [message for batch in self.batches for message in batch]

    @property
    def payloads(self):
        return [message.payload for message in self.messages]

    def expect(self, number):
        _eventually(lambda: len(self.messages) >= number)
        return self.messages


@pytest.fixture
def closed_port():
    """A port where nobody listens, and nobody else can begin to."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def mosquitto(tmp_path):
    """Run a mosquitto with a configuration of the test's own: `with mosquitto("allow_anonymous true") as port`."""
    if find_mosquitto() is None:
        pytest.skip("no mosquitto is installed")

    @contextmanager
    def run(*lines, port=None):
        port = port or _free_port()
        configuration = tmp_path / f"mosquitto-{port}.conf"
        configuration.write_text("\n".join(["user root", f"listener {port} 127.0.0.1", *lines, ""]))
        with subprocess.Popen([find_mosquitto(), "-c", configuration], stderr=subprocess.DEVNULL) as server:
            try:
                _eventually(lambda: _listens(port))
                yield port
            finally:
                server.terminate()

    return run


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def inbox():
    return Inbox()


@pytest.fixture
def read():
    """Start readers that stop with the test."""
    readers = []

    def start(url, **options):
        reader = MqttReader(url, **options)
        reader.start()
        readers.append(reader)
        return reader

    yield start
    for reader in readers:
        reader.stop()


@pytest.fixture
def publish():
    """Publish with plain paho: `publish(url, topic, payload, …)` returns once the broker has it."""

    def send(url, *messages, qos=1, retain=False):
        broker = BrokerUrl.parse(url)
        client = Client(CallbackAPIVersion.VERSION2)
        client.max_inflight_messages_set(0)
        client.connect(broker.host, broker.port)
        client.loop_start()
        try:
            sent = [client.publish(topic, payload, qos, retain) for topic, payload in messages]
            for info in sent:
                info.wait_for_publish(20)
        finally:
            client.disconnect()
            client.loop_stop()

    return send


@pytest.fixture(params=["fast", "plain"])
def plain(request):
    """Both ways of reading."""
    return request.param == "plain"


@pytest.fixture
def options(name, inbox):
    """What a reader of this test's own topics is made with."""

    def make(**more):
        return {"client_id": name, "topics": [f"{name}/#"], "on_batch": inbox.take} | more

    return make


@pytest.fixture(params=["path", "wheel"], scope="module")
def broker(request, tmp_path_factory):
    """Each broker that we start: mosquitto where it is installed, and amqtt."""
    if request.param == "path" and find_mosquitto() is None:
        pytest.skip("no mosquitto is installed")
    folder = tmp_path_factory.mktemp("broker")
    with start_servers(folder, redis=False, prefer=request.param) as servers:
        yield servers.mqtt_url


@pytest.fixture
def receiver():
    """An endpoint."""
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def office(redis, request):
    """Make senders of webhooks that stop with the test."""
    with ExitStack() as stack:

        def make(**options):
            made = Office(redis, f"w{abs(hash(request.node.name))}:", **options)
            stack.callback(made.stop)
            return made

        yield make
    for key in redis.scan_iter(match=f"w{abs(hash(request.node.name))}:*"):
        redis.delete(key)
