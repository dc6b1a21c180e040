"""Queues of webhooks: in order, bounded, and nothing twice or lost between a read and a write."""

import pytest

from geo_service.delivery.webhook_endpoints import EndpointBody, made, rotated
from geo_service.delivery.webhook_feed import Queued
from geo_service.delivery.webhook_records import OfferTold
from geo_service.flow.entries import EntryId
from geo_service.flow.log import Commit
from geo_service.storage.redis_log import RedisLog
from geo_service.storage.retention import DEAD_LETTERS_MS, DeadLetterRetention
from geo_service.storage.webhooks import READER, WebhookEndpoints, WebhookQueues

NOW_MS = 1_772_366_400_000


def queued(*numbers, endpoint="wh-1"):
    return [Queued(endpoint, f"0-{number}-0", "crossing", b'{"n":%d}' % number) for number in numbers]


@pytest.fixture
def queues(client, keys):
    for name in ("wh-1", "wh-2"):
        body = EndpointBody(url="https://example.com/", kinds=["crossing"])
        WebhookEndpoints(client, keys=keys).add(made(body, name, "whsec_", NOW_MS))
    return WebhookQueues(client, keys=keys, most_waiting=5, most_dead=3)


def ids(deliveries):
    return [int(delivery.id.split("-")[1]) for delivery in deliveries]


def test_deliveries_wait_in_order_and_leave_one_by_one(queues):
    queues.enqueue(queued(1, 2, 3), {}, NOW_MS)
    head, state = queues.head("wh-1")
    assert (head.id, head.kind, head.body, head.queued_ms, head.attempts) == (
        "0-1-0",
        "crossing",
        b'{"n":1}',
        NOW_MS,
        0,
    )
    assert (state.waiting, state.next_ms, state.failures) == (3, 0, 0)
    queues.delivered("wh-1", head, "200 OK", NOW_MS + 5)
    assert ids(queues.waiting("wh-1", 10)) == [2, 3]
    (fate,) = queues.fates("wh-1", 10)
    assert (fate.id, fate.outcome, fate.attempts, fate.reason, fate.at_ms) == (
        "0-1-0",
        "delivered",
        1,
        "200 OK",
        NOW_MS + 5,
    )


def test_a_failure_stays_first_and_says_when_it_is_tried_again(queues):
    queues.enqueue(queued(1, 2), {}, NOW_MS)
    for attempt in (1, 2):
        head, _ = queues.head("wh-1")
        queues.failed("wh-1", head, "503 Busy", NOW_MS + attempt, NOW_MS + 1000 * attempt)
    head, state = queues.head("wh-1")
    assert (head.id, head.attempts, head.reason) == ("0-1-0", 2, "503 Busy")
    assert (state.next_ms, state.failures, state.failed) == (NOW_MS + 2000, 2, 2)
    assert [delivery.attempts for delivery in queues.waiting("wh-1", 10)] == [2, 0]
    queues.delivered("wh-1", head, "200 OK", NOW_MS)
    _, state = queues.head("wh-1")
    assert (state.next_ms, state.failures, state.attempts) == (0, 0, 0)


def test_what_is_given_up_can_be_sent_again(queues):
    queues.enqueue(queued(1, 2), {}, NOW_MS)
    head, _ = queues.head("wh-1")
    queues.give_up("wh-1", head, "500 Oh", NOW_MS, NOW_MS + 9)
    (letter,) = queues.dead("wh-1", None, 10)
    assert (letter.id, letter.attempts, letter.reason, letter.body) == ("0-1-0", 1, "500 Oh", b'{"n":1}')
    assert queues.resend("wh-1", ["1-1"], NOW_MS) == 0
    assert queues.resend("wh-1", [letter.entry], NOW_MS + 50) == 1
    assert ids(queues.waiting("wh-1", 10)) == [2, 1]
    assert queues.dead("wh-1", None, 10) == []
    state = queues.states(["wh-1"])["wh-1"]
    assert (state.next_ms, state.failures, state.dead) == (0, 0, 1)


def test_giving_up_twice_is_giving_up_once(queues):
    queues.enqueue(queued(1), {}, NOW_MS)
    head, _ = queues.head("wh-1")
    queues.give_up("wh-1", head, "500", NOW_MS, 0)
    queues.give_up("wh-1", head, "500", NOW_MS, 0)
    assert len(queues.dead("wh-1", None, 10)) == 1


def test_a_full_queue_overflows_into_the_dead_letters_and_those_are_bounded_too(queues):
    queues.enqueue(queued(*range(1, 10)), {}, NOW_MS)
    state = queues.states(["wh-1"])["wh-1"]
    assert (state.waiting, state.dead_letters, state.overflowed, state.lost) == (5, 3, 4, 1)
    assert ids(queues.waiting("wh-1", 10)) == [1, 2, 3, 4, 5]
    assert ids(queues.dead("wh-1", None, 10)) == [7, 8, 9]
    assert queues.resend("wh-1", None, NOW_MS) == 0
    assert queues.give_up_all("wh-1", "switched off", NOW_MS) == 5
    assert queues.states(["wh-1"])["wh-1"].waiting == 0
    assert ids(queues.dead("wh-1", None, 10)) == [3, 4, 5]


def test_queueing_and_the_readers_position_are_one_step(client, keys, queues):
    log = RedisLog.open(client, 2, keys=keys)
    log.acquire(1)
    log.commit(1, Commit([(EntryId(7, 0), b"{}"), (EntryId(8, 0), b"{}")], {}, None))
    reader = log.reader(READER)
    assert [entry for _, entry, _ in reader.read(10, 0.01)] == [(7, 0), (8, 0)]
    queues.enqueue(queued(7), {1: EntryId(7, 0)}, NOW_MS)
    assert [entry for _, entry, _ in log.reader(READER).read(10, 0.01)] == [(8, 0)]


def test_endpoints_are_kept_changed_and_removed_with_what_waits(client, keys, queues):
    endpoints = WebhookEndpoints(client, keys=keys)
    endpoints.remove("wh-2")
    endpoint = made(EndpointBody(url="https://a.example/", kinds=["crossing"]), "wh-1", "whsec_AAAA", NOW_MS)
    before = endpoints.version()
    endpoints.add(endpoint)
    assert endpoints.version() > before
    assert endpoints.all() == [endpoint] == [endpoints.get("wh-1")]
    changed = endpoints.change("wh-1", lambda found: rotated(found, "whsec_BBBB", NOW_MS))
    assert changed.secrets_at(NOW_MS) == ["whsec_BBBB", "whsec_AAAA"]
    assert changed.secrets_at(NOW_MS + 24 * 3_600_000) == ["whsec_BBBB"]
    assert endpoints.change("wh-2", lambda found: found) is None
    queues.enqueue(queued(1), {}, NOW_MS)
    assert endpoints.remove("wh-1")
    assert not endpoints.remove("wh-1")
    assert queues.states(["wh-1"])["wh-1"].waiting == 0


def offered(*numbers, endpoint="wh-1"):
    return [
        each._replace(kind="offer", offer=f"o{each.id.split('-')[1]}") for each in queued(*numbers, endpoint=endpoint)
    ]


def test_how_an_offer_fares_is_told_for_each_endpoint(queues):
    queues.enqueue([*offered(1, 2), *offered(1, endpoint="wh-2"), *queued(3)], {}, NOW_MS)
    assert {key: (told.state, told.attempts) for key, told in queues.told_of("o1").items()} == {
        "wh-1": ("queued", 0),
        "wh-2": ("queued", 0),
    }
    head, _ = queues.head("wh-1")
    assert head.offer == "o1"
    queues.failed("wh-1", head, "503", NOW_MS + 1, NOW_MS + 2)
    assert queues.told_of("o1")["wh-1"] == OfferTold("retrying", 1, NOW_MS + 1)
    queues.delivered("wh-1", queues.head("wh-1")[0], "204", NOW_MS + 3)
    assert queues.told_of("o1")["wh-1"] == OfferTold("delivered", 2, NOW_MS + 3)
    queues.give_up("wh-1", queues.head("wh-1")[0], "500", NOW_MS + 4, NOW_MS + 5)
    assert queues.told_of("o2")["wh-1"] == OfferTold("dead", 1, NOW_MS + 4)
    queues.resend("wh-1", None, NOW_MS + 6)
    assert queues.told_of("o2")["wh-1"] == OfferTold("queued", 0, NOW_MS + 6)
    queues.give_up_all("wh-1", "switched off", NOW_MS + 7)
    assert queues.told_of("o2")["wh-1"].state == "dead"
    assert queues.told_of("nobody") == {}


def test_an_offer_that_finds_the_queue_full_is_told_to_be_dead(queues):
    queues.enqueue(offered(*range(7)), {}, NOW_MS)
    assert [queues.told_of(f"o{number}")["wh-1"].state for number in range(7)] == ["queued"] * 5 + ["dead"] * 2


def test_notes_of_offers_end_by_themselves(queues, client, keys):
    queues.enqueue(offered(1), {}, NOW_MS)
    assert 0 < client.ttl(keys("webhook_offer", offer="o1")) <= 30 * 86_400


@pytest.mark.parametrize("what", ["enqueue", "delivered", "failed", "give_up"])
def test_what_is_noted_a_moment_after_an_endpoint_was_removed_stays_nowhere(queues, client, keys, what):
    queues.enqueue(queued(1, 2), {}, NOW_MS)
    head, _ = queues.head("wh-1")
    assert WebhookEndpoints(client, keys=keys).remove("wh-1")
    if what == "enqueue":
        queues.enqueue(queued(3), {}, NOW_MS)
    elif what == "delivered":
        queues.delivered("wh-1", head, "204", NOW_MS)
    else:
        getattr(queues, what)("wh-1", head, "500", NOW_MS, NOW_MS + 1)
    assert [key for key in client.keys(f"{keys.prefix}*") if b"wh-1" in key] == []


def test_only_what_was_queued_by_then_is_given_up(queues):
    for number in (1, 2, 3):
        queues.enqueue(queued(number), {}, NOW_MS + number)
    assert queues.give_up_all("wh-1", "500", NOW_MS + 9, NOW_MS + 2) == 2
    assert ids(queues.waiting("wh-1", 9)) == [3]
    assert ids(queues.dead("wh-1", None, 9)) == [1, 2]


def test_a_dead_letter_lives_a_week_however_often_others_come(queues, client, keys):
    queues.enqueue(queued(1, 2), {}, NOW_MS)
    queues.give_up_all("wh-1", "500", NOW_MS)
    first, _ = queues.dead("wh-1", None, 9)
    given_up_ms = int(first.entry.split("-")[0])
    retention = DeadLetterRetention(client, keys=keys)
    assert retention.expire(given_up_ms + DEAD_LETTERS_MS) == 0
    assert retention.expire(given_up_ms + DEAD_LETTERS_MS + 60_000) == 2
    assert queues.dead("wh-1", None, 9) == []
    assert queues.states(["wh-1"])["wh-1"].lost == 2
