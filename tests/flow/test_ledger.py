"""What a ledger promises, told on the one in memory; `tests/storage/test_ledger_twins.py` holds Redis to the same."""

import pytest

from geo_service.errors import InvalidInputError
from geo_service.flow.ledger import Answer, Claim, MemoryLedger, Reservation

NOW = 1_700_000_000_000
GRANTED = Answer(granted=True)


def one(key, counter="c", amount=1, limit=1, *, ttl_ms=1000, forget_after_ms=None):
    return Reservation(key, (Claim(counter, amount, limit, forget_after_ms),), ttl_ms)


def test_the_last_one_goes_to_whoever_asks_first():
    assert MemoryLedger().reserve([one("first"), one("second")], NOW) == [GRANTED, Answer(False, "c")]


def test_all_claims_are_granted_or_none():
    ledger = MemoryLedger()
    ledger.reserve([one("first", "scarce")], NOW)
    both = Reservation("both", (Claim("plenty", 5, 10), Claim("scarce", 1, 1)), 1000)
    assert ledger.reserve([both], NOW) == [Answer(False, "scarce")]
    assert ledger.total(["plenty", "scarce"], NOW) == [0, 1]


def test_two_claims_on_one_counter_are_added_up_before_the_check():
    ledger = MemoryLedger()
    twice = Reservation("k", (Claim("c", 2, 3), Claim("c", 2, None)), 1000)
    assert ledger.reserve([twice], NOW) == [Answer(False, "c")]
    assert ledger.reserve([Reservation("l", (Claim("c", 2, 4), Claim("c", 2, 4)), 1000)], NOW) == [GRANTED]
    assert ledger.total(["c"], NOW) == [4]


def test_a_repeated_key_gets_its_first_answer_and_changes_nothing():
    ledger = MemoryLedger()
    assert ledger.reserve([one("k"), one("l"), one("k"), one("l")], NOW) == [GRANTED, Answer(False, "c")] * 2
    assert ledger.release(["k"], NOW + 1) == [True]
    assert ledger.reserve([one("k"), one("l")], NOW + 2) == [GRANTED, Answer(False, "c")]
    assert ledger.total(["c"], NOW + 2) == [0]


def test_a_reservation_expires_at_its_time_and_makes_room():
    ledger = MemoryLedger()
    ledger.reserve([one("k", ttl_ms=10)], NOW)
    assert ledger.reserve([one("early")], NOW + 9) == [Answer(False, "c")]
    assert ledger.reserve([one("late")], NOW + 10) == [GRANTED]
    assert ledger.commit(["k"], NOW + 10) == [False]
    assert ledger.release(["k"], NOW + 10) == [False]
    assert ledger.total(["c"], NOW + 10) == [1]


def test_what_is_committed_stays():
    ledger = MemoryLedger()
    ledger.reserve([one("k", ttl_ms=10)], NOW)
    assert ledger.commit(["k"], NOW + 9) == [True]
    assert ledger.total(["c"], NOW + 100 * 86_400_000) == [1]


def test_what_is_committed_can_be_given_back_once():
    ledger = MemoryLedger()
    ledger.reserve([one("k", amount=3, limit=5)], NOW)
    ledger.commit(["k"], NOW)
    assert ledger.release(["k"], NOW + 1) == [True]
    assert ledger.total(["c"], NOW + 1) == [0]


def test_every_call_may_be_repeated_after_a_crash_with_the_same_answer():
    ledger = MemoryLedger()
    for _ in range(2):
        assert ledger.reserve([one("k", limit=2), one("other", limit=2)], NOW) == [GRANTED, GRANTED]
        assert ledger.commit(["k", "unknown"], NOW + 1) == [True, False]
        assert ledger.release(["k", "unknown"], NOW + 2) == [True, False]
        assert ledger.total(["c"], NOW + 2) == [1]


def test_what_was_released_cannot_be_committed():
    ledger = MemoryLedger()
    ledger.reserve([one("k")], NOW)
    ledger.release(["k"], NOW)
    assert ledger.commit(["k"], NOW) == [False]
    assert ledger.total(["c"], NOW) == [0]


def test_a_daily_cap_starts_again_after_its_day():
    ledger = MemoryLedger()
    day = 86_400_000
    ledger.reserve([one("k", forget_after_ms=day)], NOW)
    ledger.commit(["k"], NOW)
    assert ledger.reserve([one("l", forget_after_ms=day)], NOW + day - 1) == [Answer(False, "c")]
    assert ledger.reserve([one("m", forget_after_ms=day)], NOW + day) == [GRANTED]
    assert ledger.total(["c"], NOW + day) == [1]


def test_a_claim_of_yesterday_is_not_given_back_to_todays_counter():
    ledger = MemoryLedger()
    ledger.reserve([one("yesterday", forget_after_ms=10)], NOW)
    ledger.commit(["yesterday"], NOW)
    ledger.reserve([one("today", forget_after_ms=10)], NOW + 10)
    assert ledger.release(["yesterday"], NOW + 11) == [True]
    assert ledger.total(["c"], NOW + 11) == [1]


def test_no_limit_is_no_limit():
    ledger = MemoryLedger()
    assert ledger.reserve([one("k", amount=10**12, limit=None)], NOW) == [GRANTED]
    assert ledger.total(["c"], NOW) == [10**12]


def test_a_limit_of_zero_grants_nothing():
    assert MemoryLedger().reserve([one("k", limit=0)], NOW) == [Answer(False, "c")]


def test_no_claims_are_granted():
    assert MemoryLedger().reserve([Reservation("k", (), 1)], NOW) == [GRANTED]


def test_a_key_is_forgotten_after_the_window_and_not_before():
    ledger = MemoryLedger(window_ms=100)
    ledger.reserve([one("k", limit=9, ttl_ms=10)], NOW)
    ledger.commit(["k"], NOW + 5)
    assert ledger.release(["k"], NOW + 104) == [True]
    assert ledger.reserve([one("k", limit=9)], NOW + 203) == [GRANTED]
    assert ledger.total(["c"], NOW + 203) == [0]
    ledger.reserve([one("k", limit=9)], NOW + 204)
    assert ledger.total(["c"], NOW + 204) == [1]


def test_a_clock_behind_another_finds_nothing_twice():
    ledger = MemoryLedger()
    ledger.reserve([one("k", ttl_ms=10)], NOW)
    ledger.total(["c"], NOW + 10)
    assert ledger.commit(["k"], NOW + 5) == [False]
    assert ledger.reserve([one("l")], NOW + 5) == [GRANTED]


@pytest.mark.parametrize(
    ("reservation", "field"),
    [
        (one("k", amount=0), "amount"),
        (one("k", amount=-1), "amount"),
        (one("k", amount=2**60), "amount"),
        (one("k", limit=-1), "limit"),
        (one("k", ttl_ms=0), "ttl_ms"),
        (one("k", forget_after_ms=0), "forget_after_ms"),
        (one(""), "key"),
        (one("k", counter=""), "counter"),
    ],
)
def test_what_no_ledger_can_mean_is_refused_and_nothing_is_reserved(reservation, field):
    ledger = MemoryLedger()
    with pytest.raises(InvalidInputError) as caught:
        ledger.reserve([one("good"), reservation], NOW)
    assert caught.value.field == field
    assert ledger.total(["c"], NOW) == [0]


def test_a_dump_carries_everything_over():
    ledger = MemoryLedger(window_ms=100)
    ledger.reserve([one("a", limit=9, ttl_ms=10), one("b", "day", forget_after_ms=20)], NOW)
    ledger.commit(["b"], NOW)
    again = MemoryLedger.load(ledger.dump())
    assert again.window_ms == 100
    assert again.total(["c", "day"], NOW + 9) == [1, 1]
    assert again.total(["c", "day"], NOW + 10) == [0, 1]
    assert again.commit(["a", "b"], NOW + 11) == [False, True]
    assert again.total(["day"], NOW + 20) == [0]


def test_of_alternatives_the_first_that_is_granted_holds_and_the_others_are_only_looked_at():
    ledger = MemoryLedger()
    options = [
        Reservation("full", (Claim("a", 1, 0),), 1000, "g"),
        Reservation("first", (Claim("b", 1, 1),), 1000, "g"),
        Reservation("second", (Claim("c", 1, 1),), 1000, "g"),
        Reservation("third", (Claim("a", 1, 0),), 1000, "g"),
        Reservation("another", (Claim("c", 1, 1),), 1000, "h"),
    ]
    answers = [Answer(False, "a"), GRANTED, Answer(True, None, True), Answer(False, "a"), GRANTED]
    assert ledger.reserve(options, NOW) == answers
    assert ledger.total(["a", "b", "c"], NOW) == [0, 1, 1]
    assert ledger.commit(["first", "second"], NOW) == [True, False]
    assert ledger.reserve(options, NOW + 1) == answers
    assert MemoryLedger.load(ledger.dump()).reserve(options, NOW + 1) == answers


def test_a_look_holds_nothing_and_is_remembered_for_its_time():
    ledger = MemoryLedger()
    look = Reservation("look", (Claim("c", 1, 1),), 10, hold=False)
    assert ledger.reserve([look, one("taken", ttl_ms=1000)], NOW) == [Answer(True, None, True), GRANTED]
    assert ledger.reserve([look], NOW + 9) == [Answer(True, None, True)]
    assert ledger.reserve([look], NOW + 10) == [Answer(False, "c")]
    assert ledger.release(["look"], NOW + 10) == [False]
