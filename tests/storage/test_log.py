"""What must be true of every log; each test runs on the one in memory, on Redis and on Valkey."""

import numpy as np
import pytest

from geo_service.errors import FencedOffError
from geo_service.flow.entries import START, EntryId, Forget, Pings, Readings, Recount, Tick
from geo_service.flow.log import UNACKNOWLEDGED, Checkpoint, Commit, Receipt
from geo_service.pings.batch import PingBatch
from sensors.readings import Reading

NOTHING = Commit([], {}, None)


def pings(*devices):
    return Pings(PingBatch.from_rows([(device, 1, 60.0, 24.0, 5.0, 0.0, 0.0, 0) for device in devices]))


def outputs(log, name="test", limit=100):
    return log.reader(name).read(limit, 0)


def test_entries_come_back_in_order_with_rising_ids_per_partition(log):
    ids = log.append([(0, Forget("a")), (1, Forget("b")), (0, Forget("c"))])
    ids += log.append([(0, Tick())])
    found = log.read({0: START, 1: START, 2: START}, limit=10, wait_s=0)
    assert [(entry.id, entry.body) for entry in found[0]] == [
        (ids[0], Forget("a")),
        (ids[2], Forget("c")),
        (ids[3], Tick()),
    ]
    assert [(entry.id, entry.body) for entry in found[1]] == [(ids[1], Forget("b"))]
    assert 2 not in found
    assert ids[0] < ids[2] < ids[3]


def test_a_batch_of_pings_comes_back_as_it_went_in(log):
    batch = pings("a", "b", "a").batch
    log.append([(0, Pings(batch))])
    [entry] = log.read({0: START}, limit=1, wait_s=0)[0]
    assert entry.body.batch.devices == batch.devices
    assert np.array_equal(entry.body.batch.lat, batch.lat)


def test_a_read_goes_on_behind_a_position_and_stops_at_its_limit(log):
    ids = log.append([(0, Recount("s", count)) for count in range(5)])
    found = log.read({0: ids[0]}, limit=2, wait_s=0)[0]
    assert [entry.body.count for entry in found] == [1, 2]
    assert log.read({0: ids[-1]}, limit=2, wait_s=0) == {}
    assert log.read({}, limit=2, wait_s=0) == {}


def test_an_append_of_nothing_is_nothing(log):
    assert log.append([]) == []
    assert log.read({0: START}, limit=1, wait_s=0) == {}


def test_a_partition_that_is_not_there_is_an_error_and_appends_nothing(log):
    with pytest.raises(IndexError):
        log.append([(0, Tick()), (3, Tick())])
    assert log.read({0: START}, limit=1, wait_s=0) == {}


def test_state_and_position_come_back_as_committed(log):
    log.acquire(1)
    assert log.load(1) is None
    state = bytes(range(256)) * 4096
    log.commit(1, Commit([], {}, Checkpoint(EntryId(5, 1), state)))
    assert log.load(1) == Checkpoint(EntryId(5, 1), state)
    assert log.load(0) is None
    log.commit(1, Commit([(EntryId(6, 0), b"x")], {}, None))
    assert log.load(1) == Checkpoint(EntryId(5, 1), state)


def test_outputs_are_read_under_their_entrys_id_in_order(log):
    log.acquire(0)
    log.acquire(2)
    log.commit(0, Commit([(EntryId(5, 0), b"one"), (EntryId(5, 3), b"two")], {}, None))
    log.commit(2, Commit([(EntryId(4, 0), b"three")], {}, None))
    assert sorted(outputs(log)) == [
        (0, EntryId(5, 0), b"one"),
        (0, EntryId(5, 3), b"two"),
        (2, EntryId(4, 0), b"three"),
    ]


def test_an_entry_that_is_folded_again_is_not_heard_again(log):
    log.acquire(0)
    log.commit(0, Commit([(EntryId(5, 0), b"one"), (EntryId(6, 0), b"two")], {}, None))
    log.commit(0, Commit([(EntryId(5, 0), b"one"), (EntryId(6, 0), b"two"), (EntryId(7, 0), b"three")], {}, None))
    assert [data for _, _, data in outputs(log)] == [b"one", b"two", b"three"]


def test_outputs_that_were_trimmed_stay_refused(log):
    log.acquire(0)
    log.commit(0, Commit([(EntryId(5, 0), b"one"), (EntryId(6, 0), b"two")], {}, None))
    reader = log.reader("test")
    reader.read(10, 0)
    reader.done({0: EntryId(6, 0)})
    log.trim(0)
    log.commit(0, Commit([(EntryId(5, 0), b"one"), (EntryId(7, 0), b"three")], {}, None))
    assert [data for _, _, data in outputs(log)] == [b"three"]


def test_a_worker_that_lost_its_partition_writes_nothing(log):
    before, after = _two_workers(log)
    assert before.acquire(0) == 1
    before.commit(0, Commit([(EntryId(1, 0), b"one")], {"a": b"1"}, Checkpoint(EntryId(1, 0), b"first")))
    assert after.acquire(0) == 2
    step = Commit([(EntryId(2, 0), b"two")], {"a": b"2"}, Checkpoint(EntryId(2, 0), b"second"))
    with pytest.raises(FencedOffError) as caught:
        before.commit(0, step)
    assert (caught.value.partition, caught.value.epoch) == (0, 1)
    with pytest.raises(FencedOffError):
        before.commit(0, step._replace(checkpoint=None))
    assert after.load(0) == Checkpoint(EntryId(1, 0), b"first")
    assert after.current("a") == b"1"
    after.commit(0, NOTHING)
    assert after.load(0) == Checkpoint(EntryId(1, 0), b"first")
    after.commit(0, step)
    assert [data for _, _, data in outputs(log)] == [b"one", b"two"]
    assert after.load(0) == step.checkpoint


def test_nobody_commits_without_having_taken_the_partition(log):
    with pytest.raises(FencedOffError):
        log.commit(0, NOTHING)


def test_partitions_are_taken_over_one_by_one(log):
    before, after = _two_workers(log)
    before.acquire(0)
    before.acquire(1)
    after.acquire(1)
    before.commit(0, NOTHING)
    with pytest.raises(FencedOffError):
        before.commit(1, NOTHING)


def test_current_values_are_replaced_removed_and_found_by_prefix(log):
    log.acquire(0)
    log.acquire(1)
    many = {f"occupancy:s{number}": b"%d" % number for number in range(2500)}
    log.commit(0, Commit([], {**many, "other:1": b"x", "occ*": b"star"}, None))
    log.commit(1, Commit([], {"occupancy:far": b"y"}, None))
    log.commit(0, Commit([], {"occupancy:s0": None, "occupancy:s1": b"new", "never": None}, None))
    assert log.current("occupancy:s0") is None
    assert log.current("occupancy:s1") == b"new"
    assert log.current("occupancy:far") == b"y"
    del many["occupancy:s0"]
    assert log.current_all("occupancy:") == {**many, "occupancy:s1": b"new", "occupancy:far": b"y"}
    assert log.current_all("occ*") == {"occ*": b"star"}


def test_many_values_and_removals_fit_in_one_step(log):
    log.acquire(0)
    log.commit(0, Commit([], {f"n{number}": b"" for number in range(9_001)}, None))
    assert len(log.current_all("n")) == 9_001
    log.commit(0, Commit([], {f"n{number}": None for number in range(9_000)}, None))
    assert log.current_all("n") == {"n9000": b""}


def test_trimming_drops_entries_up_to_the_checkpoint_and_no_others(log):
    ids = log.append([(0, Recount("s", count)) for count in range(5)])
    log.acquire(0)
    log.trim(0)
    assert len(log.read({0: START}, limit=10, wait_s=0)[0]) == 5
    log.commit(0, Commit([], {}, Checkpoint(ids[2], b"state")))
    log.trim(0)
    assert [entry.body.count for entry in log.read({0: START}, limit=10, wait_s=0)[0]] == [3, 4]
    [newer] = log.append([(0, Tick())])
    assert newer > ids[-1]


def test_no_output_is_trimmed_that_a_registered_reader_has_not_passed(log):
    log.acquire(0)
    log.reader("slow")
    quick = log.reader("quick")
    log.commit(0, Commit([(EntryId(ms, 0), b"%d" % ms) for ms in range(1, 6)], {}, None))
    quick.read(10, 0)
    quick.done({0: EntryId(5, 0)})
    log.trim(0)
    slow = log.reader("slow")
    assert [data for _, _, data in slow.read(10, 0)] == [b"1", b"2", b"3", b"4", b"5"]
    slow.done({0: EntryId(3, 0)})
    log.trim(0)
    assert [entry_id.ms for _, entry_id, _ in outputs(log, "new")] == [4, 5]


def test_a_reader_goes_on_where_it_was_done_and_not_where_it_had_read(log):
    log.acquire(0)
    log.commit(0, Commit([(EntryId(ms, 0), b"%d" % ms) for ms in range(1, 5)], {}, None))
    reader = log.reader("delivery")
    assert [data for _, _, data in reader.read(2, 0)] == [b"1", b"2"]
    assert [data for _, _, data in reader.read(2, 0)] == [b"3", b"4"]
    assert reader.read(2, 0) == []
    reader.done({0: EntryId(1, 0)})
    assert [data for _, _, data in log.reader("delivery").read(10, 0)] == [b"2", b"3", b"4"]


def test_a_readers_position_never_moves_back(log):
    log.acquire(0)
    log.commit(0, Commit([(EntryId(9, seq), b"%d" % seq) for seq in range(12)], {}, None))
    reader = log.reader("delivery")
    reader.done({0: EntryId(9, 10)})
    reader.done({0: EntryId(9, 9)})
    assert [data for _, _, data in log.reader("delivery").read(100, 0)] == [b"11"]


def test_receipts_are_kept_with_the_append_newest_per_message_id(log):
    reading = Readings([Reading(sensor="door", kind="delta", ins=2)])
    log.append([(0, reading)], receipt=Receipt("ingest", [(1, 11), (65_535, 4_294_967_295)], 5))
    log.append([(1, reading)], receipt=Receipt("ingest", [(1, 12)], 9))
    log.append([(1, reading)], receipt=Receipt("other", [(1, 99)], 1))
    log.append([(1, reading)], receipt=Receipt("idle", [], 7))
    kept = log.receipts("ingest")
    assert (kept.passed, kept.messages) == (9, {1: (12, 9), 65_535: (4_294_967_295, 5)})
    assert log.receipts("other").messages == {1: (99, 1)}
    assert (log.receipts("idle").passed, log.receipts("idle").messages) == (7, {})
    assert (log.receipts("nobody").passed, log.receipts("nobody").messages) == (0, {})


def test_a_receipt_holds_until_its_message_must_have_been_acknowledged(log):
    log.append([(0, Tick())], receipt=Receipt("ingest", [(1, 7)], 10))
    assert log.receipts("ingest").hold(1, 7)
    assert not log.receipts("ingest").hold(1, 8)
    assert not log.receipts("ingest").hold(2, 7)
    log.append([(0, Tick())], receipt=Receipt("ingest", [], 10 + UNACKNOWLEDGED))
    assert log.receipts("ingest").hold(1, 7)
    log.append([(0, Tick())], receipt=Receipt("ingest", [], 11 + UNACKNOWLEDGED))
    assert not log.receipts("ingest").hold(1, 7)


def _two_workers(log):
    if hasattr(log, "another_worker"):
        return log, log.another_worker()
    return log, type(log).open(log._client, log.partitions, keys=log.keys, tail_s=0)
