"""A town at a real broker."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from geo_service.embedded.servers import start_servers
from geo_service.errors import InvalidInputError, UnreachableError
from geo_service.simulator import live
from geo_service.simulator.scenario import DEMO


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """One of our own: a town fills it with topics that other tests use."""
    with start_servers(tmp_path_factory.mktemp("town"), redis=False) as servers:
        yield servers.mqtt_url


def eventually(question):
    deadline = time.monotonic() + 30
    while not (answer := question()):
        assert time.monotonic() < deadline, f"still {answer!r}"
        time.sleep(0.02)
    return answer


class Town:
    """A town run in a thread, stopped at the end."""

    def __init__(self, broker, **options):
        self.stop, self.traffic, self.said = threading.Event(), None, []
        self.seed = options.get("seed", 1)
        self._thread = threading.Thread(target=self._run, args=(broker,), kwargs=options)
        self._thread.start()

    def _run(self, broker, **options):
        options = {"seed": 1, "phones": 200, "speed": 10, "scenario": DEMO, "notify": self.said.append, **options}
        self.traffic = live.run(broker, stop=self.stop, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()


@pytest.fixture
def listen(broker):
    """`listen(topic)` collects what comes: a list of (topic, payload, retained)."""
    clients = []

    def start(topic, client_id=""):
        heard, subscribed = [], threading.Event()
        client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, reconnect_on_failure=False)
        client.on_message = lambda _client, _data, message: heard.append(
            (message.topic, message.payload, message.retain)
        )
        client.on_subscribe = lambda *_: subscribed.set()
        host, _, port = broker.removeprefix("mqtt://").partition(":")
        client.connect(host, int(port))
        client.subscribe(topic, 1)
        client.loop_start()
        clients.append(client)
        assert subscribed.wait(10)
        return client, heard

    yield start
    for client in clients:
        client.disconnect()
        client.loop_stop()


def test_phones_and_sensors_speak_on_their_topics_with_the_time_of_now(broker, listen):
    _, heard = listen("#")
    with Town(broker) as town:
        eventually(
            lambda: {"ping", "sensor"} <= {topic.split("/")[2] for topic, *_ in heard if topic.startswith("geo/")}
        )
        eventually(lambda: any(topic.startswith("owntracks/") for topic, *_ in heard))
    eventually(lambda: len(heard) >= town.traffic.published)
    assert town.traffic.acknowledged == town.traffic.published == len(heard) > 0
    assert town.traffic.dropped == town.traffic.unreadable == town.traffic.reconnects == 0
    assert not any(retained for *_, retained in heard)
    ping = next(json.loads(payload) for topic, payload, _ in heard if topic.startswith("geo/v1/ping/"))
    assert abs(ping["time"] - time.time()) < 120


def test_shoppers_go_for_the_offers_they_get(broker, listen):
    client, heard = listen("geo/v1/ping/+")
    with Town(broker, seed=2) as town:
        eventually(lambda: len(heard) > 20)
        client.publish("geo/v1/device/phone0000/offers", "no offer", 1)
        client.publish("geo/v1/device/phone0000/offers", json.dumps({"store": "emberoat", "decision": "held_out"}), 1)
        devices = {topic.rpartition("/")[2] for topic, *_ in heard}
        for device in devices:
            client.publish(f"geo/v1/device/{device}/offers", json.dumps({"kind": "offer", "store": "emberoat"}), 1)
        time.sleep(1)
    assert town.traffic.unreadable == 1
    assert town.traffic.offers == len(devices)
    assert 0 < town.traffic.followed < len(devices)


def test_a_town_that_loses_its_broker_comes_back_and_goes_on(broker, listen):
    _, heard = listen("geo/v1/ping/+")
    with Town(broker, seed=3) as town:
        eventually(lambda: heard)
        # The broker drops a client whose name another one takes.
        host, _, port = broker.removeprefix("mqtt://").partition(":")
        impostor = Client(
            CallbackAPIVersion.VERSION2, client_id=f"simulator-{os.getpid()}-3", reconnect_on_failure=False
        )
        impostor.connect(host, int(port))
        impostor.loop_start()
        eventually(lambda: len(town.said) >= 2)
        already = len(heard)
        eventually(lambda: len(heard) > already)
        impostor.disconnect()
        impostor.loop_stop()
    assert town.traffic.reconnects >= 1
    assert "lost" in town.said[0]
    assert "again" in town.said[1]
    assert town.traffic.acknowledged == town.traffic.published


def test_where_no_broker_answers_that_is_what_is_said():
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:1"):
        live.run("mqtt://127.0.0.1:1", seed=1, phones=1, speed=1, stop=threading.Event(), patience_s=0.3)


def test_a_wrong_url_is_refused():
    with pytest.raises(InvalidInputError, match="mqtt://"):
        live.run("http://127.0.0.1", seed=1, phones=1, speed=1, stop=threading.Event())


def test_certificates_that_are_not_there_are_said(tmp_path):
    with pytest.raises(InvalidInputError, match="cannot use the certificates"):
        live.run(f"mqtts://127.0.0.1?ca={tmp_path}/no.pem", seed=1, phones=1, speed=1, stop=threading.Event())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_its_process_stays_light(broker):
    """Under 60 MB, none of the service's heavy parts in it."""
    script = f"""
import sys, threading
from geo_service.simulator import live
stop = threading.Event()
threading.Timer(2, stop.set).start()
assert live.run({broker!r}, seed=4, phones=300, speed=10, stop=stop).published > 0
heavy = {{"shapely", "h3", "litestar", "redis", "hypothesis"}} & {{name.partition(".")[0] for name in sys.modules}}
assert not heavy, heavy
# Not getrusage: its maximum is inherited from the process that forked this one.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60_000
