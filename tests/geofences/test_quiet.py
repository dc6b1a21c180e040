"""Small batches, whose pings are looked at one by one, against the same pings in columns."""

import math

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from geo_service.catalogue.documents import Fence
from geo_service.geofences import presence as presence_module
from geo_service.geofences.presence import Presence
from geo_service.pings.batch import PingBatch

NOON = 1_780_000_000_000
METRE = 1 / 111_320
SQUARE = [[10 + x * METRE, y * METRE] for x, y in ((20, -30), (80, -30), (80, 30), (20, 30), (20, -30))]


def circle(fence, radius_m, east_m=0, **other):
    return Fence(
        id=fence, geometry={"type": "Point", "coordinates": [10 + east_m * METRE, 0]}, radius_m=radius_m, **other
    )


FENCES = (
    circle("a", 50, dwell_s=45, silence_s=200),
    circle("b", 50, east_m=60, exit_after_s=20),
    circle("c", 900, dwell_s=100, hours={"thu": [["20:27", "20:35"]]}),
    Fence(id="d", geometry={"type": "Polygon", "coordinates": [SQUARE]}, dwell_s=30),
)
pings = st.tuples(
    st.sampled_from(["d1", "d2", "d3"]),
    st.sampled_from([0, 1, 5, 20, 30, 30, 30, 90, 310, -40]),
    st.sampled_from([0, 5, 10, 25, 30, 33, 45, 49, 55, 62, 70, 120, 300, 9_000]),
    st.sampled_from([5.0, 12.0, 12.0, 40.0, 300.0, math.nan]),
    st.sampled_from([0, 0, 0, 1]),
)
histories = st.lists(st.lists(pings, min_size=1, max_size=4), min_size=4, max_size=25)


def with_fences(mode):
    presence = Presence(mode)
    for fence in FENCES:
        presence.put_fence(fence, NOON)
    return presence


def rows(history):
    """Batches, each with the log's time."""
    now = NOON
    for few in history:
        batch = []
        for device, wait, metres, accuracy, mock in few:
            time = now + wait * 1000
            now = max(now, time)
            batch.append((device, time, 0.0, 10 + metres * METRE, accuracy, math.nan, math.nan, mock))
        yield PingBatch.from_rows(batch), now + 300


def kept(presence):
    """All that is known of each device; where its stays lie among the others' does not matter."""
    tables = presence._tables
    devices, stays = tables.devices, tables.stays
    return {
        name: (
            [repr(getattr(devices, column)[place]) for column in devices.SPEC if column != "start"],
            [[getattr(stays, column)[at] for column in stays.SPEC] for at in stays.of(np.array([place]))[0].tolist()],
        )
        for name, place in devices.place_of.items()
    } | {"timers": [sorted(map(tuple, timers.rows().T.tolist())) for timers in (tables.dwells, tables.doubts)]}


@settings(max_examples=100, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(histories, st.sampled_from(["strict", "steady"]))
def test_pings_taken_one_by_one_do_exactly_what_columns_do_and_leave_the_same_behind(history, mode):
    single, columns = with_fences(mode), with_fences(mode)
    for batch, logged_ms in rows(history):
        mine = single.advance(batch, logged_ms)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(presence_module, "FEW", 0)
            theirs = columns.advance(batch, logged_ms)
        assert mine.events == theirs.events
        assert [part.tolist() for part in mine[1:]] == [part.tolist() for part in theirs[1:]]
        assert kept(single) == kept(columns)


@pytest.mark.parametrize("mode", ["strict", "steady"])
def test_a_ping_that_finds_its_device_where_it_was_never_reaches_the_columns(mode, monkeypatch):
    presence = with_fences(mode)
    for seconds in (0, 30, 60):
        still = PingBatch.from_rows([("d1", NOON + seconds * 1000, 0.0, 10.0, 5.0, math.nan, math.nan, 0)])
        presence.advance(still, NOON + seconds * 1000)
    monkeypatch.setattr(presence_module, "settle", None)
    still = PingBatch.from_rows([("d1", NOON + 90_000, 0.0, 10.0, 5.0, math.nan, math.nan, 0)])
    assert presence.advance(still, NOON + 90_000).events == []
    assert presence.fences_of("d1") == ["a", "c"]
