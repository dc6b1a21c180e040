"""Late pings: they move nobody, but lengthen the record of the visit that they belong to."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_service import outputs
from geo_service.catalogue.documents import Fence, Store
from geo_service.catalogue.site import encode_document
from geo_service.flow.entries import Change, Changes, Consent, Entry, EntryId, Pings, Tick
from geo_service.flow.ledger import MemoryLedger
from geo_service.flow.partition import Partition, Rules
from geo_service.pings.batch import PingBatch

T0 = 1_780_740_000_000
NAN = float("nan")
SHOP, STREET = (45.0, -6.0), (45.01, -6.0)
SILENCE_S = 600


def fresh(mode="strict", **fence):
    partition = Partition(0, 1, MemoryLedger(), Rules(mode))
    here = {"geometry": {"type": "Point", "coordinates": [-6.0, 45.0]}, "radius_m": 100}
    documents = [
        ("store", Store(id="s1", name="One", lat=45, lon=-6)),
        ("fence", Fence(id="shop", role="store", store="s1", silence_s=SILENCE_S, **here | fence)),
    ]
    feed(partition, 0, Changes([Change(kind, document.id, encode_document(document)) for kind, document in documents]))
    return partition


def feed(partition, second, body, seq=0):
    return partition.advance(Entry(EntryId(T0 + round(second * 1000), seq), body)).outputs


def rows(*pings):
    """Pings of a place and seconds, of one phone."""
    return PingBatch.from_rows([("d1", T0 + round(s * 1000), *at, 8.0, NAN, NAN, 0) for at, s in pings])


def visits(said):
    return [output for output in said if isinstance(output, outputs.Visit)]


def silent(partition):
    """Somebody comes in, their phone falls silent in the shop, and speaks again on the street, two hundred minutes later."""
    for second in (30, 60, 90, 120, 150, 180):
        feed(partition, second, Pings(rows((SHOP, second))))
    [visit] = visits(feed(partition, 180 + SILENCE_S, Tick()))
    assert visits(feed(partition, 3000, Pings(rows((STREET, 3000))))) == []
    return visit


@pytest.mark.parametrize("mode", ["strict", "steady"])
def test_what_a_silent_phone_was_late_to_tell_lengthens_its_visit_under_the_same_id(mode):
    partition = fresh(mode)
    visit = silent(partition)
    assert (visit.duration_s, visit.confirmed) == (150, True)
    said = feed(partition, 3001, Pings(rows((SHOP, 400), (SHOP, 900), (SHOP, 700), (STREET, 1000))))
    assert [(later.id, later.entered, later.duration_s) for later in said] == [
        (visit.id, visit.entered, 370), (visit.id, visit.entered, 870),
    ]  # fmt: skip


def test_a_late_ping_elsewhere_or_long_after_the_visit_or_before_its_end_lengthens_nothing():
    partition = fresh()
    silent(partition)
    late = rows((STREET, 200), (SHOP, 180 + SILENCE_S + 1), (SHOP, 170), (SHOP, 10))
    assert feed(partition, 3001, Pings(late)) == []


def test_after_a_seen_exit_a_late_ping_counts_as_long_as_somebody_may_be_out_without_leaving():
    partition = fresh(exit_after_s=60)
    pings = [(SHOP, 0), (SHOP, 100), (STREET, 130), (STREET, 300)]
    [visit] = visits([said for at, second in pings for said in feed(partition, second, Pings(rows((at, second))))])
    assert (visit.duration_s, visit.confirmed) == (130, True)
    assert feed(partition, 301, Pings(rows((SHOP, 191)))) == []
    [later] = feed(partition, 302, Pings(rows((SHOP, 190))))
    assert (later.id, later.duration_s) == (visit.id, 190)


def test_a_late_ping_may_confirm_a_visit():
    partition = fresh()
    pings = [(SHOP, 0), (STREET, 100), (STREET, 300)]
    [visit] = visits([said for at, second in pings for said in feed(partition, second, Pings(rows((at, second))))])
    [later] = feed(partition, 301, Pings(rows((SHOP, 125))))
    assert (visit.confirmed, later.confirmed) == (False, True)


def test_a_visit_that_was_closed_over_two_hours_ago_stays_as_it_is():
    partition = fresh()
    silent(partition)
    closed_s = 180 + SILENCE_S
    assert len(feed(partition, closed_s + 7200, Pings(rows((SHOP, 300))))) == 1
    assert feed(partition, closed_s + 7201, Pings(rows((SHOP, 400)))) == []


def test_a_late_ping_of_the_stay_under_way_lengthens_no_visit_before_it():
    partition = fresh()
    silent(partition)
    back = [
        said.type for said in feed(partition, 3100, Pings(rows((SHOP, 3100)))) if isinstance(said, outputs.Crossing)
    ]
    assert back == ["enter"]
    [later] = feed(partition, 3101, Pings(rows((SHOP, 700))))
    assert later.duration_s == 670


def test_a_fence_that_was_closed_then_or_is_gone_has_no_visits_lengthened():
    partition = fresh(hours={"sat": [["09:59", "10:02"]]})
    for at, second in [(SHOP, 0), (STREET, 100), (STREET, 300)]:
        feed(partition, second, Pings(rows((at, second))))
    assert [later.duration_s for later in feed(partition, 301, Pings(rows((SHOP, 110), (SHOP, 121))))] == [110]
    feed(partition, 302, Changes([Change("fence", "shop", None)]))
    assert feed(partition, 303, Pings(rows((SHOP, 115)))) == []


def test_a_stay_that_a_changed_fence_ended_is_over():
    partition = fresh()
    feed(partition, 0, Pings(rows((SHOP, 0))))
    away = Fence(
        id="shop", role="store", store="s1", geometry={"type": "Point", "coordinates": [-7.0, 45.0]}, radius_m=9
    )
    assert len(visits(feed(partition, 100, Changes([Change("fence", "shop", encode_document(away))])))) == 1
    feed(partition, 200, Pings(rows((STREET, 200))))
    assert feed(partition, 201, Pings(rows(((45.0, -7.0), 130)))) == []


def test_who_withdraws_consent_has_no_visit_to_lengthen():
    partition = fresh()
    silent(partition)
    feed(partition, 3001, Consent("d1", {"location": False}))
    feed(partition, 3002, Consent("d1", {"location": True}))
    feed(partition, 3003, Pings(rows((STREET, 3003))))
    assert feed(partition, 3004, Pings(rows((SHOP, 400)))) == []


moves = st.lists(
    st.tuples(st.sampled_from([SHOP, SHOP, STREET]), st.sampled_from([30, 60, 130, 200, 700, -45, -100, -400])),
    min_size=4,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(moves, st.integers(2, 9), st.integers(0, 9), st.sampled_from(["strict", "steady"]))
def test_records_are_the_same_however_batches_are_cut_and_from_a_checkpoint(walked, cut, dumped_at, mode):
    second, pings = 0, []
    for at, wait in walked:
        second += max(wait, 0)
        pings.append((at, second + min(wait, 0)))
    logged = second + 1
    single, whole = fresh(mode), fresh(mode)
    for number, ping in enumerate(pings):
        feed(single, logged, Pings(rows(ping)), number)
        if number == dumped_at:
            single = Partition.load(single.dump(), 0, 1, MemoryLedger(), Rules(mode))
    for number in range(0, len(pings), cut):
        feed(whole, logged, Pings(rows(*pings[number : number + cut])), number)
    assert records(single) == records(whole)


def records(partition):
    """The last visit of each phone, and how long it may be lengthened."""
    closed = partition.devices._closed
    return {device: (record.visit, record.slack_ms, record.counted) for device, record in closed.items()}
