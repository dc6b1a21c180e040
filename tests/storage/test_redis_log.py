"""What is particular to the log on Redis: waiting, crashes, lost answers, and servers that do not fit."""

import threading
import zlib

import pytest

from geo_service.errors import InvalidInputError, UnreachableError
from geo_service.flow.entries import START, EntryId, Forget, Recount, Tick
from geo_service.flow.log import Checkpoint, Commit, Receipt
from geo_service.storage.connection import connect
from geo_service.storage.keys import Keys
from geo_service.storage.redis_log import RedisLog


def counts(log, partition=0):
    return [entry.body.count for entry in log.read({partition: START}, limit=1000, wait_s=0).get(partition, [])]


def test_a_waiting_read_returns_with_what_comes(url, client, keys):
    log = RedisLog.open(client, 2, keys=keys)
    with connect(url, retries=0) as other:
        appending = threading.Timer(0.1, lambda: RedisLog(other, 2, keys=keys).append([(1, Forget("a"))]))
        appending.start()
        found = log.read({0: START, 1: START}, limit=10, wait_s=10)
        appending.join()
    assert [entry.body for entry in found[1]] == [Forget("a")]
    assert log.read({0: START}, limit=10, wait_s=0.01) == {}


def test_ids_are_the_servers_time(client, keys):
    log = RedisLog.open(client, 1, keys=keys)
    seconds, micros = client.time()
    [entry_id] = log.append([(0, Tick())])
    assert entry_id.ms >= seconds * 1000 + micros // 1000


@pytest.mark.parametrize("partitions", [1, 2])
def test_an_append_whose_answer_was_lost_is_done_once(losing_proxy, client, keys, partitions):
    items = [(number % partitions, Recount("s", number)) for number in range(6)]
    with connect(losing_proxy.url, retries=2) as shaky:
        log = RedisLog.open(shaky, partitions, keys=keys)
        log.append(items)
        losing_proxy.lose_when = b"EVALSHA"
        ids = log.append(items, receipt=Receipt("ingest", [(1, 2)], 1))
    assert losing_proxy.lost == 1
    safe = RedisLog(client, partitions, keys=keys)
    for partition in range(partitions):
        entries = safe.read({partition: START}, limit=100, wait_s=0)[partition]
        of_partition = [number for number in range(6) if number % partitions == partition]
        assert [entry.body.count for entry in entries] == of_partition * 2
        assert [entry.id for entry in entries[len(of_partition) :]] == [ids[number] for number in of_partition]
    assert safe.receipts("ingest").messages == {1: (2, 1)}


def test_what_failed_without_an_answer_may_be_appended_again_by_the_caller(losing_proxy, client, keys):
    """As a reader of MQTT does that gets the same batch again, or a phone that sends its pings again after a 503."""
    with connect(losing_proxy.url, retries=0) as shaky:
        log = RedisLog.open(shaky, 1, keys=keys)
        log.append([(0, Recount("s", 0))])
        losing_proxy.lose_when = b"EVALSHA"
        with pytest.raises(UnreachableError):
            log.append([(0, Recount("s", 1))])
        log.append([(0, Recount("s", 2))])
        log.append([(0, Recount("s", 1))])
        assert counts(RedisLog(client, 1, keys=keys)) == [0, 1, 2]
        log.append([(0, Recount("s", 1))])
    assert counts(RedisLog(client, 1, keys=keys)) == [0, 1, 2, 1]


def test_a_batch_is_known_again_by_its_receipt(losing_proxy, client, keys):
    """Its second try may hold a little more or less: what the border refused is let through at a limited rate."""
    receipt = Receipt("ingest", [(1, 2), (2, 3)], 2)
    batch, longer = [(0, Recount("s", 1))], [(0, Recount("s", 1)), (0, Recount("s", 9))]
    with connect(losing_proxy.url, retries=0) as shaky:
        log = RedisLog.open(shaky, 1, keys=keys)
        log.append([(0, Recount("s", 0))])
        for first, second in ((batch, longer), (longer, batch)):
            losing_proxy.lose_when = b"EVALSHA"
            with pytest.raises(UnreachableError):
                log.append(first, receipt=receipt)
            assert len(log.append(second, receipt=receipt)) == len(second)
            log.append(batch, receipt=receipt)
    assert counts(RedisLog(client, 1, keys=keys)) == [0, 1, 1, 1, 9, 1]


def test_a_commit_whose_answer_was_lost_is_done_once(losing_proxy, client, keys):
    with connect(losing_proxy.url, retries=2) as shaky:
        log = RedisLog.open(shaky, 1, keys=keys)
        log.acquire(0)
        for number in (1, 2):
            step = Commit([(EntryId(number, 0), b"%d" % number)], {"a": b"%d" % number}, None)
            losing_proxy.lose_when = b"EVALSHA"
            log.commit(0, step)
            checkpoint = Checkpoint(EntryId(number, 0), b"state %d" % number)
            losing_proxy.lose_when = b"EVALSHA"
            log.commit(0, step._replace(checkpoint=checkpoint))
            assert log.load(0) == checkpoint
    assert losing_proxy.lost == 4
    assert [data for _, _, data in RedisLog(client, 1, keys=keys).reader("r").read(10, 0)] == [b"1", b"2"]


def test_a_server_that_lost_its_scripts_is_given_them_again(client, keys):
    log = RedisLog.open(client, 1, keys=keys)
    log.acquire(0)
    reader = log.reader("r")
    for number in range(2):
        client.script_flush()
        log.append([(0, Recount("s", number))])
        client.script_flush()
        log.commit(0, Commit([(EntryId(number + 1, 0), b"x")], {}, Checkpoint(EntryId(number + 1, 0), b"%d" % number)))
        client.script_flush()
        log.commit(0, Commit([], {"n": b"%d" % number}, None))
        client.script_flush()
        reader.done({0: EntryId(number + 1, 0)})
    assert counts(log) == [0, 1]
    assert log.load(0) == Checkpoint(EntryId(2, 0), b"1")
    assert log.current("n") == b"1"
    assert log.reader("r").read(10, 0) == []


def test_what_was_answered_survives_a_kill_of_the_server(mortal_server):
    with connect(mortal_server.url) as client:
        log = RedisLog.open(client, 1)
        epoch = log.acquire(0)
        ids = log.append([(0, Recount("s", number)) for number in range(100)], receipt=Receipt("ingest", [(1, 2)], 1))
        state = zlib.compress(bytes(range(256))) * 20_000
        log.commit(0, Commit([(ids[9], b"ten")], {"a": b"1"}, Checkpoint(ids[9], state)))
        mortal_server.kill()
        mortal_server.start()
        assert counts(log) == list(range(100))
        assert log.load(0) == Checkpoint(ids[9], state)
        assert log.receipts("ingest").messages == {1: (2, 1)}
        log.commit(0, Commit([(ids[9], b"again"), (ids[10], b"eleven")], {}, None))
        assert [data for _, _, data in log.reader("r").read(10, 0)] == [b"ten", b"eleven"]
        assert log.acquire(0) == epoch + 1


def test_a_server_that_is_away_is_named_without_its_password(tmp_path):
    with connect(f"unix://user:secret@{tmp_path}/nobody.sock", retries=1) as client:
        log = RedisLog(client)
        for call in (
            lambda: RedisLog.open(client),
            lambda: log.append([(0, Tick())]),
            lambda: log.read({0: START}, limit=1, wait_s=0),
            lambda: log.acquire(0),
            lambda: log.load(0),
            lambda: log.commit(0, Commit([], {}, None)),
            lambda: log.trim(0),
            lambda: log.reader("r"),
            lambda: log.current("a"),
            lambda: log.current_all("a"),
            lambda: log.receipts("a"),
        ):
            with pytest.raises(UnreachableError, match=r"nobody\.sock") as caught:
                call()
            assert "secret" not in str(caught.value)


def test_a_log_keeps_its_number_of_partitions(client, keys):
    RedisLog.open(client, 4, keys=keys)
    RedisLog.open(client, 4, keys=keys)
    with pytest.raises(InvalidInputError, match="has 4 of them, not 2"):
        RedisLog.open(client, 2, keys=keys)


def test_two_services_share_a_server_by_prefix(client, keys):
    other = Keys(f"{keys.prefix}other:")
    first, second = RedisLog.open(client, 1, keys=keys), RedisLog.open(client, 1, keys=other)
    first.append([(0, Recount("s", 1))])
    assert counts(second) == []
    client.delete(*client.keys(f"{other.prefix}*"))


def test_outputs_stay_for_those_who_resume_a_stream(client, keys):
    log = RedisLog.open(client, 1, keys=keys, tail_s=10)
    log.acquire(0)
    log.commit(0, Commit([(EntryId(second * 1000, 0), b"%d" % second) for second in range(1, 61)], {}, None))
    reader = log.reader("quick")
    reader.read(100, 0)
    reader.done({0: EntryId(60_000, 0)})
    log.trim(0)
    assert [data for _, _, data in log.reader("new").read(100, 0)] == [b"%d" % second for second in range(50, 61)]


def test_a_reader_whose_name_is_taken_out_holds_nothing_back(client, keys):
    log = RedisLog.open(client, 2, keys=keys, tail_s=0)
    log.acquire(0)
    log.reader("gone")
    log.commit(0, Commit([(EntryId(second * 1000, 0), b"") for second in range(1, 61)], {}, None))
    log.trim(0)
    assert client.xlen(keys("outputs", partition=0)) == 60
    client.hdel(keys("readers", partition=0), "gone")
    log.trim(0)
    assert client.xlen(keys("outputs", partition=0)) == 1


def test_a_waiting_reader_of_outputs_returns_with_what_comes(url, client, keys):
    log = RedisLog.open(client, 2, keys=keys)
    reader = log.reader("r")
    with connect(url, retries=0) as other:
        worker = RedisLog(other, 2, keys=keys)
        worker.acquire(1)
        committing = threading.Timer(0.1, lambda: worker.commit(1, Commit([(EntryId(5, 0), b"x")], {}, None)))
        committing.start()
        assert reader.read(10, 10) == [(1, EntryId(5, 0), b"x")]
        committing.join()


def test_what_nobody_encoded_is_an_error_and_not_skipped(client, keys):
    log = RedisLog.open(client, 1, keys=keys)
    client.xadd(keys("log", partition=0), {"k": "unheard", "d": b"x"})
    with pytest.raises(ValueError, match="unheard"):
        log.read({0: START}, limit=1, wait_s=0)


def test_no_url_of_redis_is_refused():
    with pytest.raises(InvalidInputError):
        connect("http://localhost")


@pytest.mark.parametrize("prefix", ["a{b", "a*", "a b", "a\n"])
def test_a_prefix_that_would_change_the_meaning_of_keys_is_refused(prefix):
    with pytest.raises(ValueError, match="prefix"):
        Keys(prefix)
