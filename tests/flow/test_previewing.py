"""Previews: who would get a campaign's offer now, asked of the state as it is."""

import msgspec
import pytest

from geo_service.catalogue.documents import Campaign, Caps, Fence, Policy, PolicyCaps, Store, Trigger
from geo_service.catalogue.site import Site, encode_document
from geo_service.flow.entries import Change, Changes, Consent, Entry, EntryId, Pings, Traits
from geo_service.flow.ledger import MemoryLedger
from geo_service.flow.partition import Partition, Rules
from geo_service.flow.previewing import Judge, Present, decode_question, decode_reply, encode, reply_to
from geo_service.pings.batch import PingBatch

T0 = 1_780_740_000_000
NAN = float("nan")
PLACE = {"geometry": {"type": "Point", "coordinates": [-6.0, 45.0]}, "store": "s1"}
BREAD = Campaign(id="bread", name="Bread", holdout=0, state="draft", trigger=Trigger(role="near"))


def change(**fields):
    return msgspec.structs.replace(BREAD, **fields)


class Live:
    def __init__(self, *campaigns, people=("anna", "bert", "carl")):
        site = Site(store={"s1": Store(id="s1", name="One", lat=45, lon=-6)})
        site.fence["near"] = Fence(id="near", role="near", radius_m=300, **PLACE)
        site.campaign = {campaign.id: campaign for campaign in campaigns}
        self.ledger, self.turn = MemoryLedger(), 0
        self.partition = Partition(0, 1, self.ledger, Rules("strict"))
        self.feed(Changes([Change(kind, key, encode_document(of)) for kind, key, of in site.documents()]))
        rows = [(device, T0, 45.0, -6.0, NAN, NAN, NAN, 0) for device in people]
        self.feed(Pings(PingBatch.from_rows(rows)))

    def feed(self, body):
        self.turn += 1
        step = self.partition.advance(Entry(EntryId(T0 + self.turn, 0), body))
        self.ledger.commit(step.to_commit, T0 + self.turn)

    def ask(self, question):
        return decode_reply(encode(reply_to(decode_question(encode(question)), self.partition, self.ledger)))

    def preview(self, campaign="bread", limit=100):
        """`{device: reason}`; what was asked has changed nothing."""
        before = self.partition.dump(), self.ledger.dump()
        people = self.ask(Present(campaign, None, limit))
        verdicts = self.ask(Judge(campaign, people.people)).verdicts
        assert (self.partition.dump(), self.ledger.dump()) == before
        return {verdict.device: verdict.reason for verdict in verdicts}


def test_everybody_in_the_fences_is_asked_about_and_a_draft_is_judged_as_if_it_were_active():
    assert Live(BREAD).preview() == dict.fromkeys(("anna", "bert", "carl"), "admitted")


def test_the_reasons_are_those_of_a_decision():
    live = Live(change(audience={"rule": "segment", "any_of": ["members"]}))
    live.feed(Traits("bert", ["members"], None))
    live.feed(Consent("carl", {"offers": False}))
    assert live.preview() == {
        "anna": "audience: in no segment of members",
        "bert": "admitted",
        "carl": "consent: this person has not agreed to offers",
    }


def test_a_cap_is_used_up_by_who_comes_first_and_nothing_is_reserved():
    live = Live(change(caps=Caps(total=2)))
    for _ in range(2):
        assert live.preview() == {"anna": "admitted", "bert": "admitted", "carl": "caps: total is used up"}


def test_what_was_sent_before_counts():
    live = Live(change(state="active", caps=Caps(per_device=1, total=2)), people=("anna",))
    assert live.preview() == {"anna": "caps: per_device is used up"}


def test_a_better_campaign_is_named():
    better = change(id="cake", name="Cake", state="active", priority=9)
    live = Live(BREAD, better)
    verdicts = live.ask(Judge("bread", live.ask(Present("bread", None, 1)).people)).verdicts
    assert [(verdict.reason, verdict.instead) for verdict in verdicts] == [
        ("best: Cake would be the better offer", "cake")
    ]


def test_a_shared_cap_that_the_better_one_takes_is_no_reason_against_it():
    live = Live(
        change(exclusive="sweet"), change(id="cake", name="Cake", state="active", priority=9, exclusive="sweet")
    )
    live.partition.site.policy["house"] = Policy(id="house", caps=PolicyCaps(per_device_day=2))
    live.partition.offering.changed(None)
    live.ledger = MemoryLedger()  # nothing is taken yet
    assert set(live.preview().values()) == {"best: Cake would be the better offer"}


def test_who_is_held_out_is_told():
    live = Live(change(holdout=1))
    assert set(live.preview().values()) == {"holdout: kept back to measure the effect"}


@pytest.mark.parametrize("type_", ["exit", "dwell", "cross"])
def test_other_triggers_are_previewed_as_if_they_came_now(type_):
    dwell_s = 300 if type_ == "dwell" else None
    live = Live(change(trigger=Trigger(role="near", type=type_, dwell_s=dwell_s)), people=("anna",))
    assert live.preview() == {"anna": "admitted"}


def test_no_more_than_asked_for_and_nobody_for_a_campaign_that_is_not_there():
    live = Live(BREAD)
    people = live.ask(Present("bread", None, 2))
    assert ([crossing.device for crossing, _ in people.people], people.more) == (["anna", "bert"], True)
    assert live.ask(Present("bread", ["elsewhere"], 2)).people == []
    assert live.ask(Present("gone", None, 2)).people == []
    assert live.ask(Judge("gone", people.people)).verdicts == []
