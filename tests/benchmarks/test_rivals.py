"""The rivals of `bench presence`: started, fed and read rightly, they tell what presence tells."""

import sys
from pathlib import Path

import pytest

from geo_service.benchmarks import postgis as postgis_module
from geo_service.benchmarks.city import Walkers, city, half_side_m
from geo_service.benchmarks.memory import resident, traced
from geo_service.benchmarks.postgis import find_binaries, postgis
from geo_service.benchmarks.rivals import CIRCLE_CORNERS, Crossing, TreeIndex, polygon_of
from geo_service.benchmarks.tile38 import tile38
from geo_service.errors import UnreachableError
from geo_service.geofences.presence import Presence

POLYGONS = [fence for fence in city(60) if fence.radius_m is None]
CIRCLE = next(fence for fence in city(60) if fence.radius_m is not None)


def walk():
    walkers = Walkers(300, half_side_m(60), seed=3)
    for _ in range(6):
        yield from walkers.walk(128)


def told(presence):
    steps = (presence.advance(batch, now_ms).events for now_ms, batch in walk())
    return [{Crossing(event.type, event.device, event.fence) for event in events} for events in steps]


@pytest.fixture(scope="module")
def ours():
    presence = Presence("strict")
    for fence in POLYGONS:
        presence.put_fence(fence, 0)
    crossings = told(presence)
    assert {crossing.type for step in crossings for crossing in step} == {"enter", "exit"}
    return crossings


@pytest.fixture
def fake_on_path(tmp_path, monkeypatch):
    binary = tmp_path / "tile38-server"
    binary.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("fake_tile38.py")} "$@"\n')
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return binary


@pytest.mark.parametrize("prepared", [False, True])
def test_an_strtree_in_the_index_s_place_makes_the_same_crossings(ours, prepared):
    presence = Presence("strict")
    for fence in POLYGONS:
        presence.put_fence(fence, 0)
    slots = presence._tables.fences.slot_of
    tree = TreeIndex([slots[fence.id] for fence in POLYGONS], map(polygon_of, POLYGONS), prepared=prepared)
    presence._tables.index = tree
    assert told(presence) == ours


def test_tile38_hears_every_ping_and_its_messages_are_the_crossings(ours, fake_on_path):
    with tile38(POLYGONS) as rival:
        assert [set(rival.step(batch)) for _, batch in walk()] == ours
        assert rival.cpu_s() > 0


def test_tile38_takes_circles_as_circles(fake_on_path):
    with tile38([CIRCLE]) as rival:
        crossings = [crossing for _, batch in walk() for crossing in rival.step(batch)]
    assert {crossing.fence for crossing in crossings} == {CIRCLE.id}


def test_what_tile38_refuses_is_told(fake_on_path):
    with tile38([]) as rival:
        rival._commands.send([("SETCHAN", "half a fence")])
        with pytest.raises(UnreachableError, match="unknown command"):
            rival._exchange(1, None)


def test_without_tile38_on_the_path_it_is_said_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnreachableError, match="not on the PATH"), tile38(POLYGONS):
        pass


def test_a_tile38_that_does_not_start_is_told_with_its_last_words(fake_on_path):
    fake_on_path.write_text("#!/bin/sh\necho the disk is on fire\nexit 3\n")
    with pytest.raises(UnreachableError, match=r"code 3.*the disk is on fire"), tile38(POLYGONS):
        pass


@pytest.mark.slow
@pytest.mark.skipif(find_binaries() is None, reason="no PostgreSQL server is installed")
def test_postgis_keeps_who_is_inside_and_tells_what_changed(ours):
    try:
        with postgis(POLYGONS) as rival:
            assert [set(rival.step(batch)) for _, batch in walk()] == ours
            assert rival.cpu_s() > 0
    except UnreachableError as error:
        if "postgis" in error.reason and "extension" in error.reason:
            pytest.skip("PostgreSQL is installed, but PostGIS is not")
        raise


def test_without_postgresql_it_is_said_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(postgis_module, "_FOLDERS", ())
    with pytest.raises(UnreachableError, match="no PostgreSQL server"), postgis(POLYGONS):
        pass


def test_a_postgresql_that_does_not_start_is_told_with_its_last_words(tmp_path, monkeypatch):
    for name in ("initdb", "postgres"):
        (tmp_path / name).write_text("#!/bin/sh\necho no room for a cluster\nexit 4\n")
        (tmp_path / name).chmod(0o755)
    # Whoever the server becomes must be able to come here.
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder.stat().st_uid == tmp_path.stat().st_uid:
            folder.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(UnreachableError, match=r"initdb ended with code 4.*no room for a cluster"), postgis(POLYGONS):
        pass


def test_the_newest_postgresql_is_taken():
    numbers = [postgis_module._numbers(name) for name in ("9.6", "15", "pgsql-16.1", "postgresql@14")]
    assert numbers == [(9, 6), (15,), (16, 1), (14,)]


def test_a_circle_of_those_who_have_none_has_64_corners():
    assert len(polygon_of(CIRCLE).exterior.coords) == CIRCLE_CORNERS + 1


def test_what_is_kept_is_weighed_and_what_is_dropped_is_not():
    with traced() as weight:
        kept = bytearray(1_000_000)
        bytearray(3_000_000)
    assert 1_000_000 <= weight.bytes < 1_010_000
    with resident() as weight:
        kept += bytes(50_000_000)
        bytes(30_000_000)
    assert 40_000_000 < weight.bytes < 75_000_000
