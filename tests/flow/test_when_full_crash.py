"""A crash at any step of the fold sends nobody on twice, and loses nobody's place in the queue."""

from collections import Counter

import msgspec
import pytest

from geo_service.catalogue.documents import Trigger, WhenFull
from geo_service.catalogue.site import encode_document
from geo_service.flow.entries import Change, Changes, Consent, Forget, Override, Pings, Readings, Recount, Tick
from geo_service.offers.redirect import moment_of
from geo_service.pings.batch import PingBatch
from sensors.readings import Reading

from .test_crash_points import InMemory, Run, go_through, lines_of
from .when_full import LON, NAN, STORES, T0, bread, site_of

CAMPAIGNS = (
    bread(when_full=WhenFull(redirect_m=2500, wait_s=60), holdout=0.2),
    bread(id="cake", name="Cake", when_full=WhenFull(wait_s=90), priority=-1, trigger=Trigger(role="zone")),
)
FED_AT_ONCE = 2


def ping(second, device, store, metres):
    row = (device, T0 + second * 1000, STORES[store] + metres / 111_200, LON, 5.0, NAN, NAN, 0)
    return second, device, Pings(PingBatch.from_rows([row]))


def count(second, store, ins):
    return second, store, Readings([Reading(sensor=f"{store}.door", kind="delta", ins=ins, outs=0)])


def history():
    """`(second, key that decides the partition or None for all, body)`: full stores, and room here and there."""
    site = site_of(*CAMPAIGNS)
    changes = [Change(kind, key, encode_document(document)) for kind, key, document in site.documents()]
    yield 0, None, Changes(changes)
    for store, ins in (("s1", 60), ("s2", 3), ("s3", 60)):
        yield count(1, store, ins)
    for number in range(4):
        yield ping(5 + number, f"d{number}", "s1", 200)
    yield 12, "s2", Override("s2", "pause", "mia")
    for number in range(4, 9):
        yield ping(10 + number, f"d{number}", "s1" if number % 2 else "s3", 200)
    yield ping(22, "d5", "s1", -900)
    yield 23, "d7", Consent("d7", {"offers": False})
    yield 24, "d4", Forget("d4")
    yield 26, "s3", Recount("s3", 2)
    for number in range(9, 13):
        yield ping(18 + number, f"d{number}", "s1", 200)
    yield 40, "s1", Override("s1", "force", "mia")
    yield 44, "s1", Override("s1", "resume", "mia")
    yield 45, "s3", Override("s3", "pause", "mia")
    for number in range(13, 16):
        yield ping(35 + number, f"d{number}", "s1", 200)
    for second in (*range(3, 60, 4), 80, 115, 120, 140, 200):
        yield second, None, Tick()


def play(partitions, crash_at=None):
    """Everything that was said, folded a few entries at a time, and the state that is left."""
    servers = InMemory(partitions)
    run = Run(servers, partitions, crash_at)
    said = go_through(servers, run, history(), partitions, FED_AT_ONCE)
    return run, said, servers.log().current_all("")


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_crash_at_any_call_changes_nothing_that_anybody_hears(partitions):
    whole, said, current = play(partitions)
    for word in (b"redirected_from", b"waited_s", b"held_out", b"there was no room within", b'"wait_until"'):
        assert any(word in line for line in lines_of(said)), word
    for crash_at in range(2, whole.calls + 1, 7):
        run, heard, others = play(partitions, crash_at)
        assert run.starts == 2, crash_at
        if partitions == 1:
            assert (heard, others, run.state()) == (said, current, whole.state()), crash_at
        else:  # who is handed over comes a little later then
            assert_nobody_is_asked_twice_or_forgotten(heard, said)


def assert_nobody_is_asked_twice_or_forgotten(heard, said):
    offers, wanted = (
        [each for each in map(msgspec.json.decode, lines_of(all_)) if each["kind"] == "offer"] for all_ in (heard, said)
    )
    assert max(Counter(offer["id"] for offer in offers).values()) == 1
    made = Counter(moment_of(offer["id"]) for offer in offers if offer["decision"] != "withheld")
    assert max(made.values()) == 1
    assert {moment_of(offer["id"]) for offer in offers} == {moment_of(offer["id"]) for offer in wanted}
    # Of each that was sent on or waits the end is told, but of those who left.
    for offer in offers:
        then = offer["evidence"].get("then", {})
        if "wait_until" in then and offer["device"] not in {"d4", "d5", "d7"}:
            rest = [each for each in offers if moment_of(each["id"]) == moment_of(offer["id"]) and each is not offer]
            assert any(each["decision"] != "withheld" or "waited_s" in each["evidence"] for each in rest), offer["id"]
