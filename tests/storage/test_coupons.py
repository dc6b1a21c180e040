"""Coupons on a real server: every step, every refusal, a thousand tills at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from geo_service import outputs
from geo_service.flow.entries import Redeemed
from geo_service.offers.coupons import Once, Till, code_of
from geo_service.storage.connection import connect
from geo_service.storage.coupons import Coupons, secret_of
from geo_service.storage.redis_ledger import RedisLedger
from sensors.instants import instant, millis

SECRET = b"a secret of the test"
NOW_MS = 2_000_000_000_000
DAY_MS = 86_400_000


def offer(number=1, device="phone", **changes):
    known = {
        "id": f"0-{NOW_MS}-0-{number}.0",
        "campaign": "bread",
        "device": device,
        "store": "s1",
        "decision": "sent",
        "reason": "admitted",
        "code": code_of(SECRET, f"0-{NOW_MS}-0-{number}.0"),
        "time": instant(NOW_MS),
        "expires": instant(NOW_MS) + timedelta(hours=1),
        "evidence": {"benefit": {"type": "percentage", "value": 20}},
    }
    return outputs.Offer(**(known | changes))


class Clock:
    def __init__(self):
        self.now_ms = NOW_MS

    def __call__(self):
        return self.now_ms


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def coupons(client, keys, clock):
    return Coupons(client, SECRET, keys=keys, clock=clock)


@pytest.fixture
def code(coupons):
    coupons.issue([outputs.encode(offer())])
    return offer().code


HERE = Till("s1")


def told(coupons):
    heard = []
    coupons.tell(heard.extend)
    return [event for _, event in heard]


def test_a_coupon_is_redeemed_once(coupons, code):
    assert coupons.find(code).coupon["state"] == "issued"
    assert coupons.redeem(code, HERE).word == "done"
    assert coupons.redeem(code, HERE).word == "redeemed"
    (event,) = told(coupons)
    assert isinstance(event, Redeemed)
    assert (event.change, event.previous, event.at, event.offer, event.campaign) == (
        "redeemed", "issued", "s1", offer().id, "bread",
    )  # fmt: skip
    assert told(coupons) == []


def test_a_code_may_be_typed_as_people_type(coupons, code):
    assert (
        coupons.redeem(f" {code.lower().replace('-', ' ').replace('0', 'o').replace('1', 'l')} ", HERE).word == "done"
    )


@pytest.mark.parametrize(
    ("till", "later_ms", "word"),
    [
        (Till("s2"), 0, "wrong_store"),
        (Till("s2", everywhere=True), 0, "done"),
        (Till("s1", "online"), 0, "wrong_channel"),
        (Till("s1", "online", channels="any"), 0, "done"),
        (Till("s1", "store", channels="online"), 0, "wrong_channel"),
        (HERE, 3_600_000 - 1, "done"),
        (HERE, 3_600_000, "expired"),
        (Till("s1", time_ms=NOW_MS + 1000), DAY_MS, "done"),
        (Till("s1", time_ms=NOW_MS + DAY_MS), 0, "done"),
        (Till("s1", time_ms=NOW_MS - 120_000), 0, "done"),
        (Till("s1", time_ms=NOW_MS - 120_001), 0, "too_early"),
        (Till("s1", time_ms=1), DAY_MS, "too_early"),
        (Till("s1", time_ms=NOW_MS + DAY_MS, quota=1), 0, "done"),
        (Till("s1", quota=0), 0, "over_quota"),
    ],
)
def test_each_refusal_has_its_own_word(coupons, clock, code, till, later_ms, word):
    clock.now_ms += later_ms
    assert coupons.redeem(code, till).word == word


def test_a_code_that_nobody_issued_is_unknown(coupons):
    assert coupons.redeem(code_of(SECRET, "another"), HERE).word == "unknown"


def test_void_is_void_unless_redeemed_first(coupons, code):
    assert coupons.void(code).word == "done"
    assert coupons.redeem(code, HERE).word == "void"
    coupons.issue([outputs.encode(offer(2))])
    coupons.redeem(offer(2).code, HERE)
    assert coupons.void(offer(2).code).word == "redeemed"
    assert [event.change for event in told(coupons)].count("void") == 1


def test_the_same_key_gets_the_same_answer_and_another_body_none(coupons, clock, code):
    first = coupons.redeem(code, HERE, Once("till-1:k", "body"))
    clock.now_ms += 5000
    assert coupons.redeem(code, HERE, Once("till-1:k", "body")) == first._replace(is_repeat=True)
    assert coupons.redeem(code, HERE, Once("till-1:k", "other")).word == "key_reused"
    assert coupons.redeem(code, HERE, Once("till-2:k", "body")).word == "redeemed"
    assert len(told(coupons)) == 1
    clock.now_ms += 2 * DAY_MS
    assert coupons.redeem(code, HERE, Once("till-2:k", "body")).word == "redeemed"


def test_a_refusal_under_a_key_is_repeated_too(coupons, code):
    assert coupons.redeem(code, Till("s2"), Once("k", "body")).word == "wrong_store"
    coupons.redeem(code, HERE)
    assert coupons.redeem(code, Till("s2"), Once("k", "body")).word == "wrong_store"


def test_a_key_that_was_used_with_an_unknown_code_is_used(coupons, code):
    unknown = code_of(SECRET, "another")
    assert coupons.redeem(unknown, HERE, Once("k", "body")).word == "unknown"
    assert coupons.redeem(unknown, HERE, Once("k", "body")) == (
        "unknown", {}, 0, True,
    )  # fmt: skip
    assert coupons.redeem(code, HERE, Once("k", "other")).word == "key_reused"


def test_a_lock_keeps_others_out_until_its_time_is_up(coupons, clock, code):
    held = coupons.lock(code, HERE, 120)
    assert (held.word, held.wait_ms) == ("held", 120_000)
    waiting = coupons.redeem(code, HERE, Once("k", "b"))
    assert (waiting.word, waiting.wait_ms) == ("locked", 120_000)
    assert coupons.lock(code, HERE, 120).word == "locked"
    assert coupons.redeem(code, Till("s1", lock=held.coupon["holder"])).word == "done"
    coupons.issue([outputs.encode(offer(2))])
    coupons.lock(offer(2).code, HERE, 120)
    clock.now_ms += 120_000
    assert coupons.redeem(offer(2).code, HERE, Once("k2", "b")).word == "done"


def test_what_is_held_stays_good_until_the_hold_ends(coupons, clock, code):
    clock.now_ms += 3_590_000
    held = coupons.lock(code, HERE, 120)
    clock.now_ms += 119_999
    assert coupons.redeem(code, HERE).word == "expired"
    assert coupons.redeem(code, Till("s1", lock=held.coupon["holder"])).word == "done"
    coupons.rollback(code, "s1")
    assert coupons.lock(code, HERE, 120).word == "expired"


def test_who_did_not_hear_that_they_hold_it_asks_again_and_holds_it_no_longer_for_that(coupons, clock, code):
    mine = HERE._replace(asks="till-1:k")
    first = coupons.lock(code, mine, 120)
    clock.now_ms += 100_000
    again = coupons.lock(code, mine, 120)
    assert (again.word, again.wait_ms) == ("held", 20_000)
    assert again.coupon["holder"] == first.coupon["holder"]
    assert coupons.lock(code, HERE._replace(asks="till-2:k"), 120).word == "locked"
    assert coupons.lock(code, HERE, 120).word == "locked"
    clock.now_ms += 20_000
    assert coupons.lock(code, HERE, 120).word == "held"
    assert coupons.lock(code, mine, 120).word == "locked"


def test_a_hold_that_is_over_protects_from_nothing(coupons, clock, code):
    clock.now_ms += 3_590_000
    held = coupons.lock(code, HERE, 120)
    clock.now_ms += 120_000
    assert coupons.redeem(code, Till("s1", lock=held.coupon["holder"])).word == "expired"


def test_a_basket_that_was_given_up_lets_go_of_its_coupon(coupons, code):
    held = coupons.lock(code, HERE, 120)
    coupons.unlock(code, "somebody else")
    assert coupons.redeem(code, HERE).word == "locked"
    coupons.unlock(code, held.coupon["holder"])
    assert coupons.redeem(code, HERE).word == "done"


def test_a_redemption_that_is_taken_back_asks_for_its_quota_again(coupons, code):
    till = Till("s1", quota=1)
    coupons.issue([outputs.encode(offer(2))])
    assert coupons.redeem(code, till).word == "done"
    assert coupons.redeem(offer(2).code, till).word == "over_quota"
    assert coupons.rollback(code, "s2").word == "wrong_store"
    assert coupons.rollback(code, "s1", Once("r", "b")).word == "done"
    assert coupons.rollback(code, "s1", Once("r", "b")).word == "done"
    assert coupons.rollback(code, "s1").word == "not_redeemed"
    assert coupons.redeem(offer(2).code, till).word == "done"
    assert coupons.redeem(code, till).word == "over_quota"
    assert [event.change for event in told(coupons)].count("rolled_back") == 1


def test_a_redemption_keeps_its_unit_of_the_quota_however_long_nobody_hears_of_it(coupons, clock, code):
    """The till's process died before it told the log, and nothing ran for a day."""
    later = offer(2, expires=instant(NOW_MS + 7 * DAY_MS))
    coupons.issue([outputs.encode(later)])
    assert coupons.redeem(code, Till("s1", quota=1)).word == "done"
    clock.now_ms += DAY_MS
    assert coupons.redeem(later.code, Till("s1", quota=1)).word == "over_quota"
    assert len(told(coupons)) == 1
    assert coupons.redeem(later.code, Till("s1", quota=1)).word == "over_quota"


def test_what_is_brought_back_weeks_later_gives_its_unit_back(coupons, clock, code):
    later = offer(2, expires=instant(NOW_MS + 60 * DAY_MS))
    coupons.issue([outputs.encode(later)])
    assert coupons.redeem(code, Till("s1", quota=1)).word == "done"
    clock.now_ms += 20 * DAY_MS
    assert coupons.rollback(code, "s1").word == "done"
    assert coupons.redeem(later.code, Till("s1", quota=1)).word == "done"


def test_a_quota_that_is_set_lowered_or_raised_counts_what_was_redeemed_before(coupons):
    offers = [offer(number) for number in range(5)]
    coupons.issue(map(outputs.encode, offers))
    words = [coupons.redeem(each.code, Till("s1", quota=quota)).word for each, quota in zip(
        [offers[0], offers[1], offers[2], offers[2], offers[3]], [None, 2, 2, 3, 1], strict=True
    )]  # fmt: skip
    assert words == ["done", "done", "over_quota", "done", "over_quota"]
    assert coupons.rollback(offers[0].code, "s1").word == "done"
    assert coupons.redeem(offers[3].code, Till("s1", quota=3)).word == "done"


def test_the_ledger_knows_how_many_were_redeemed(coupons, client, keys, code):
    ledger, counter = RedisLedger(client, keys=keys), ["coupon:bread:redemptions"]
    coupons.redeem(code, HERE)
    assert ledger.total(counter, NOW_MS) == [1]
    coupons.rollback(code, "s1")
    assert ledger.total(counter, NOW_MS) == [0]


def test_one_request_sent_many_times_at_once_gets_the_last_unit_once(url, keys, coupons, code, clock):
    """An impatient till: the same key on twenty connections, for the last coupon of the quota."""

    def send(_):
        with connect(url, retries=0) as own:
            mine = Coupons(own, SECRET, keys=keys, clock=clock)
            return [mine.redeem(code, Till("s1", quota=1), Once("k", "b")) for _ in range(10)]

    with ThreadPoolExecutor(20) as pool:
        answers = [answer for answers in pool.map(send, range(20)) for answer in answers]
    assert {answer.word for answer in answers} == {"done"}
    assert [answer.is_repeat for answer in answers].count(False) == 1


@pytest.mark.parametrize("quota", [None, 5])
def test_a_thousand_tills_at_once_redeem_a_coupon_once(url, client, keys, code, clock, quota):
    """Twenty connections, a thousand redeems, every one with a key of its own."""

    def till(number):
        with connect(url, retries=0) as own:
            coupons = Coupons(own, SECRET, keys=keys, clock=clock)
            return [
                coupons.redeem(code, Till("s1", quota=quota), Once(f"{number}.{turn}", "b")).word for turn in range(50)
            ]

    with ThreadPoolExecutor(20) as pool:
        words = [word for words in pool.map(till, range(20)) for word in words]
    assert words.count("done") == 1
    assert set(words) <= {"done", "redeemed", "locked"}
    assert len(told(Coupons(client, SECRET, keys=keys))) == 1


def test_a_thousand_coupons_at_once_stay_within_the_quota(url, client, keys, clock):
    coupons = Coupons(client, SECRET, keys=keys, clock=clock)
    coupons.issue([outputs.encode(offer(number)) for number in range(1000)])

    def till(number):
        with connect(url, retries=0) as own:
            mine = Coupons(own, SECRET, keys=keys, clock=clock)
            return [mine.redeem(offer(number * 50 + turn).code, Till("s1", quota=100)).word for turn in range(50)]

    with ThreadPoolExecutor(20) as pool:
        words = [word for words in pool.map(till, range(20)) for word in words]
    assert words.count("done") == 100
    assert words.count("over_quota") == 900


def test_an_offer_that_is_delivered_again_does_not_make_its_coupon_new(coupons, code):
    coupons.redeem(code, HERE)
    coupons.issue([outputs.encode(offer())])
    assert coupons.redeem(code, HERE).word == "redeemed"


def test_no_code_is_stored_anywhere(coupons, client, keys, code):
    coupons.redeem(code, HERE, Once("k", "b"))
    for key in client.scan_iter(match=f"{keys.prefix}*"):
        kept = key + client.dump(key)
        assert code.encode() not in kept
        assert code.replace("-", "").encode() not in kept


def test_a_forgotten_person_leaves_no_coupon(coupons, client, keys, code):
    coupons.forget("phone")
    assert list(client.scan_iter(match=f"{keys.prefix}*")) == []


def test_the_secret_is_made_once_and_a_setting_goes_before_it(client, keys):
    made = secret_of(client, keys, None)
    assert len(made) == 32
    assert secret_of(client, keys, None) == made
    assert secret_of(client, keys, "given") == b"given"


def test_a_change_that_was_told_is_not_told_again_unless_the_note_was_lost(coupons, code):
    coupons.redeem(code, HERE)

    def dies(_):
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        coupons.tell(dies)
    (event,) = told(coupons)
    assert millis(instant(event.time_ms)) == NOW_MS


def test_the_log_hears_of_a_coupon_s_changes_in_their_order(coupons):
    """More of them than a hash keeps in order, none told yet."""
    offers = [offer(number) for number in range(30)]
    coupons.issue(map(outputs.encode, offers))
    for each in offers:
        for _ in range(6):
            coupons.redeem(each.code, HERE)
            coupons.rollback(each.code, "s1")
    heard = told(coupons)
    for each in offers:
        changes = [event.id for event in heard if event.offer == each.id]
        assert changes == [f"{each.id}:{turn}" for turn in range(1, 13)]


def test_a_coupon_keeps_its_campaign_s_terms_from_when_it_was_issued(client, keys, clock):
    terms = {"bread": b"the terms"}
    coupons = Coupons(client, SECRET, keys=keys, terms=terms.get, clock=clock)
    coupons.issue([outputs.encode(offer(1)), outputs.encode(offer(2, campaign="gone"))])
    assert coupons.find(offer(1).code).coupon["terms"] == "the terms"
    assert coupons.find(offer(2).code).coupon["terms"] == ""
