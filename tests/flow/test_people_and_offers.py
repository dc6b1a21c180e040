"""Profiles and offers in the fold: what is known of a person travels to where the store is, and from any checkpoint on."""

import msgspec
import pytest

from geo_service import outputs
from geo_service.catalogue.documents import Campaign, Caps, Fence, Policy, Product, Store, Trigger
from geo_service.catalogue.site import Site, encode_document
from geo_service.flow.entries import (
    Action,
    Behaviour,
    Change,
    Changes,
    Consent,
    Entry,
    EntryId,
    Forget,
    OrderStanding,
    Pings,
    Redeemed,
    Tick,
    Traits,
    decode_body,
    encode_body,
)
from geo_service.flow.intake import partition_of
from geo_service.flow.ledger import MemoryLedger
from geo_service.flow.partition import Partition, Rules
from geo_service.offers.coupons import code_of
from geo_service.pings.batch import PingBatch

T0 = 1_780_740_000_000
NAN = float("nan")
RULES = Rules("strict")
SECRET_RULES = Rules("strict", secret=b"another secret, of a live service")
HERE, AWAY = 0.0, 0.1


def site(*campaigns):
    """Two stores; `one` and `two` belong to different partitions of two."""
    site = Site(
        product={
            "rye": Product(sku="rye", name="Seeded rye loaf", category="bakery"),
            "beans": Product(sku="beans", name="Coffee beans", category="coffee"),
        }
    )
    for number, name in enumerate(STORES):
        place = {"geometry": {"type": "Point", "coordinates": [-6.0 + number, 45.0]}, "store": name}
        site.store[name] = Store(id=name, name=name.title(), lat=45, lon=-6 + number)
        site.fence[f"{name}.near"] = Fence(id=f"{name}.near", role="near", radius_m=300, **place)
        site.fence[f"{name}.shop"] = Fence(id=f"{name}.shop", role="store", radius_m=50, **place)
    site.campaign = {campaign.id: campaign for campaign in campaigns}
    return site


def of_partition(number, prefix):
    return next(f"{prefix}{at}" for at in range(100) if partition_of(f"{prefix}{at}", 2) == number)


STORES = (of_partition(0, "store"), of_partition(1, "store"))
DEVICE, OTHER = of_partition(0, "phone"), of_partition(0, "watch")


def campaign(id_, **about):
    return Campaign(**({"id": id_, "name": id_.title(), "holdout": 0, "trigger": Trigger(role="near")} | about))


BREAD = campaign("bread", skus=["rye"])
COFFEE = campaign("coffee", categories=["coffee"])


class Run:
    """All partitions of a service, each entry through its bytes, handovers delivered at once."""

    def __init__(self, site_, partitions=1, rules=RULES):
        self.ledger, self.rules = MemoryLedger(), rules
        self.partitions = [Partition(number, partitions, self.ledger, rules) for number in range(partitions)]
        self.said, self._seq = [], 0
        changes = [Change(kind, key, encode_document(document)) for kind, key, document in site_.documents()]
        for number in range(partitions):
            self.feed(0, Changes(changes), number)

    def feed(self, second, body, number=None):
        number = partition_of(DEVICE, len(self.partitions)) if number is None else number
        self._seq += 1
        at_ms = T0 + round(second * 1000)
        step = self.partitions[number].advance(Entry(EntryId(at_ms, self._seq), decode_body(*encode_body(body))))
        said = list(step.outputs)
        self.ledger.commit(step.to_commit, at_ms)
        for owner, handed in step.handovers:
            said += self.feed(second, handed, owner)
        self.said += said
        return said

    def ping(self, second, store, lat_off=0.002, device=DEVICE):
        at_ms, lon = T0 + round(second * 1000), -6.0 + STORES.index(store)
        return self.feed(second, Pings(PingBatch.from_rows([(device, at_ms, 45 + lat_off, lon, NAN, NAN, NAN, 0)])))

    def visit(self, second, store):
        """Five minutes in a store, and away."""
        for at, off in ((0, 0.0), (150, 0.0), (300, 0.1)):
            self.ping(second + at, store, off)

    def offers(self, said):
        return {offer.campaign: offer for offer in said if isinstance(offer, outputs.Offer)}

    def reload(self):
        count = len(self.partitions)
        self.partitions = [
            Partition.load(partition.dump(), number, count, self.ledger, self.rules)
            for number, partition in enumerate(self.partitions)
        ]


def bought(category, times=10):
    return Behaviour(DEVICE, [Action("bought", category=category)] * times)


@pytest.mark.parametrize("store", STORES, ids=["own partition", "handed over"])
@pytest.mark.parametrize(("taste", "wins"), [("bakery", "bread"), ("coffee", "coffee")])
def test_behaviour_decides_which_offer_wins_wherever_the_store_is(store, taste, wins):
    run = Run(site(BREAD, COFFEE), partitions=2)
    run.feed(1, bought(taste, 200))
    offers = run.offers(run.ping(10, store))
    assert {name: offer.decision for name, offer in offers.items()} == {
        wins: "sent",
        ({"bread", "coffee"} - {wins}).pop(): "withheld",
    }
    assert offers[wins].evidence["worth"].affinity > 0.9


def handed_facts(campaigns):
    """What goes to the partition of a store with each crossing into its fences, of somebody with interests."""
    source = Run(site(*campaigns), partitions=2)
    source.feed(1, bought("bakery"))
    row = (DEVICE, T0 + 10_000, 45.0, -6.0 + STORES.index(STORES[1]), NAN, NAN, NAN, 0)
    step = source.partitions[0].advance(Entry(EntryId(T0 + 10_000, 99), Pings(PingBatch.from_rows([row]))))
    ((_, handover),) = step.handovers
    decoded = decode_body(*encode_body(handover))
    return {crossing.role: facts for crossing, facts in zip(decoded.crossings, decoded.facts, strict=True)}


def test_what_is_known_of_a_person_goes_only_with_crossings_that_a_campaign_could_answer():
    facts = handed_facts([BREAD])
    assert facts["store"] is None
    assert facts["near"].agrees
    assert list(facts["near"].affinities) == ["bakery"]
    assert handed_facts([campaign("order", trigger=Trigger(role="store", type="order_ready"))])["store"].agrees
    elsewhere = [
        campaign("elsewhere", stores=[STORES[0]]),
        campaign("leaving", trigger=Trigger(role="near", type="exit")),
    ]
    assert set(handed_facts(elsewhere).values()) == {None}


def test_a_campaign_that_only_the_stores_partition_knows_yet_does_not_speak_of_somebody_it_was_told_nothing_of():
    run = Run(site(), partitions=2)
    run.feed(5, Changes([Change("campaign", "bread", encode_document(BREAD))]), 1)
    assert run.offers(run.ping(10, STORES[1])) == {}
    run.feed(15, Changes([Change("campaign", "bread", encode_document(BREAD))]), 0)
    assert run.offers(run.ping(20, STORES[1], device=OTHER))["bread"].decision == "sent"


def test_an_old_interest_gives_way_to_a_new_one():
    run = Run(site(campaign("old", categories=["old"]), campaign("new", categories=["new"])))
    run.feed(1, bought("old", 100))
    day = 86_400
    run.feed(200 * day, bought("new", 100))
    offers = run.offers(run.ping(200 * day + 10, STORES[0]))
    assert offers["new"].decision == "sent"


def test_a_search_counts_for_the_category_that_it_is_about():
    run = Run(site(BREAD, COFFEE))
    run.feed(1, Behaviour(DEVICE, [Action("searched", query="RYE loaf", quantity=10)] * 100))
    assert run.offers(run.ping(10, STORES[0]))["bread"].decision == "sent"


def test_a_search_is_about_the_products_as_they_are_now():
    run = Run(site(BREAD, COFFEE))
    run.feed(1, Behaviour(DEVICE, [Action("searched", query="oat")]))
    oat = Product(sku="beans", name="Oat milk", category="coffee")
    run.feed(2, Changes([Change("product", "beans", encode_document(oat))]))
    run.feed(3, Behaviour(DEVICE, [Action("searched", query="oat", quantity=10)] * 100))
    assert run.offers(run.ping(10, STORES[0]))["coffee"].decision == "sent"


def weights(run):
    (partition,) = run.partitions
    return {name: round(weight, 3) for name, (weight, _) in partition.profiles.export(DEVICE)["weights"].items()}


@pytest.mark.parametrize(
    ("action", "counted"),
    [
        (Action("bought", sku="rye", id="order-7/1"), 1),
        (Action("bought", sku="rye", id="order-7/1", time_ms=T0 - 5), 1),
        (Action("bought", sku="rye", time_ms=T0 - 5), 1),
        (Action("bought", sku="rye"), 3),  # nothing tells it from another
    ],
)
def test_what_is_told_again_counts_once(action, counted):
    run = Run(site())
    run.feed(1, Behaviour(DEVICE, [action]))
    run.feed(2, Behaviour(DEVICE, [action, action]))
    assert weights(run) == {"bakery": 5.0 * counted}
    run.feed(86_410, Behaviour(DEVICE, [action]))  # nobody tries again for longer than a day
    assert weights(run)["bakery"] > 5.0 * counted + 4


def test_what_differs_is_no_repeat():
    run = Run(site())
    one = Action("bought", sku="rye", id="order-7", time_ms=T0)
    others = [{"type": "viewed"}, {"sku": "beans"}, {"id": "order-8"}, {"id": None}]
    others += [{"id": None, "time_ms": T0 - 1}, {"id": None, "quantity": 2}]
    run.feed(1, Behaviour(DEVICE, [one, *(msgspec.structs.replace(one, **other) for other in others)]))
    assert weights(run) == {"bakery": 5 + 1 + 5 + 5 + 5 + 10, "coffee": 5.0}


def test_a_repeat_is_known_from_a_checkpoint_on_and_only_so_many_are_kept():
    run = Run(site())
    actions = [Action("viewed", sku="rye", id=f"a{number}") for number in range(501)]
    run.feed(1, Behaviour(DEVICE, actions))
    run.reload()
    run.feed(2, Behaviour(DEVICE, actions[1:]))
    assert weights(run) == {"bakery": 501.0}
    (partition,) = run.partitions
    assert len(partition.profiles.export(DEVICE)["actions"]) == 500


@pytest.mark.parametrize("store", STORES, ids=["own partition", "handed over"])
def test_visits_segments_language_and_texts_travel(store):
    audience = {
        "rule": "all",
        "of": [
            {"rule": "visits", "at_least": 2},
            {"rule": "last_visit", "within_s": 7200},
            {"rule": "segment", "any_of": ["members"]},
            {"rule": "language", "any_of": ["fi"]},
        ],
    }
    run = Run(site(campaign("regulars", audience=audience)), partitions=2)
    run.feed(1, Traits(DEVICE, ["members"], "fi"))
    run.visit(10, store)
    assert run.offers(run.ping(900, store))["regulars"].reason == "audience: visits: 1, at least 2 wanted"
    run.visit(1000, store)
    run.reload()
    offer = run.offers(run.ping(2000, store))["regulars"]
    assert offer.decision == "sent"
    assert offer.evidence["person"] == {"visits": 2, "visits_here": 2, "segments": ("members",), "order": "none"}


def test_nothing_is_kept_of_people_who_do_not_agree_or_are_forgotten():
    run = Run(site(BREAD, COFFEE))
    run.feed(1, bought("bakery"))
    run.visit(10, STORES[0])
    assert b"bakery" in run.partitions[0].dump()[run.partitions[0].dump().rindex(b"profiles") :]
    run.feed(1000, Consent(DEVICE, {"offers": False}))
    assert run.partitions[0].profiles.export(DEVICE) is None
    run.feed(1001, bought("bakery"))
    run.feed(1002, Traits(DEVICE, ["members"], "fi"))
    run.visit(1010, STORES[0])
    assert run.partitions[0].profiles.export(DEVICE) is None
    assert run.offers(run.ping(2000, STORES[0]))["bread"].reason.startswith("consent")
    run.feed(2001, Consent(DEVICE, {"offers": True}))
    run.feed(2002, bought("bakery"))
    assert run.partitions[0].profiles.export(DEVICE)["weights"]
    run.feed(2003, Forget(DEVICE))
    assert run.partitions[0].profiles.export(DEVICE) is None
    assert DEVICE.encode() not in run.partitions[0].dump()


READY = campaign("ready", trigger=Trigger(role="near", type="order_ready"))


@pytest.mark.parametrize("store", STORES, ids=["own partition", "handed over"])
def test_an_order_that_becomes_ready_speaks_to_who_is_near_and_later_to_who_comes(store):
    run = Run(site(READY, BREAD), partitions=2)
    run.ping(1, store)
    assert set(run.offers(run.said)) == {"bread"}
    assert run.offers(run.feed(5, OrderStanding(DEVICE, "o1", store, "open"))) == {}
    said = run.offers(run.feed(10, OrderStanding(DEVICE, "o1", store, "ready")))
    assert {name: offer.decision for name, offer in said.items()} == {"ready": "sent"}
    assert run.offers(run.feed(11, OrderStanding(DEVICE, "o1", store, "ready"))) == {}
    run.ping(100, store, 0.1)
    assert set(run.offers(run.ping(300, store))) == {"ready", "bread"}
    run.feed(301, OrderStanding(DEVICE, "o1", store, "closed"))
    run.ping(400, store, 0.1)
    assert set(run.offers(run.ping(600, store))) == {"bread"}


def test_offers_that_are_taken_up_teach_and_those_that_expire_do_too():
    run = Run(site(campaign("bread", expires_s=600)))
    run.ping(0, STORES[0])
    run.ping(30, STORES[0], 0.0)  # in the store: taken up
    fared = run.partitions[0].offering.acceptance["bread"]
    assert (fared.accepted, fared.declined) == (1, 0)
    run.ping(100, STORES[0], 0.1)
    run.ping(300, STORES[0])
    run.reload()
    run.feed(899, Tick())
    run.feed(901, Tick())
    fared = run.partitions[0].offering.acceptance["bread"]
    assert (fared.accepted, fared.declined) == (1, 1)


def test_a_redemption_is_told_once_and_counts_as_taken_up():
    run = Run(site(BREAD))
    offer = run.offers(run.ping(0, STORES[0]))["bread"]
    entry = Redeemed("r:1", offer.id, "bread", DEVICE, STORES[0], STORES[0], "redeemed", "issued", "store", T0, 990)
    (said,) = run.feed(60, entry)
    assert (said.id, said.change, said.previous, said.amount) == (offer.id, "redeemed", "issued", 990)
    run.reload()
    assert run.feed(61, entry) == []
    assert run.partitions[0].offering.acceptance["bread"].accepted == 1


def test_codes_are_made_of_the_secret_and_a_text_has_none():
    words = campaign("words", benefit={"type": "text"})
    for rules in (RULES, SECRET_RULES):
        run = Run(site(BREAD), rules=rules)
        offer = run.offers(run.ping(0, STORES[0]))["bread"]
        assert offer.code == code_of(rules.secret, offer.id)
    assert run.partitions[0].dump().find(SECRET_RULES.secret) == -1
    assert run.offers(Run(site(words)).ping(0, STORES[0]))["words"].code is None


def test_a_policy_binds_all_campaigns_of_its_stores():
    """10:00 on a Saturday at the start."""
    quiet = Policy(id="quiet", stores=[STORES[0]], quiet={"sat": [["10:00", "10:05"]]})
    run = Run(site(BREAD))
    run.feed(0, Changes([Change("policy", "quiet", encode_document(quiet))]))
    assert run.offers(run.ping(10, STORES[0]))["bread"].reason == "hours: quiet hours"
    run.ping(290, STORES[0], 0.1)
    assert run.offers(run.ping(310, STORES[0]))["bread"].decision == "sent"
    run.feed(320, Changes([Change("policy", "quiet", None)]))


def test_what_excludes_each_other_is_not_offered_while_one_is_good():
    one = campaign("one", exclusive="x", expires_s=600, caps=Caps(total=1))
    other = campaign("other", exclusive="x", expires_s=600, trigger=Trigger(role="store"))
    run = Run(site(one, other))
    assert run.offers(run.ping(0, STORES[0]))["one"].decision == "sent"
    said = run.offers(run.ping(30, STORES[0], 0.0))
    assert said["other"].reason == "caps: an offer that excludes this one is still good"
    run.ping(100, STORES[0], 0.1)
    run.ping(700, STORES[0])
    assert run.offers(run.ping(730, STORES[0], 0.0))["other"].decision == "sent"


def test_a_campaign_that_cannot_be_read_is_rejected_and_the_old_one_stays():
    run = Run(site(BREAD))
    wrong = campaign("bread", audience={"rule": "visits"})
    (said,) = run.feed(1, Changes([Change("campaign", "bread", encode_document(wrong))]))
    assert isinstance(said, outputs.Rejected)
    assert said.reason == "audience: needs at_least or at_most"
    assert run.offers(run.ping(10, STORES[0]))["bread"].decision == "sent"


def test_from_any_checkpoint_people_and_offers_go_on_as_if_nothing_had_happened():
    def entries(run):
        yield lambda: run.feed(1, bought("coffee", 3))
        yield lambda: run.ping(10, STORES[1])
        yield lambda: run.ping(40, STORES[1], 0.0)
        yield lambda: run.feed(50, Traits(DEVICE, ["members"], None))
        yield lambda: run.ping(400, STORES[1], 0.1)
        yield lambda: run.feed(450, OrderStanding(DEVICE, "o", STORES[1], "ready"))
        yield lambda: run.ping(700, STORES[1])
        yield lambda: run.ping(9000, STORES[0])

    about = site(BREAD, COFFEE, READY)
    whole = Run(about, partitions=2)
    for entry in entries(whole):
        entry()
    for cut in range(8):
        run = Run(about, partitions=2)
        for number, entry in enumerate(entries(run)):
            if number == cut:
                run.reload()
            entry()
        assert list(map(outputs.encode, run.said)) == list(map(outputs.encode, whole.said))
