"""kill -9 of the worker in mid-stream: nothing that was acknowledged is lost, nothing is heard or counted twice."""

import json
import random
import threading
import time
from collections import Counter

import pytest

from geo_service import outputs
from geo_service.embedded.servers import find_mosquitto, start_servers
from geo_service.flow.entries import Entry, EntryId, Pings, Readings, decode_body
from geo_service.flow.ledger import MemoryLedger
from geo_service.flow.partition import Partition, Rules
from geo_service.flow.recording import Line
from geo_service.flow.replay import Replay
from geo_service.settings import Settings

STORES = ("c0", "c1", "c2", "c3", "c4")
PHONES = 40
CAP = 50
KILLS = 4
WALK = (*range(700, 0, -90), *range(30, 700, 90))
"""Metres from the store, a second apart: no faster than a phone is believed to be."""


class Load:
    """Pings and door counts at QoS 1 from a thread, as one phone and one door after the other has something to say."""

    def __init__(self, service, per_s):
        self._town = service.town
        self._client = service.listen()
        self._per_s = per_s
        self._stop = threading.Event()
        self._began_s = round(time.time()) - 240
        self._second = 0
        self.sent = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        for number, (topic, body) in enumerate(self._messages()):
            if self._stop.is_set():
                return
            payload = json.dumps(body).encode()
            self.sent.append((topic, payload, self._client.send(topic, payload)))
            if number % 20 == 0:
                time.sleep(20 / self._per_s)

    def _messages(self):
        """Phones walk to their store and away again. Doors let one or two in, some number what they say and some do not."""
        random_ = random.Random(11)
        second = said = 0
        while True:
            for phone in range(PHONES):
                store = STORES[phone % len(STORES)]
                metres = WALK[(second + phone) % len(WALK)]
                yield f"geo/v1/ping/w{phone}", self._town.ping(store, metres, at_s=self._began_s + second)
                if random_.random() < 0.3:
                    store = random_.choice(STORES)
                    body = {"in": random_.choice((1, 1, 1, 2)), "out": random_.choice((1, 1, 1, 2))}
                    said += 1
                    yield f"geo/v1/sensor/{store}.door", body | ({"seq": said} if STORES.index(store) % 2 else {})
            second += 1
            self._second = second
            while self._began_s + second > time.time() + 60 and not self._stop.is_set():
                time.sleep(0.1)

    @property
    def is_fresh(self):
        """Whether phones now tell where they are, and not where they were some minutes ago."""
        return self._second + self._began_s > time.time() - 30

    def finish(self):
        """Stop, and wait until the broker has acknowledged everything."""
        self._stop.set()
        self._thread.join()
        for _, _, info in self.sent:
            info.wait_for_publish(30)
        return [(topic, payload) for topic, payload, _ in self.sent]


class Recorder:
    """Keeps every entry of the log before it is trimmed."""

    def __init__(self, service):
        self._service = service
        self.entries = {partition: [] for partition in range(service.partitions)}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        keys = {self._service.keys("log", partition=partition): partition for partition in self.entries}
        after = dict.fromkeys(keys, "0-0")
        while not self._stop.is_set():
            for stream, rows in self._service.client.xread(after, block=100):
                partition = keys[stream.decode()]
                after[stream.decode()] = rows[-1][0]
                self.entries[partition] += [
                    Entry(EntryId.parse(entry_id), decode_body(fields[b"k"].decode(), fields[b"d"]))
                    for entry_id, fields in rows
                ]

    def finish(self):
        self._stop.set()
        self._thread.join()
        return self.entries


def uninterrupted(entries, partitions, rules):
    """The same entries, each partition folded in one go: `(id of the entry, line)` as the outputs hold them."""
    ledger = MemoryLedger()
    said = []
    for number in range(partitions):
        partition = Partition(number, partitions, ledger, rules)
        for entry in entries[number]:
            step = partition.advance(entry)
            said += [(str(entry.id), outputs.encode(output)) for output in step.outputs]
            ledger.commit(step.to_commit, entry.id.ms)
    return said


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    if find_mosquitto() is None:
        pytest.skip("no mosquitto is installed")
    with start_servers(tmp_path_factory.mktemp("servers"), fsync="everysec") as servers:
        yield servers


@pytest.mark.slow
@pytest.mark.parametrize(("partitions", "presence"), [(1, "strict"), (4, "steady")])
def test_kill_minus_nine_in_mid_stream_changes_nothing(servers, town_of, service_of, until, partitions, presence):
    # So large that pacing has nothing to fear of doors through which dozens come every second.
    town = town_of(*STORES, comfort=400_000, total=CAP)
    random_ = random.Random(partitions)
    options = {"partitions": partitions, "presence": presence}
    with service_of(servers.redis_url, servers.mqtt_url, town, **options) as service:
        recorder = Recorder(service)
        worker = service.start_worker()
        service.await_worker()
        heard = service.listen(*(f"geo/v1/store/{store}/+" for store in STORES))
        load = Load(service, per_s=1000)
        for _ in range(KILLS):
            time.sleep(random_.uniform(0.5, 2))
            worker.process.kill()
            worker.process.wait()
            worker = service.start_worker()
            # The next kill comes while it works off what has gathered, or soon after.
            until(lambda worker=worker: "taken over" in worker.last_words())
        until(lambda: load.is_fresh)
        time.sleep(1)
        sent = load.finish()
        people = people_of(sent)
        service.await_worker()
        for store in STORES:
            heard.expect(
                f"geo/v1/store/{store}/occupancy", in_total=people[store, "in"], out_total=people[store, "out"]
            )
        worker.stop()
        assert worker.process.returncode == 0
        entries, said = recorder.finish(), service.outputs()
        rules = Rules(presence, Settings().assumed, None)

    assert_all_is_in_the_log_once(sent, entries)
    whole = uninterrupted(entries, partitions, rules)
    assert without_offers(said) == without_offers(whole)
    if partitions == 1:
        assert said == whole
    decoded = [json.loads(line) for _, line in said]
    ids = [each["id"] for each in decoded if each["kind"] in {"crossing", "visit", "offer"}]
    assert len(ids) == len(set(ids))
    assert sum(each["kind"] == "offer" and each["decision"] == "sent" for each in decoded) == CAP
    for what in ("crossing", "visit"):
        delivered = {said["id"] for store in STORES for said in heard.on(f"geo/v1/store/{store}/{what}")}
        assert {each["id"] for each in decoded if each["kind"] == what and each["device"].startswith("w")} <= delivered
    if presence == "strict":
        assert movements(decoded) == movements(replayed(town, sent, rules))


def people_of(sent):
    """How many went in and out of each store, as its door said."""
    people = Counter()
    for topic, payload in sent:
        if topic.startswith("geo/v1/sensor/"):
            store, body = topic.split("/")[-1].removesuffix(".door"), json.loads(payload)
            people[store, "in"] += body["in"]
            people[store, "out"] += body["out"]
    return people


def assert_all_is_in_the_log_once(sent, entries):
    """Every acknowledged ping is there; every person at a door exactly once."""
    pings, people = set(), Counter()
    for entry in (entry for part in entries.values() for entry in part):
        if isinstance(entry.body, Pings):
            batch = entry.body.batch
            pings.update(zip(batch.devices, batch.time_ms.tolist(), strict=True))
        elif isinstance(entry.body, Readings):
            for reading in entry.body.readings:
                people[reading.sensor.removesuffix(".door"), "in"] += reading.ins
                people[reading.sensor.removesuffix(".door"), "out"] += reading.outs
    assert people == people_of(sent)
    said = [(topic.split("/")[-1], payload) for topic, payload in sent if topic.startswith("geo/v1/ping/")]
    assert {(device, round(json.loads(payload)["time"] * 1000)) for device, payload in said} <= pings


def without_offers(said):
    """Which of several partitions gets the last offers of a cap is nobody's promise."""
    return [(entry_id, line) for entry_id, line in said if not line.startswith(b'{"kind":"offer"')]


def replayed(town, sent, rules):
    """What the messages come to when somebody replays them."""
    now_ms = time.time_ns() // 1_000_000
    lines = [Line(now_ms + number, topic, payload, False) for number, (topic, payload) in enumerate(sent)]
    return [json.loads(outputs.encode(output)) for output in Replay(town.site, rules).run(lines)]


def movements(said):
    """Who crossed what and when, apart from the probes that asked whether the worker was there."""
    return Counter(
        (each["device"], each["type"], each["fence"], each["time"])
        for each in said
        if each["kind"] == "crossing" and each["device"].startswith("w")
    )
