from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_service.catalogue.documents import Campaign, Caps, Policy, PolicyCaps, StockLevel, Store, Trigger
from geo_service.catalogue.site import Site
from geo_service.flow.ledger import MemoryLedger
from geo_service.flow.offering import Offering
from geo_service.offers.decide import Decisions
from geo_service.offers.facts import Facts
from geo_service.offers.holdout import is_held_out
from geo_service.outputs import Crossing, Occupancy
from sensors.instants import millis

NOW = datetime(2026, 6, 6, 10, 0, tzinfo=UTC)
NOW_MS = millis(NOW)
STORE = Store(id="s1", name="One", lat=1, lon=2, timezone="Europe/Helsinki", tags=["bakery"])
BREAD = Campaign(id="bread", name="Bread", holdout=0, caps=Caps(), trigger=Trigger(role="near", type="enter"))


def crossing(device: str = "d1", number: int = 1, **changes: object) -> Crossing:
    known = {
        "id": f"0-{NOW_MS}-0-{number}",
        "type": "enter",
        "device": device,
        "fence": "s1-near",
        "store": "s1",
        "role": "near",
        "time": NOW,
        "logged": NOW,
        "lat": 1.0,
        "lon": 2.0,
        "accuracy_m": 10.0,
        "confidence": 0.9,
        "duration_s": None,
        "reason": "observed",
    }
    return Crossing(**(known | changes))


def occupancy(level: str = "normal", status: str = "live") -> Occupancy:
    return Occupancy(
        store="s1",
        zone=None,
        time=NOW,
        mean=20,
        low=18,
        high=22,
        rate=0.5,
        p_over=0,
        level=level,
        status=status,
        in_total=30,
        out_total=10,
    )


class About(NamedTuple):
    """What there is to decide about: a site, a person, and how full the store is."""

    site: Site
    facts: Facts
    occupancy: Occupancy | None


def world(*campaigns: Campaign, **changes: object) -> About:
    site = Site(store={"s1": STORE}, campaign={campaign.id: campaign for campaign in campaigns})
    for name in ("stock", "policy", "product"):
        getattr(site, name).update(changes.get(name, {}))
    facts = changes.get("facts", Facts(agrees=changes.get("agrees", True)))
    return About(site, facts, changes.get("occupancy", occupancy()))


def ask(about: About, crossing: Crossing, ledger: MemoryLedger | None = None, now_ms: int = NOW_MS) -> Decisions:
    ledger = MemoryLedger() if ledger is None else ledger
    offering = Offering(about.site, ledger)
    offering.ask(crossing, about.facts)
    decisions = offering.answer(lambda _store, _now_ms: about.occupancy, now_ms)
    ledger.commit(decisions.to_commit, now_ms)
    return decisions


def change(campaign: Campaign, **changes: object) -> Campaign:
    return msgspec.structs.replace(campaign, **changes)


def test_a_trigger_with_nothing_against_it_sends_the_offer_with_its_evidence():
    (offer,) = ask(world(change(BREAD, benefit={"type": "percentage", "value": 10}, expires_s=600)), crossing()).offers
    assert (offer.decision, offer.campaign, offer.device, offer.store) == ("sent", "bread", "d1", "s1")
    assert offer.expires == NOW + timedelta(seconds=600)
    assert offer.evidence["occupancy"]["mean"] == 20
    assert offer.evidence["benefit"] == {"type": "percentage", "value": 10}


ALL_WRONG = change(
    BREAD,
    state="paused",
    hours={"mon": [["09:00", "10:00"]]},
    skus=["rye"],
    caps=Caps(total=0),
)
SOLD_OUT = {"s1/rye": StockLevel(store="s1", sku="rye", on_hand=3, safety=3)}


@pytest.mark.parametrize(
    ("question", "mended"),
    [
        ("consent", {}),
        ("fresh", {"agrees": True}),
        ("live", {"fresh": True}),
        ("hours", {"state": "active"}),
        ("audience", {"hours": None}),
        ("caps", {"mock": False}),
        ("stock", {"caps": Caps()}),
        ("pacing", {"stock": {}}),
        ("admitted", {"occupancy": occupancy()}),
    ],
)
def test_the_first_question_with_a_no_is_the_reason(question, mended):
    """Everything is wrong at first; each row mends one more thing, and the next question speaks."""
    steps = ["agrees", "fresh", "state", "hours", "mock", "caps", "stock", "occupancy"]
    values = {
        "agrees": True,
        "fresh": True,
        "state": "active",
        "hours": None,
        "mock": False,
        "caps": Caps(),
        "stock": {},
        "occupancy": occupancy(),
    }
    last = next(iter(mended), None)
    done = {name: values[name] for name in steps[: steps.index(last) + 1]} if last else {}
    campaign = change(ALL_WRONG, **{name: done[name] for name in ("state", "hours", "caps") if name in done})
    trigger = crossing(time=NOW if "fresh" in done else NOW - timedelta(seconds=121), mock=done.get("mock", True))
    about = world(
        campaign,
        agrees=done.get("agrees", False),
        stock=done.get("stock", SOLD_OUT),
        occupancy=done.get("occupancy", occupancy("full")),
    )
    (offer,) = ask(about, trigger).offers
    assert offer.reason.partition(":")[0] == question


@pytest.mark.parametrize("state", [occupancy("full"), occupancy(status="blind")])
def test_no_offer_is_made_while_the_store_is_full_or_unknown(state):
    (offer,) = ask(world(BREAD, occupancy=state), crossing()).offers
    assert offer.decision == "withheld"
    assert offer.reason.startswith("pacing: ")


def test_a_store_that_nothing_measures_is_not_held_back():
    assert ask(world(BREAD, occupancy=None), crossing()).offers[0].decision == "sent"


def test_a_campaign_may_take_in_phones_whose_location_is_simulated():
    assert ask(world(BREAD), crossing(mock=True)).offers[0].reason.startswith("audience: ")
    taking_all = change(BREAD, audience={"mock": True})
    assert ask(world(taking_all), crossing(mock=True)).offers[0].decision == "sent"


def test_a_trigger_makes_at_most_one_offer_and_the_higher_priority_wins():
    better = change(BREAD, id="cake", name="Cake", priority=5)
    offers = {offer.campaign: offer for offer in ask(world(BREAD, better), crossing()).offers}
    assert offers["cake"].decision == "sent"
    assert offers["bread"].reason == "best: Cake was the better offer"


def test_a_campaign_that_ran_into_its_cap_leaves_the_place_to_the_next():
    better = change(BREAD, id="cake", priority=5, caps=Caps(total=0))
    offers = {offer.campaign: offer.decision for offer in ask(world(BREAD, better), crossing()).offers}
    assert offers == {"cake": "withheld", "bread": "sent"}


def test_what_the_better_offer_took_of_a_shared_cap_is_no_reason_against_the_others():
    house = {"house": Policy(id="house", caps=PolicyCaps(per_device_day=1, min_gap_s=60))}
    better = change(BREAD, id="cake", name="Cake", priority=5, exclusive="sweet")
    other = change(BREAD, exclusive="sweet")
    about, ledger = world(other, better, policy=house), MemoryLedger()
    offers = {offer.campaign: offer.reason for offer in ask(about, crossing(), ledger).offers}
    assert offers == {"cake": "admitted", "bread": "best: Cake was the better offer"}
    offers = {offer.campaign: offer.reason for offer in ask(about, crossing(number=2), ledger).offers}
    assert offers == dict.fromkeys(("cake", "bread"), "caps: an offer that excludes this one is still good")
    full = change(other, caps=Caps(total=0))
    offers = {offer.campaign: offer.reason for offer in ask(world(full, better, policy=house), crossing()).offers}
    assert offers["bread"] == "caps: total is used up"


@pytest.mark.parametrize(
    ("on_hand", "decision"),
    [({}, "sent"), ({"rye": 0}, "sent"), ({"rye": 0, "oat": 3}, "sent"), ({"rye": 0, "oat": 2}, "withheld")],
)
def test_an_offer_is_made_while_one_of_its_products_may_be_there(on_hand, decision):
    stock = {f"s1/{sku}": StockLevel(store="s1", sku=sku, on_hand=count, safety=2) for sku, count in on_hand.items()}
    (offer,) = ask(world(change(BREAD, skus=["rye", "oat"]), stock=stock), crossing()).offers
    assert offer.decision == decision


def test_a_gift_that_has_run_out_is_not_promised():
    campaign = change(BREAD, skus=["oat"], benefit={"type": "gift", "sku": "rye"})
    (offer,) = ask(world(campaign, stock=SOLD_OUT), crossing()).offers
    assert offer.reason == "stock: the gift has run out in this store"


def test_drafts_other_stores_and_other_triggers_say_nothing():
    silent = [
        change(BREAD, id="draft", state="draft"),
        change(BREAD, id="elsewhere", stores=["s2"]),
        change(BREAD, id="tagged", tags=["garage"]),
        change(BREAD, id="exit", trigger=Trigger(role="near", type="exit")),
        change(BREAD, id="inside", trigger=Trigger(role="store", type="enter")),
    ]
    assert ask(world(*silent), crossing()).offers == []
    assert ask(world(change(BREAD, tags=["bakery"])), crossing()).offers[0].decision == "sent"


def test_a_dwell_campaign_waits_for_its_own_time():
    waits = change(BREAD, trigger=Trigger(role="store", type="dwell", dwell_s=300))
    short = crossing(type="dwell", role="store", duration_s=120.0)
    long = crossing(type="dwell", role="store", duration_s=300.0)
    assert ask(world(waits), short).offers == []
    assert ask(world(waits), long).offers[0].decision == "sent"


@pytest.mark.parametrize(
    ("caps", "sent"),
    [
        (Caps(per_device=2), [True, True, False, False]),
        (Caps(total=3), [True, True, True, False]),
        (Caps(per_day=1), [True, False, False, True]),
        (Caps(min_gap_s=3600), [True, False, True, True]),
        (Caps(budget=250), [True, True, False, False]),
    ],
)
def test_caps_count_what_was_sent(caps, sent):
    campaign = change(BREAD, caps=caps, benefit={"type": "amount", "value": 100, "currency": "EUR"})
    ledger = MemoryLedger()
    minutes = [0, 30, 60, 24 * 60]
    got = []
    for number, minute in enumerate(minutes):
        at = NOW + timedelta(minutes=minute)
        (offer,) = ask(world(campaign), crossing(number=number, time=at), ledger, millis(at)).offers
        got.append(offer.decision == "sent")
    assert got == sent


def test_the_same_crossing_again_gets_the_same_answer_and_takes_nothing_more():
    ledger, about = MemoryLedger(), world(change(BREAD, caps=Caps(total=2)))
    first = ask(about, crossing(), ledger)
    assert ask(about, crossing(), ledger) == first
    assert ask(about, crossing("d2", 2), ledger).offers[0].decision == "sent"
    assert ask(about, crossing("d3", 3), ledger).offers[0].reason == "caps: total is used up"


def test_the_holdout_is_kept_back_only_after_everything_admitted_it():
    everyone = change(BREAD, holdout=1, caps=Caps(total=1))
    ledger = MemoryLedger()
    held = ask(world(everyone), crossing(), ledger).offers[0]
    assert (held.decision, held.reason.partition(":")[0], held.expires) == ("held_out", "holdout", None)
    assert ask(world(everyone), crossing("d2", 2), ledger).offers[0].reason.startswith("caps: ")
    assert ask(world(everyone, occupancy=occupancy("full")), crossing()).offers[0].decision == "withheld"


def test_a_tenth_of_the_people_is_held_out_and_always_the_same():
    people = [f"device-{number}" for number in range(5000)]
    held = [person for person in people if is_held_out(person, "bread", 0.1)]
    assert 400 < len(held) < 600
    assert held == [person for person in people if is_held_out(person, "bread", 0.1)]
    assert set(held) != {person for person in people if is_held_out(person, "cake", 0.1)}


@given(st.text(), st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_holdout_contains_the_smaller(device, campaign, one, other):
    smaller, larger = sorted((one, other))
    assert not is_held_out(device, campaign, smaller) or is_held_out(device, campaign, larger)
    assert not is_held_out(device, campaign, 0.0)
    assert is_held_out(device, campaign, 1.0)
