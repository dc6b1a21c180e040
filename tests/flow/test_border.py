"""What may not be stored never reaches the log, whichever way it came; and the log alone still says the same."""

import json
import time

import pytest

from geo_service.catalogue.documents import Sensitive
from geo_service.catalogue.site import Site
from geo_service.delivery.mqtt_packets import Message
from geo_service.flow.entries import START, Consent, Forget, Pings
from geo_service.flow.ingest import Ingest
from geo_service.flow.partition import Rules
from geo_service.flow.recording import Line
from geo_service.flow.replay import Replay
from geo_service.people.sensitive import SensitivePlaces
from geo_service.storage.consents import Consents, LiveBorder
from geo_service.storage.redis_log import RedisLog

CLINIC = Sensitive(id="clinic", geometry={"type": "Point", "coordinates": [24.95, 60.17]}, radius_m=50)


def ping(lat=60.2, lon=24.9):
    return json.dumps({"time": time.time(), "lat": lat, "lon": lon}).encode()


class Border:
    """The border's shell on an empty Redis."""

    def __init__(self, client, *, assumed=True):
        client.flushdb()
        self.log, self.counts = RedisLog.open(client, 1), {}
        self.border = LiveBorder(Consents(client), assumed=assumed)
        self.ingest = Ingest(self.log, "test", lambda: time.time_ns() // 10**6, self._count, border=self.border)

    def _count(self, name, number):
        self.counts[name] = self.counts.get(name, 0) + number

    def mqtt(self, *messages):
        self.ingest.take_batch(
            [Message(topic, payload, 1, False, False, n) for n, (topic, payload) in enumerate(messages)]
        )

    def http(self, path, body, device=None):
        return self.ingest.take_one(f"http:{path}", body, device)

    def devices(self):
        """Whose pings are in the log."""
        entries = self.log.read({0: START}, limit=1000, wait_s=0.01).get(0, [])
        return [device for entry in entries if isinstance(entry.body, Pings) for device in entry.body.batch.devices]

    def is_anywhere(self, word):
        """Whether a word stands in any entry but a consent."""
        entries = self.log._client.xrange(self.log.keys("log", partition=0))
        return any(word in fields[b"d"] for _, fields in entries if fields[b"k"] != b"consent")


@pytest.fixture
def border(redis):
    return Border(redis)


def test_who_has_refused_leaves_nothing_in_the_log(border):
    border.http("/v1/people/no-1/consent", b'{"location": false, "version": "2026-03"}')
    border.http("/v1/people/ada.no-2/consent", b'{"location": false}')
    owntracks = json.dumps({"_type": "location", "lat": 60.2, "lon": 24.9, "tst": time.time()}).encode()
    border.mqtt(
        ("geo/v1/ping/no-1", ping()),
        ("geo/v1/ping/yes-1", ping()),
        ("owntracks/ada/no-2", owntracks),
        ("owntracks/ada/yes-2", owntracks),
        ("geo/v1/ping/no-1", b'{"lat": "bad"}'),
    )
    answer = border.http("/v1/pings", b"[" + ping() + b"]", "no-1")
    assert (answer.accepted, answer.dropped, answer.problems) == (0, 1, [])
    assert border.devices() == ["yes-1", "ada.yes-2"]
    assert not border.is_anywhere(b"no-1")
    assert not border.is_anywhere(b"no-2")
    assert border.counts["no_consent"] == 3


def test_who_agrees_again_is_heard_again_at_once(border):
    for agrees in (False, True):
        border.http("/v1/people/p/consent", json.dumps({"location": agrees}).encode())
        border.mqtt(("geo/v1/ping/p", ping()))
    assert border.devices() == ["p"]


def test_where_nothing_is_assumed_a_stranger_leaves_nothing(redis):
    border = Border(redis, assumed=False)
    border.mqtt(("geo/v1/ping/stranger", ping()))
    border.http("/v1/people/p/consent", b'{"location": true}')
    border.mqtt(("geo/v1/ping/p", ping()), ("geo/v1/ping/stranger", ping()))
    assert border.devices() == ["p"]


def test_of_who_is_being_erased_nothing_is_stored_whatever_it_is_about(border):
    Consents(border.log._client).set_answer("p-77", "erased")
    border.http("/v1/people/p-77/consent", b'{"offers": true}')
    border.http("/v1/behaviour", b'{"device": "p-77", "type": "viewed", "category": "bread"}')
    border.mqtt(("geo/v1/ping/p-77", ping()))
    assert border.log.read({0: START}, limit=10, wait_s=0.01) == {}
    border.http("/v1/people/p-77", b"")
    (entry,) = border.log.read({0: START}, limit=10, wait_s=0.01)[0]
    assert entry.body == Forget("p-77")


def test_what_somebody_did_online_is_stored_only_if_they_agree_to_offers(border):
    did = [b'{"device": "%b", "type": "viewed", "category": "bread"}' % name for name in (b"no-9", b"yes-9")]
    border.http("/v1/people/no-9/consent", b'{"offers": true}')
    border.http("/v1/people/no-9/consent", b'{"offers": false, "location": true}')
    taken = [border.http("/v1/behaviour", body) for body in did]
    assert [(each.accepted, each.dropped) for each in taken] == [(0, 1), (1, 0)]
    both = border.http("/v1/behaviour", b"[%b,%b,%b]" % (did[0], did[0], did[1]))
    assert (both.accepted, both.dropped) == (1, 2)
    assert border.is_anywhere(b"yes-9")
    assert not border.is_anywhere(b"no-9")
    border.http("/v1/people/no-9/consent", b'{"offers": true}')
    border.http("/v1/behaviour", did[0])
    assert border.is_anywhere(b"no-9")


def test_from_a_sensitive_place_nothing_is_stored(border):
    border.border.use(SensitivePlaces([CLINIC]))
    border.mqtt(("geo/v1/ping/p", ping()), ("geo/v1/ping/q", ping(60.17, 24.95)))
    assert border.http("/v1/pings", ping(60.1701, 24.95), "p").dropped == 1
    assert border.devices() == ["p"]
    assert border.counts["sensitive"] == 2


def test_the_fold_by_itself_says_what_the_border_saw_to(border):
    """A replay of everything that was sent, without a border for consents, gives what the log gives."""
    from geo_service.catalogue.documents import Fence, Store

    site = Site()
    site.store["s"] = Store(id="s", name="S", lat=60.2, lon=24.9)
    site.fence["f"] = Fence(id="f", geometry={"type": "Point", "coordinates": [24.9, 60.2]}, radius_m=200, store="s")
    site.sensitive["clinic"] = CLINIC
    border.border.use(SensitivePlaces(site.sensitive.values()))
    sent = []

    def http(path, body):
        sent.append((f"http:{path}", body))
        border.http(path, body)

    def mqtt(device, body):
        sent.append((f"geo/v1/ping/{device}", body))
        border.mqtt(sent[-1])

    for number in range(40):
        device = f"p{number % 4}"
        mqtt(device, ping(60.2 + (number % 3) * 0.01, 24.9))
        mqtt(device, ping(60.17, 24.95))
        if number % 5 == 0:
            http(f"/v1/people/{device}/consent", json.dumps({"location": number % 2 == 0}).encode())
    entries = border.log.read({0: START}, limit=1000, wait_s=0.01)[0]
    assert sum(len(entry.body.batch) for entry in entries if isinstance(entry.body, Pings)) < 40
    rules = Rules("strict")
    now_ms = entries[0].id.ms
    told = Replay(site, rules).run([Line(now_ms + n, topic, body, False) for n, (topic, body) in enumerate(sent)])
    folded = Replay(site, rules)
    again = list(folded._begin(now_ms))
    for entry in entries:
        assert isinstance(entry.body, Pings | Consent)
        again += folded._advance(entry.id.ms, entry.body)

    def said(outputs):
        kinds = [each for each in outputs if type(each).__name__ == "Crossing"]
        return [(each.device, each.type, each.fence, each.time) for each in kinds if each.reason == "observed"]

    found = said(told)
    assert found
    assert found == said(again)
