"""Newest occupancy by store."""

import pytest

from geo_service.flow.log import Commit
from geo_service.storage.redis_log import RedisLog


@pytest.fixture
def log(client, keys):
    log = RedisLog.open(client, 2, keys=keys)
    log.acquire(0)
    log.acquire(1)
    log.commit(0, Commit([], {"occupancy:a": b"a", "occupancy:a/z2": b"z2", "occupancy:a/z1": b"z1"}, None))
    log.commit(1, Commit([], {"occupancy:ab": b"ab", "occupancy:a-b": b"a-b", "sensor:a": b"no"}, None))
    return log


def test_every_stores_occupancy_its_own_before_its_zones(log):
    everything = {"a": [b"a", b"z1", b"z2"], "ab": [b"ab"], "a-b": [b"a-b"]}
    assert log.current_values.occupancy() == everything


def test_the_occupancy_of_some_stores_and_of_none_that_begins_alike(log):
    assert log.current_values.occupancy(["a", "unknown"]) == {"a": [b"a", b"z1", b"z2"]}
    assert log.current_values.occupancy(["a-b"]) == {"a-b": [b"a-b"]}
    assert log.current_values.occupancy([]) == {}


def test_the_alerts_that_stand_by_store(log):
    log.commit(0, Commit([], {"alert:a//full": b"full", "alert:a/z1/warn": b"warn", "alert:ab//full": b"other"}, None))
    assert log.current_values.alerts() == [b"full", b"warn", b"other"]
    assert log.current_values.alerts(["a"]) == [b"full", b"warn"]
    assert log.current_values.alerts([]) == []


def test_values_by_their_names_wherever_they_are(log):
    assert log.current_values.named(["sensor:a", "occupancy:a", "nothing"]) == {"sensor:a": b"no", "occupancy:a": b"a"}
    assert log.current_values.named([]) == {}


def test_a_removed_zone_is_gone(log):
    log.commit(0, Commit([], {"occupancy:a/z1": None}, None))
    assert log.current_values.occupancy(["a"]) == {"a": [b"a", b"z2"]}
