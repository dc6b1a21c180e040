"""What people agreed to is written with the log's entry, and the border hears of it at once."""

import pytest

from geo_service.flow.entries import START, Consent, Pings
from geo_service.pings.batch import PingBatch
from geo_service.storage.connection import connect
from geo_service.storage.consents import LOOK_WITHIN_S, MOST_KEPT, Consents, LiveBorder
from geo_service.storage.redis_log import RedisLog


@pytest.fixture
def consents(client, keys):
    return Consents(client, keys=keys)


@pytest.fixture
def say(client, keys):
    log = RedisLog.open(client, 2, keys=keys)

    def say(device, version=None, **purposes):
        log.append([(1, Consent(device, purposes, version))])

    return say


def test_a_consent_is_kept_with_its_time_and_the_version_of_its_text(client, consents, say):
    before = client.time()[0] * 1000
    say("phone-1", "2026-03", location=True, analytics=False)
    say("phone-1", offers=True)
    first, second = consents.history("phone-1")
    assert (first.purposes, first.version) == ({"location": True, "analytics": False}, "2026-03")
    assert (second.purposes, second.version) == ({"offers": True}, None)
    assert before <= first.at_ms <= second.at_ms
    assert consents.history("phone-2") == []


def test_of_very_many_consents_the_newest_are_kept(consents, say):
    for number in range(MOST_KEPT + 3):
        say("phone-1", str(number), offers=True)
    assert [said.version for said in consents.history("phone-1")] == [str(n) for n in range(3, MOST_KEPT + 3)]


def test_the_border_lets_nobody_in_who_has_refused_from_that_moment(consents, say):
    border = LiveBorder(consents, assumed=True)
    assert border().located.may("phone-1")
    say("phone-1", location=False)
    assert not border().located.may("phone-1")
    say("phone-1", offers=True)
    assert not border().located.may("phone-1")
    say("phone-1", location=True)
    assert border().located.may("phone-1")


def test_where_nothing_is_assumed_only_who_agreed_gets_in(consents, say):
    say("phone-1", location=True)
    border = LiveBorder(consents, assumed=False)
    assert [border().located.may(device) for device in ("phone-1", "phone-2")] == [True, False]
    say("phone-2", location=True)
    say("phone-1", location=False)
    assert [border().located.may(device) for device in ("phone-1", "phone-2")] == [False, True]


def test_who_is_being_erased_stays_out_whatever_they_say_and_is_forgotten_afterwards(consents, say):
    border = LiveBorder(consents, assumed=True)
    border()
    consents.set_answer("phone-1", "erased")
    say("phone-1", location=True)
    assert not border().located.may("phone-1")
    consents.set_answer("phone-1", None)
    assert border().located.may("phone-1")
    assert len(border().located) == 0


def test_a_copy_that_has_not_looked_for_a_while_reads_everything_anew(client, keys, consents, say):
    now = [0.0]
    border = LiveBorder(consents, assumed=True, clock=lambda: now[0])
    say("phone-1", location=False)
    assert not border().located.may("phone-1")
    consents.set_answer("phone-1", None)
    client.zrem(keys("located_changed"), "phone-1")  # as an erasure does in the end
    now[0] += LOOK_WITHIN_S + 1
    assert border().located.may("phone-1")


def test_a_consent_whose_answer_was_lost_is_kept_once(losing_proxy, client, keys, consents):
    with connect(losing_proxy.url, retries=3) as unlucky:
        log = RedisLog.open(unlucky, 1, keys=keys)
        losing_proxy.lose_when = b"phone-1"
        log.append([(0, Consent("phone-1", {"location": False}))])
    assert losing_proxy.lost == 1
    assert len(consents.history("phone-1")) == 1
    assert client.xlen(keys("log", partition=0)) == 1


def test_a_replay_of_the_log_needs_no_border(say, client, keys):
    """The entry says what the border was told."""
    say("phone-1", "2026-03", location=False)
    log = RedisLog.open(client, 2, keys=keys)
    log.append([(1, Pings(PingBatch.from_rows([("phone-1", 1, 1.0, 1.0, 5.0, 0.0, 0.0, 0)])))])
    (entry, _) = log.read({1: START}, limit=10, wait_s=0.01)[1]
    assert entry.body == Consent("phone-1", {"location": False}, "2026-03")
