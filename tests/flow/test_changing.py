"""Changes of the site that come together: read together, and what they do is what each in turn does."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_service import outputs
from geo_service.catalogue.documents import Fence, Store
from geo_service.catalogue.site import encode_document
from geo_service.flow import partition as fold
from geo_service.flow.changing import ReadChange, read_changes
from geo_service.flow.entries import Change, Changes, Entry, EntryId, Pings
from geo_service.flow.ledger import MemoryLedger
from geo_service.flow.partition import Partition, Rules
from geo_service.pings.batch import PingBatch

T0 = 1_780_740_000_000
NAN = float("nan")
AROUND = [[-0.001, -0.001], [0.001, -0.001], [0.001, 0.001], [-0.001, 0.001], [-0.001, -0.001]]
GEOMETRIES = [
    {"type": "Point", "coordinates": [-6.0, 45.0]},
    {"type": "Polygon", "coordinates": [[[x - 6, y + 45] for x, y in AROUND]]},
    {"type": "Polygon", "coordinates": [[[x - 6.0005, y / 2 + 45] for x, y in AROUND]]},
    {"type": "MultiPolygon", "coordinates": [[[[x - 6, y + 45] for x, y in AROUND]]]},
    {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]},
    {"type": "Polygon", "coordinates": [[[-6, 45], [-5, 46], [-5, 45], [-6, 46], [-6, 45]]]},
]


def fence(id_, geometry, **more):
    radius_m = 100 if geometry["type"] == "Point" else None
    return Change("fence", id_, encode_document(Fence(id=id_, geometry=geometry, radius_m=radius_m, **more)))


def store(timezone):
    return Change("store", "s1", encode_document(Store(id="s1", name="One", lat=45, lon=-6, timezone=timezone)))


_ids = st.sampled_from(["a", "b", "c"])
_changes = st.one_of(
    st.builds(
        fence,
        _ids,
        st.sampled_from(GEOMETRIES),
        store=st.sampled_from(["s1", None]),
        role=st.sampled_from(["near", "store", "zone"]),
        disabled=st.sampled_from([False, False, False, True]),
        hours=st.sampled_from([None, None, {"mon": [["25:00", "26:00"]]}]),
    ),
    st.builds(Change, st.just("fence"), _ids, st.none()),
    st.builds(Change, st.just("fence"), _ids, st.sampled_from([b"{", b"[]", json.dumps({"id": "a"}).encode()])),
    st.builds(store, st.sampled_from(["UTC", "Europe/Helsinki", "Nowhere"])),
)


def one_by_one(changes):
    """As it would be if nothing were read together."""
    for change, document, _ in read_changes(changes):
        yield ReadChange(change, document, None)


def told(together, presence):
    """What a partition says of changes and pings in turn, and what it is in the end."""
    partition = Partition(0, 1, MemoryLedger(), Rules(presence))
    said = []
    for number, changes in enumerate(together):
        at_ms = T0 + number * 60_000
        said += partition.advance(Entry(EntryId(at_ms, 0), Changes(changes))).outputs
        pings = [(name, at_ms, 45.0, lon, 5.0, NAN, NAN, 0) for name, lon in (("ann", -6.0), ("bob", -6.0012))]
        said += partition.advance(Entry(EntryId(at_ms, 1), Pings(PingBatch.from_rows(pings)))).outputs
    return said, partition.dump()


@pytest.mark.parametrize("presence", ["strict", "steady"])
@settings(max_examples=40, deadline=None)
@given(together=st.lists(st.lists(_changes, max_size=8), min_size=1, max_size=5))
def test_changes_of_one_entry_do_what_each_in_turn_does(presence, together):
    found = told(together, presence)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fold, "read_changes", one_by_one)
        assert told(together, presence) == found


def test_of_many_fences_the_one_that_cannot_be_read_is_refused_and_the_others_hold():
    partition = Partition(0, 1, MemoryLedger(), Rules("strict"))
    changes = [fence(f"f{n}", GEOMETRIES[4 if n == 1 else 1]) for n in range(3)]
    [refused] = partition.advance(Entry(EntryId(T0, 0), Changes(changes))).outputs
    assert isinstance(refused, outputs.Rejected)
    assert refused.topic == "fence/f1"
    pings = Pings(PingBatch.from_rows([("ann", T0 + 1, 45.0, -6.0, NAN, NAN, NAN, 0)]))
    crossings = partition.advance(Entry(EntryId(T0 + 1, 0), pings)).outputs
    assert [crossing.fence for crossing in crossings] == ["f0", "f2"]
