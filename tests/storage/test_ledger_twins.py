"""The ledger in memory and the one on Redis give the same answers, whatever happens to them."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geo_service.flow.ledger import Claim, MemoryLedger, Reservation
from geo_service.storage.connection import connect
from geo_service.storage.redis_ledger import RedisLedger

WINDOW_MS = 40
_counters = st.sampled_from(["a", "b", "ä"])
_keys = st.integers(0, 7).map(str)
_claims = st.builds(
    Claim,
    counter=_counters,
    amount=st.integers(1, 4) | st.just(2**52),
    limit=st.none() | st.integers(0, 9) | st.just(2**52),
    forget_after_ms=st.none() | st.integers(1, 60),
)
_reservations = st.builds(
    Reservation,
    key=_keys,
    claims=st.lists(_claims, max_size=4).map(tuple),
    ttl_ms=st.integers(1, 50),
    group=st.sampled_from(["", "", "g", "h"]),
    hold=st.booleans(),
)
_steps = st.one_of(
    st.tuples(st.just("reserve"), st.lists(_reservations, max_size=4)),
    st.tuples(st.just("commit"), st.lists(_keys, max_size=3)),
    st.tuples(st.just("release"), st.lists(_keys, max_size=3)),
    st.tuples(st.just("total"), st.just(["a", "b", "ä", "nothing"])),
    st.tuples(st.just("dump"), st.none()),
)
# Mostly forwards; partitions' clocks differ, so sometimes back.
_histories = st.lists(st.tuples(st.integers(-5, 30), _steps), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=_histories)
def test_both_ledgers_answer_alike(client, keys, history):
    clear(client, keys)
    memory, redis = MemoryLedger(WINDOW_MS), RedisLedger(client, keys=keys, window_ms=WINDOW_MS)
    now_ms = 1_700_000_000_000
    for elapsed_ms, (name, items) in history:
        now_ms += elapsed_ms
        if name == "dump":
            memory = MemoryLedger.load(memory.dump())
            continue
        assert getattr(memory, name)(items, now_ms) == getattr(redis, name)(items, now_ms), (name, items)
    counters = ["a", "b", "ä"]
    assert memory.total(counters, now_ms) == redis.total(counters, now_ms)
    assert_nothing_stays(memory, redis, client, keys, now_ms)


def assert_nothing_stays(memory, redis, client, keys, now_ms):
    """Long after, nothing is remembered but what was committed without an end."""
    later_ms = now_ms + 2**53
    assert memory.total(["a"], later_ms) == redis.total(["a"], later_ms)
    assert memory._records == {}
    assert client.hlen(keys("ledger_records")) == client.zcard(keys("ledger_due")) == 0
    assert client.hlen(keys("ledger_counters")) == len(memory._counters)


def clear(client, keys):
    client.delete(keys("ledger_counters"), keys("ledger_records"), keys("ledger_due"))


def test_a_thousand_at_once_never_get_one_too_many(url, client, keys):
    def worker(number):
        with connect(url, retries=0) as own:
            ledger = RedisLedger(own, keys=keys)
            claims = (Claim("coupon", 1, 100), Claim(f"device:{number}", 1, None))
            return [
                ledger.reserve([Reservation(f"{number}.{turn}", claims, 60_000)], 1000 + turn)[0] for turn in range(50)
            ]

    with ThreadPoolExecutor(20) as pool:
        answers = [answer for answers in pool.map(worker, range(20)) for answer in answers]
    assert len(answers) == 1000
    assert sum(answer.granted for answer in answers) == 100
    assert {answer.refused for answer in answers if not answer.granted} == {"coupon"}
    ledger = RedisLedger(client, keys=keys)
    devices = ledger.total([f"device:{number}" for number in range(20)], 1000)
    assert sum(devices) == ledger.total(["coupon"], 1000)[0] == 100


def test_a_batch_larger_than_a_slice_is_decided_in_order(client, keys):
    ledger = RedisLedger(client, keys=keys)
    batch = [Reservation(str(number), (Claim("c", 1, 600),), 1000) for number in range(1000)]
    assert [answer.granted for answer in ledger.reserve(batch, 1)] == [True] * 600 + [False] * 400
    assert ledger.commit([str(number) for number in range(1000)], 2) == [True] * 600 + [False] * 400
    assert ledger.total(["c"], 10_000) == [600]


def test_alternatives_stay_together_over_slices(client, keys):
    ledger = RedisLedger(client, keys=keys)
    batch = [
        Reservation(f"{n}.{alternative}", (Claim("c", 1, None),), 1000, str(n))
        for n in range(200)
        for alternative in "abc"
    ]
    answers = ledger.reserve(batch, 1)
    assert [answer.looked for answer in answers] == [False, True, True] * 200
    assert ledger.total(["c"], 1) == [200]


def test_more_counters_than_one_command_of_the_store_takes_are_kept_as_in_memory(client, keys):
    both = MemoryLedger(WINDOW_MS), RedisLedger(client, keys=keys, window_ms=WINDOW_MS)
    claims = [tuple(Claim(f"{n}.{part}", 1, None, 10 + part) for part in range(20)) for n in range(240)]
    batch = [Reservation(str(number), each, 30) for number, each in enumerate(claims)]
    counters = [claim.counter for each in claims for claim in each]
    for name, items, now_ms in [
        ("reserve", batch, 1),
        ("total", counters, 2),
        ("commit", [str(number) for number in range(0, 240, 2)], 3),
        ("release", [str(number) for number in range(0, 240, 3)], 4),
        ("total", counters, 20),
    ]:
        of_memory, of_redis = (getattr(ledger, name)(items, now_ms) for ledger in both)
        assert of_memory == of_redis, name
    assert_nothing_stays(*both, client, keys, 20)


def test_a_server_that_lost_its_scripts_is_given_them_again(client, keys):
    ledger = RedisLedger(client, keys=keys)
    ledger.reserve([Reservation("k", (Claim("c", 1, 1),), 1000)], 1)
    client.script_flush()
    assert ledger.total(["c"], 1) == [1]


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_do_needs_no_answer(client, keys, count):
    ledger = RedisLedger(client, keys=keys)
    assert ledger.commit(["unknown"] * count, 1) == [False] * count
