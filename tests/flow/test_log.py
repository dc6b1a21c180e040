"""What is particular to the log in memory; what every log must do stands in `tests/storage/test_log.py`."""

from geo_service.flow.entries import START, EntryId, Recount, Tick
from geo_service.flow.log import Log, MemoryLog


def test_entries_carry_the_time_that_they_were_given():
    log = MemoryLog()
    log.now_ms = 1000
    assert log.append([(0, Tick()), (0, Tick())]) == [EntryId(1000, 0), EntryId(1000, 1)]
    log.now_ms = 2500
    assert log.append([(0, Tick())]) == [EntryId(2500, 0)]


def test_ids_never_move_back_with_the_time():
    log = MemoryLog()
    log.now_ms = 1000
    log.append([(0, Tick())])
    log.now_ms = 400
    assert log.append([(0, Tick())]) == [EntryId(1000, 1)]


def test_time_zero_is_after_the_start():
    log = MemoryLog()
    [entry_id] = log.append([(0, Tick())])
    assert entry_id > START
    assert len(log.read({0: START}, limit=1, wait_s=0)[0]) == 1


def test_nobody_can_change_an_entry_after_it_was_appended():
    log = MemoryLog()
    log.append([(0, Recount("s", 1))])
    [once] = log.read({0: START}, limit=1, wait_s=0)[0]
    [again] = log.read({0: START}, limit=1, wait_s=0)[0]
    assert once.body == again.body
    assert once.body is not again.body


def test_it_is_a_log():
    log: Log = MemoryLog()
    assert log.partitions == 1
