"""Whatever happens, never one over any cap, and nothing held for ever: offers and coupons on each ledger against a model.

Random triggers, crashes of the worker with its commits lost, entries folded again hours later, tills that retry, die with a
coupon in their hands, take back; time that passes, coupons that expire.
"""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from geo_service import outputs
from geo_service.catalogue.documents import Campaign, Caps, Policy, PolicyCaps, Store
from geo_service.catalogue.site import Site, encode_document
from geo_service.flow.entries import Change, Changes, Entry, EntryId, Handover
from geo_service.flow.ledger import LOOKED_MS, MemoryLedger
from geo_service.flow.partition import Partition, Rules
from geo_service.offers.coupons import Once, Till
from geo_service.offers.facts import Facts
from geo_service.storage.connection import connect
from geo_service.storage.coupons import Coupons
from geo_service.storage.keys import Keys
from geo_service.storage.redis_ledger import RedisLedger
from sensors.instants import instant

T0 = 2_000_000_000_000
AGREES = Facts(agrees=True)
ABSENCE_MS = 46 * 3_600_000
"""So long may a worker be away with commits that it did not make."""
SECRET = b"a secret of the test"
RULES = Rules("strict", secret=SECRET)
QUOTA, TOTAL, PER_DEVICE, BUDGET, PER_DAY, DEVICE_DAY = 2, 7, 2, 500, 4, 3
LIMITED = ("a", "b")
"""Campaigns with a quota of redemptions."""
NEAR = {"benefit": {"type": "amount", "value": 100, "currency": "EUR"}, "expires_s": 3600.0}
CAMPAIGNS = [
    Campaign(
        id="a",
        name="A",
        holdout=0.2,
        priority=1,
        caps=Caps(total=TOTAL, per_device=PER_DEVICE, redemptions=QUOTA),
        **NEAR,
    ),
    Campaign(id="b", name="B", holdout=0, caps=Caps(budget=BUDGET, min_gap_s=1800, redemptions=QUOTA), **NEAR),
    Campaign(id="c", name="C", holdout=0, caps=Caps(per_day=PER_DAY), exclusive="x", **NEAR),
    Campaign(id="d", name="D", holdout=0, skus=["gone"], caps=Caps(total=1), exclusive="x", **NEAR),
]
SITE = Site(
    store={"s1": Store(id="s1", name="One", lat=45, lon=-6)},
    campaign={campaign.id: campaign for campaign in CAMPAIGNS},
    policy={"all": Policy(id="all", caps=PolicyCaps(per_device_day=DEVICE_DAY))},
)


def crossing(device, number, now_ms):
    return outputs.Crossing(
        id=f"1-{now_ms}-0-{number}",
        type="enter",
        device=device,
        fence="near",
        store="s1",
        role="near",
        time=instant(now_ms),
        logged=instant(now_ms),
        lat=45.0,
        lon=-6.0,
        accuracy_m=5.0,
        confidence=1.0,
        duration_s=None,
        reason="observed",
    )


class Scarce(RuleBasedStateMachine):
    client = None
    on_redis = True
    """Where offers take what they take; coupons are on Redis anyway."""

    @initialize()
    def begin(self):
        self.client.flushdb()
        keys = Keys("scarce:")
        self.redemptions = RedisLedger(self.client, keys=keys)
        self.ledger = self.redemptions if self.on_redis else MemoryLedger()
        self.coupons = Coupons(self.client, SECRET, keys=keys, clock=lambda: self.now_ms)
        self.now_ms, self.entries = T0, 0
        self.partition = Partition(0, 1, self.ledger, RULES)
        self.checkpoint, self.since, self.uncommitted = None, [], []
        self.made: dict[str, outputs.Offer] = {}
        self.codes: dict[str, str] = {}
        self.redeemed: set[str] = set()
        self.held_by: dict[str, tuple[str, int]] = {}
        self.answers = {}
        changes = [Change(kind, key, encode_document(document)) for kind, key, document in SITE.documents()]
        self.fold(Changes(changes))
        self.save()

    # --- the worker --------------------------------------------------------------------------------------------------

    def fold(self, body):
        self.entries += 1
        entry = Entry(EntryId(self.now_ms, self.entries), body)
        step = self.partition.advance(entry)
        self.since.append((entry, [outputs.encode(said) for said in step.outputs]))
        self.uncommitted.append(step.to_commit)
        for offer in step.outputs:
            if isinstance(offer, outputs.Offer) and offer.decision != "withheld":
                self.made[offer.id] = offer
                if offer.decision == "sent":
                    self.coupons.issue([outputs.encode(offer)])
                    self.codes[offer.id] = offer.code

    def settle(self):
        for keys in self.uncommitted:
            self.ledger.commit(keys, self.now_ms)
        self.uncommitted = []

    @rule(devices=st.lists(st.sampled_from(["p", "q", "r", "s"]), min_size=1, max_size=4), settles=st.booleans())
    def trigger(self, devices, settles):
        crossings = [crossing(device, self.entries * 10 + number, self.now_ms) for number, device in enumerate(devices)]
        entry = f"{self.now_ms}-{self.entries + 1}"
        self.fold(Handover(1, entry, crossings, [AGREES] * len(crossings)))
        if settles:
            self.settle()

    @rule()
    def save(self):
        self.settle()
        self.checkpoint, self.since = self.partition.dump(), []

    @rule()
    def crash(self):
        """Commits that were not made yet are lost; the entries since the checkpoint are folded again, to the same bytes.

        Why a loser lost may be said in another way once it is forgotten that it was looked at.
        """
        self.uncommitted = []
        self.partition = Partition.load(self.checkpoint, 0, 1, self.ledger, RULES)
        for entry, said in self.since:
            step = self.partition.advance(entry)
            if self.now_ms - entry.id.ms < LOOKED_MS:
                assert [outputs.encode(output) for output in step.outputs] == said
            assert list(map(outputs.encode, made(step.outputs))) == [line for line in said if b'"withheld"' not in line]
            self.uncommitted.append(step.to_commit)
        self.settle()

    @rule(minutes=st.sampled_from([0, 1, 5, 20, 45, 300]))
    def wait(self, minutes):
        """Commits may wait for hours: the worker was away, and its backlog is folded in one batch."""
        if self.now_ms + minutes * 60_000 - self.since_ms() > ABSENCE_MS:
            self.save()
        self.now_ms += minutes * 60_000

    def since_ms(self):
        return self.since[0][0].id.ms if self.since else self.now_ms

    @rule()
    def tell(self):
        self.coupons.tell(lambda _: None)

    # --- the tills ---------------------------------------------------------------------------------------------------

    def quota(self, offer_id):
        return QUOTA if self.made[offer_id].campaign in LIMITED else None

    def is_expired(self, offer_id):
        return instant(self.now_ms) >= self.made[offer_id].expires

    @precondition(lambda self: self.codes)
    @rule(data=st.data(), key=st.sampled_from([None, "k1", "k2"]), store=st.sampled_from(["s1", "s1", "s2"]))
    def redeem(self, data, key, store):
        offer_id = data.draw(st.sampled_from(sorted(self.codes)))
        once = None if key is None else Once(f"{offer_id}-{key}", store)
        answer = self.coupons.redeem(self.codes[offer_id], Till(store, quota=self.quota(offer_id)), once)
        if once in self.answers:
            assert answer == self.answers[once]
            return
        if once is not None and any(known.key == once.key for known in self.answers):
            assert answer.word == "key_reused"
            return
        if answer.word == "locked":
            assert self.held_by[offer_id][1] > self.now_ms
            return
        if once is not None:
            self.answers[once] = answer._replace(is_repeat=True)
        if offer_id in self.redeemed:
            assert answer.word == "redeemed"
        elif self.is_expired(offer_id):
            assert answer.word == "expired"
        elif store == "s2":
            assert answer.word == "wrong_store"
        elif answer.word == "done":
            self.redeemed.add(offer_id)
        else:
            assert answer.word == "over_quota"
            assert self.quota(offer_id) is not None
            assert self.held(self.made[offer_id].campaign) >= QUOTA

    @precondition(lambda self: self.codes)
    @rule(data=st.data(), ttl_s=st.sampled_from([1, 120, 900]))
    def hold(self, data, ttl_s):
        """A till begins a basket; it may well be gone before it ends it."""
        offer_id = data.draw(st.sampled_from(sorted(self.codes)))
        answer = self.coupons.lock(self.codes[offer_id], Till("s1"), ttl_s)
        if answer.word == "held":
            self.held_by[offer_id] = answer.coupon["holder"], self.now_ms + ttl_s * 1000

    @precondition(lambda self: self.held_by)
    @rule(data=st.data(), lets_go=st.booleans())
    def end_basket(self, data, lets_go):
        offer_id = data.draw(st.sampled_from(sorted(self.held_by)))
        holder, until_ms = self.held_by.pop(offer_id)
        if lets_go:
            assert self.coupons.unlock(self.codes[offer_id], holder).word == "found"
            return
        answer = self.coupons.redeem(self.codes[offer_id], Till("s1", lock=holder, quota=self.quota(offer_id)))
        if answer.word == "done":
            self.redeemed.add(offer_id)
        elif until_ms > self.now_ms and offer_id not in self.redeemed:
            assert answer.word == "over_quota"
            self.held_by[offer_id] = holder, until_ms

    @precondition(lambda self: self.redeemed)
    @rule(data=st.data())
    def roll_back(self, data):
        offer_id = data.draw(st.sampled_from(sorted(self.redeemed)))
        assert self.coupons.rollback(self.codes[offer_id], "s1").word == "done"
        assert self.coupons.rollback(self.codes[offer_id], "s1").word == "not_redeemed"
        self.redeemed.discard(offer_id)

    # --- what must be true -------------------------------------------------------------------------------------------

    def held(self, campaign):
        return self.redemptions.total([f"coupon:{campaign}:redemptions"], self.now_ms)[0]

    def redeemed_of(self, campaign):
        return len([offer for offer in self.redeemed if self.made[offer].campaign == campaign])

    @invariant()
    def never_one_over(self):
        by = {campaign.id: [o for o in self.made.values() if o.campaign == campaign.id] for campaign in CAMPAIGNS}
        assert len(by["a"]) <= TOTAL
        assert len(by["d"]) <= 1
        assert len(by["b"]) * 100 <= BUDGET
        for offers, most in ((by["a"], PER_DEVICE), (list(self.made.values()), DEVICE_DAY)):
            per = {}
            for offer in offers:
                day = offer.time.date() if most == DEVICE_DAY else None
                per[offer.device, day] = per.get((offer.device, day), 0) + 1
            assert max(per.values(), default=0) <= most
        days = [offer.time.date() for offer in by["c"]]
        assert max(map(days.count, days), default=0) <= PER_DAY
        gaps = sorted((offer.device, offer.time) for offer in by["b"])
        for (device, earlier), (other, later) in pairwise(gaps):
            assert device != other or later - earlier >= timedelta(minutes=30)
        exclusive = sorted((offer.device, offer.time) for offer in by["c"] + by["d"])
        for (device, earlier), (other, later) in pairwise(exclusive):
            assert device != other or later - earlier >= timedelta(hours=1)
        assert all(self.redeemed_of(campaign) <= QUOTA for campaign in LIMITED)

    def teardown(self):
        if not hasattr(self, "partition"):
            return
        self.crash()
        self.now_ms += 2 * ABSENCE_MS
        by = {campaign.id: [o for o in self.made.values() if o.campaign == campaign.id] for campaign in CAMPAIGNS}
        counters = ["cap:a:total", "cap:b:budget", "cap:d:total"]
        assert self.ledger.total(counters, self.now_ms) == [len(by["a"]), 100 * len(by["b"]), len(by["d"])]
        assert [self.held(campaign) for campaign in LIMITED] == [self.redeemed_of(campaign) for campaign in LIMITED]


def made(said):
    return [output for output in said if not isinstance(output, outputs.Offer) or output.decision != "withheld"]


@pytest.mark.parametrize("on_redis", [True, False], ids=["redis", "memory"])
def test_never_one_over_any_cap_and_never_a_leak(servers, on_redis):
    with connect(servers["redis"], retries=0) as client:
        client.connection_pool.connection_kwargs["db"] = 9
        Scarce.client, Scarce.on_redis = client, on_redis
        try:
            run_state_machine_as_test(
                Scarce,
                settings=settings(
                    max_examples=20,
                    stateful_step_count=40,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            client.flushdb()
            Scarce.client = None


def test_a_night_s_backlog_that_is_folded_in_one_batch_stays_within_its_caps():
    """No worker ran for ten hours; what came to the log is folded at once, and committed when all of it is written."""
    ledger = MemoryLedger()
    partition = Partition(0, 1, ledger, RULES)
    changes = [Change(kind, key, encode_document(document)) for kind, key, document in SITE.documents()]
    partition.advance(Entry(EntryId(T0, 1), Changes(changes)))
    sent, to_commit = 0, []
    for number in range(100):
        now_ms = T0 + number * 360_000
        entry = Entry(EntryId(now_ms, 1), Handover(1, f"{now_ms}-1", [crossing(f"p{number}", 0, now_ms)], [AGREES]))
        step = partition.advance(entry)
        sent += len([said for said in made(step.outputs) if said.campaign == "a"])
        to_commit += step.to_commit
    assert all(ledger.commit(to_commit, now_ms))
    assert sent == TOTAL == ledger.total(["cap:a:total"], now_ms)[0]


pytestmark = pytest.mark.xdist_group("scarce")
