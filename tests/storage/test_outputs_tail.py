"""The tail of the outputs for streams to browsers."""

import asyncio

import pytest

from geo_service.errors import UnreachableError
from geo_service.flow.entries import START, EntryId
from geo_service.flow.log import Commit
from geo_service.storage.connection import connect_async
from geo_service.storage.redis_log import RedisLog
from geo_service.storage.redis_outputs import OutputTail


@pytest.fixture
def log(client, keys):
    log = RedisLog.open(client, 2, keys=keys)
    log.acquire(0)
    log.acquire(1)
    return log


def with_tail(url, keys, use):
    async def run():
        async with connect_async(url, retries=0) as client:
            return await use(OutputTail(client, keys, 2))

    return asyncio.run(run())


def commit(log, partition, ms, data):
    log.commit(partition, Commit([(EntryId(ms, 0), data)], {}, None))


def test_the_ends_are_the_newest_outputs(url, keys, log):
    commit(log, 1, 5, b"a")
    commit(log, 1, 7, b"b")
    assert with_tail(url, keys, lambda tail: tail.ends()) == {0: START, 1: EntryId(7, 0)}


def test_reading_goes_on_behind_positions_and_a_partition_not_named_starts_at_its_oldest(url, keys, log):
    for ms in (1, 2, 3):
        commit(log, 0, ms, b"zero %d" % ms)
        commit(log, 1, ms, b"one %d" % ms)
    found = with_tail(url, keys, lambda tail: tail.read({0: EntryId(2, 0)}, 2, 0))
    assert sorted(found) == [(0, EntryId(3, 0), b"zero 3"), (1, EntryId(1, 0), b"one 1"), (1, EntryId(2, 0), b"one 2")]


def test_a_waiting_read_returns_with_what_comes(url, keys, log):
    async def use(tail):
        waiting = asyncio.create_task(tail.read(await tail.ends(), 10, 10))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(commit, log, 0, 9, b"news")
        return await waiting

    assert with_tail(url, keys, use) == [(0, EntryId(9, 0), b"news")]


def test_a_read_that_waits_in_vain_returns_nothing(url, keys, log):
    assert with_tail(url, keys, lambda tail: tail.read({}, 10, 0.01)) == []


@pytest.mark.parametrize("warm", [False, True])
def test_a_read_can_be_cancelled_at_any_moment_and_the_next_one_works(url, keys, log, warm):
    async def use(tail):
        if warm:
            await tail.ends()
        for steps in range(12):
            waiting = asyncio.create_task(tail.read({}, 10, 0.05))
            for _ in range(steps):
                await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        await asyncio.to_thread(commit, log, 0, 9, b"news")
        return await tail.read({}, 10, 10)

    assert with_tail(url, keys, use) == [(0, EntryId(9, 0), b"news")]


def test_a_server_that_is_away_is_an_unreachable_error(keys, tmp_path):
    with pytest.raises(UnreachableError):
        with_tail(f"unix://{tmp_path}/nobody.sock", keys, lambda tail: tail.ends())
