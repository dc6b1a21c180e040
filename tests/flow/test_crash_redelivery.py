"""Messages that a broker delivers again: what counts people counts once, and nothing new is taken for a repeat."""

import random

from geo_service.catalogue.documents import Sensor, Store
from geo_service.delivery.mqtt_packets import Message
from geo_service.errors import UnreachableError
from geo_service.flow.entries import START, Readings
from geo_service.flow.ingest import Ingest
from geo_service.flow.intake import SensorDirectory
from geo_service.flow.log import UNACKNOWLEDGED, MemoryLog

DIRECTORY = SensorDirectory({"door": Sensor(id="door", store="s1")}, {"s1": Store(id="s1", name="One", lat=1, lon=2)})
MIDS = 65_535
PING = ("geo/v1/ping/d1", b'{"time":1780740000,"lat":1,"lon":2}')
DOOR = ("geo/v1/sensor/door", b'{"in":1,"out":0}')
"""Without a number or a time: one such message is as good as another."""


class Session:
    """A broker's session: ids in turn; what is not acknowledged comes again with the next connection, in order."""

    def __init__(self, messages):
        self._messages = messages
        self._sent = 0
        self._begin = 0
        self.acknowledged = 0

    def connect(self):
        self._begin = self.acknowledged

    def batch(self, limit):
        """The next messages of this connection."""
        end = min(self._begin + limit, len(self._messages), self.acknowledged + UNACKNOWLEDGED)
        found = [
            Message(*self._messages[at], 1, False, at < self._sent, at % MIDS + 1) for at in range(self._begin, end)
        ]
        self._begin = end
        self._sent = max(self._sent, end)
        return found


class Worker:
    """The reader's side: takes batches, acknowledges what is in the log."""

    def __init__(self, log):
        self._log = log
        self.counts = {}
        self.ingest = Ingest(self, "test", lambda: 1_780_740_000_000, self._count)
        self.ingest.use(DIRECTORY)
        self.fails = 0

    def _count(self, name, number):
        self.counts[name] = self.counts.get(name, 0) + number

    def __getattr__(self, name):
        return getattr(self._log, name)

    def append(self, *arguments, **more):
        if self.fails:
            self.fails -= 1
            raise UnreachableError("redis", "down")
        return self._log.append(*arguments, **more)


def people_in(log):
    entries = log.read({0: START}, limit=10**9, wait_s=0)[0]
    return sum(reading.ins for entry in entries if isinstance(entry.body, Readings) for reading in entry.body.readings)


def run(messages, random_, crash_share):
    """Deliver all with crashes before the append, and after it with some or none of the acknowledgements heard."""
    log, session = MemoryLog(), Session(messages)
    worker = Worker(log)
    crashes = redelivered = 0
    while session.acknowledged < len(messages):
        batch = session.batch(random_.randint(1, 400))
        fate = random_.random()
        if fate > crash_share / 2:
            worker.fails = random_.choice([0, 0, 0, 1])
            try:
                worker.ingest.take_batch(batch)
            except UnreachableError:
                worker.ingest.take_batch(batch)
        if fate > crash_share:
            session.acknowledged += len(batch)
            continue
        if fate > crash_share / 2:
            session.acknowledged += random_.randint(0, len(batch))
        crashes += 1
        redelivered += worker.counts.get("redelivered", 0)
        worker = Worker(log)
        session.connect()
    return people_in(log), crashes, redelivered + worker.counts.get("redelivered", 0)


def test_every_crossing_of_a_door_is_counted_once_over_many_rounds_of_message_ids():
    random_ = random.Random(7)
    messages = [DOOR if random_.random() < 0.5 else PING for _ in range(MIDS + 30_000)]
    people, crashes, redelivered = run(messages, random_, 0.2)
    assert crashes > 100
    assert redelivered > 1000
    assert people == messages.count(DOOR)


def test_a_new_message_with_id_and_content_of_an_old_one_is_no_repeat():
    log = MemoryLog()
    door = Message(*DOOR, 1, False, False, 1)
    Worker(log).ingest.take_batch([door])
    worker = Worker(log)
    for _ in range(MIDS // 5000):
        worker.ingest.take_batch([Message(*PING, 1, False, False, 2)] * 5000)
    # Delivered first to a worker that died before it could append it.
    Worker(log).ingest.take_batch([Message(*DOOR, 1, False, True, 1)])
    assert people_in(log) == 2


def test_a_message_that_comes_again_and_again_stays_known():
    log = MemoryLog()
    Worker(log).ingest.take_batch([Message(*DOOR, 1, False, False, 1)])
    for _ in range(5):
        worker = Worker(log)
        again = [Message(*DOOR, 1, False, True, 1)] + [Message(*PING, 1, False, True, 2)] * (UNACKNOWLEDGED - 1)
        worker.ingest.take_batch(again)
        assert worker.counts["redelivered"] == 1
    assert people_in(log) == 1
