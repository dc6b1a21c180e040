import numpy as np
import pytest
from fence_geometry import PLACES, placed, shapes
from fence_geometry import boxes_and_triangles as grids
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geo_service.catalogue.documents import Fence
from geo_service.geofences.fences import Fences
from geo_service.geofences.many import half_widths_m, read_geometries, shapes_of
from geo_service.geofences.presence import Presence
from geo_service.geofences.shapes import Circle, Polygons, ShapeError, read_geometry
from geo_service.geofences.steady import half_width_m
from geo_service.pings.batch import PingBatch

THOROUGH = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
HOLE = [[1, 1], [1, 2], [2, 2], [2, 1], [1, 1]]

numbers = st.one_of(
    st.integers(-3, 3), st.floats(-200, 200), st.sampled_from([float("nan"), 1e400, True, None, "1", 10**400])
)
positions = st.one_of(st.lists(numbers, min_size=2, max_size=2), st.lists(numbers, max_size=3), numbers)
rings = st.one_of(
    st.lists(positions, max_size=6),
    st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)).map(list), min_size=3, max_size=6).map(
        lambda r: [*r, r[0]]
    ),
)
drawn = st.builds(
    placed, grids().filter(lambda g: g.area > 0), st.sampled_from(PLACES), st.sampled_from([1e-5, 1e-3, 1.0])
)
parts = drawn.map(lambda g: {"type": "Polygon", "coordinates": [list(map(list, ring)) for ring in g["coordinates"][0]]})
written = st.one_of(
    parts,
    drawn,
    st.builds(lambda r: {"type": "Polygon", "coordinates": r}, st.lists(rings, max_size=3)),
    st.builds(lambda p: {"type": "Point", "coordinates": p}, positions),
    st.sampled_from(
        [None, {}, {"type": "Polygon"}, {"type": "Polygon", "coordinates": [None]}, {"type": "LineString"}]
    ),
)


def alone(geometry, radius_m):
    try:
        return told(read_geometry(geometry, radius_m))
    except ShapeError as error:
        return str(error)


def told(read):
    if isinstance(read, ShapeError):
        return str(read)
    shape, faults = read
    if isinstance(shape, Polygons):
        shape = [part.tolist() for part in (shape.positions, shape.ring_starts, shape.polygon_starts)]
    return shape, [str(fault) for fault in faults]


@THOROUGH
@given(st.lists(st.tuples(written, st.sampled_from([None, None, None, 50.0])), max_size=8))
def test_many_shapes_are_read_as_each_alone(many):
    assert [told(read) for read in read_geometries(many)] == [alone(*one) for one in many]


def test_one_that_cannot_be_read_spoils_none_of_the_others():
    good = {"type": "Polygon", "coordinates": [SQUARE, HOLE]}
    bad = {"type": "Polygon", "coordinates": [[*SQUARE, "x"]]}
    read = read_geometries([(good, None)] * 5 + [(bad, None)] + [(good, None)] * 3)
    assert isinstance(read[5], ShapeError)
    assert [told(one) for one in read[:5] + read[6:]] == [alone(good, None)] * 8


@pytest.mark.parametrize("ring", [SQUARE[::-1], HOLE], ids=["outer", "clockwise"])
def test_a_ring_the_wrong_way_round_is_said(ring):
    geometry = {"type": "Polygon", "coordinates": [ring]}
    ((_, faults),) = read_geometries([(geometry, None)])
    assert [str(fault) for fault in faults] == alone(geometry, None)[1] != []


@THOROUGH
@given(st.lists(shapes(), max_size=5))
def test_half_widths_of_many_are_those_of_each(many):
    assert half_widths_m(many).tolist() == pytest.approx([half_width_m(shape) for shape in many], rel=1e-6)


def test_a_fence_that_cannot_be_read_is_named():
    bad = Fence(id="mall", geometry={"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]})
    with pytest.raises(ShapeError) as refused:
        shapes_of([Fence(id="shop", geometry={"type": "Point", "coordinates": [0, 0]}, radius_m=5), bad])
    assert refused.value.__notes__ == ["fence mall"]


def test_no_shapes_are_no_shapes():
    assert read_geometries([]) == []
    assert half_widths_m([Circle(0, 0, 10.0)]) == pytest.approx([np.sqrt(np.pi) * 5])


def fence(name, x=0.0, **more):
    ring = [[x + lon / 100, lat / 100] for lon, lat in SQUARE]
    return Fence(id=name, geometry={"type": "Polygon", "coordinates": [ring]}, **more)


def test_many_fences_put_at_once_do_what_each_in_turn_does():
    batch = PingBatch(
        ["ann", "bob"],
        np.full(2, 1000),
        np.full(2, 0.01),
        np.array([0.01, 0.51]),
        *[np.full(2, np.nan)] * 3,
        np.zeros(2, np.uint8),
    )
    first = [fence("b"), fence("c", 0.5), fence("a")]
    then = [fence("d"), fence("b", 1.0), fence("c", 0.5, disabled=True), fence("a", dwell_s=9.0)]
    together, alone = Presence("strict"), Presence("strict")
    told = [together.put_fences(first, 0), together.advance(batch, 1000).events, together.put_fences(then, 2000)]
    want = [
        [event for one in first for event in alone.put_fence(one, 0)],
        alone.advance(batch, 1000).events,
        [event for one in then for event in alone.put_fence(one, 2000)],
    ]
    assert told == want
    assert [event.fence for event in told[1]] == ["a", "b", "c"]
    assert [event.fence for event in told[2]] == ["b", "c"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=3), st.booleans(), st.booleans()), max_size=150))
def test_ranks_order_fences_by_id_whatever_came_and_went(changes):
    fences = Fences()
    for name, stays, ask in changes:
        if stays:
            fences.put(fence(name), 0)
        elif name in fences.slot_of:
            fences.remove(name)
        if ask:
            ordered = sorted(fences.slot_of)
            ranks = fences.rank[[fences.slot_of[one] for one in ordered]]
            assert (np.diff(ranks) > 0).all()
            assert len(ranks) == 0 or ranks.min() >= 0


def test_ranks_find_room_however_many_come_between_the_same_two():
    fences = Fences()
    for number in range(200):
        fences.put(fence("b" * number + "a"), 0)
        fences.put(fence("c" * 200 + "a" * (200 - number)), 0)
        fences.rank  # noqa: B018
    ordered = sorted(fences.slot_of)
    assert (np.diff(fences.rank[[fences.slot_of[one] for one in ordered]]) > 0).all()
