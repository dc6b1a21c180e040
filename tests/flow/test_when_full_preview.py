"""A preview says where those would go whom a full store stops, and leaves no trace."""

import asyncio
from types import SimpleNamespace

import pytest

from geo_service.api.offers import _sent_on
from geo_service.catalogue.documents import Caps, Trigger
from geo_service.flow.intake import partition_of
from geo_service.flow.previewing import Judge, Present, decode_question, decode_reply, encode, reply_to

from .when_full import BOTH, REDIRECT, WAIT, Town, bread, brief


class Questions:
    """What the API asks the worker, answered at once."""

    def __init__(self, town):
        self.partitions = town.partitions
        self._town = town

    def ask(self, partition, question, _wait_s):
        reply = reply_to(decode_question(question), self._town.folds[partition], self._town.ledger)
        return encode(reply)


def kept(town):
    """All that a decision could have changed."""
    folds = [encode((fold.offering.dump(), fold.devices.dump(), fold.profiles.dump())) for fold in town.folds]
    return folds, town.ledger.dump()


def preview(town, campaign="bread"):
    """`{device: (reason's question, redirected to, waits)}`; what was asked has changed nothing."""
    before = kept(town)
    questions = Questions(town)
    verdicts = []
    for number in range(town.partitions):
        present = decode_reply(questions.ask(number, encode(Present(campaign, None, 100)), 1))
        for crossing, facts in present.people:
            owner = partition_of(crossing.store, town.partitions)
            judged = decode_reply(questions.ask(owner, encode(Judge(campaign, [(crossing, facts)])), 1))
            verdicts += judged.verdicts
    told = asyncio.run(_sent_on(SimpleNamespace(questions=questions), town.partitions, campaign, verdicts))
    assert kept(town) == before
    assert all(verdict.pursuit is None for verdict in told)
    return {each.device: (each.reason.partition(":")[0], each.redirected_to, each.waits) for each in told}


@pytest.fixture(params=[1, 3], ids=["one partition", "three partitions"])
def town_of(request):
    return lambda *campaigns, **options: Town(*campaigns, partitions=request.param, **options)


def crowd(town, *full):
    for store in town.site.store:
        town.count(1, store, 60 if store in full else 2)


def draft(**changes):
    return bread(**({"state": "draft"} | changes))


@pytest.mark.parametrize(
    ("when_full", "full", "wanted"),
    [
        (BOTH, ("s1",), ("pacing", "s2", False)),
        (BOTH, ("s1", "s2"), ("pacing", "s3", False)),
        (BOTH, ("s1", "s2", "s3"), ("pacing", None, True)),
        (WAIT, ("s1",), ("pacing", None, True)),
        (REDIRECT, ("s1", "s2", "s3"), ("pacing", None, False)),
        (None, ("s1",), ("pacing", None, False)),
        (BOTH, (), ("admitted", None, False)),
    ],
)
def test_it_says_where_she_would_go_or_that_she_would_wait(town_of, when_full, full, wanted):
    town = town_of(draft(when_full=when_full))
    crowd(town, *full)
    town.ping(10, "anna", "s1")
    assert preview(town) == {"anna": wanted}


def test_what_comes_true_is_what_was_said(town_of):
    town = town_of(draft())
    crowd(town, "s1")
    town.ping(10, "anna", "s1")
    assert preview(town) == {"anna": ("pacing", "s2", False)}
    town.change(20, "campaign", "bread", bread())
    town.ping(30, "anna", "s1", -900)
    assert brief(town.ping(40, "anna", "s1"))[-1] == ("s2", "sent", "admitted")


def test_who_waits_already_is_told_to_wait(town_of):
    town = town_of(bread(when_full=WAIT))
    crowd(town, "s1")
    town.ping(10, "anna", "s1")
    assert preview(town) == {"anna": ("pacing", None, True)}


def test_who_is_stopped_by_something_else_goes_nowhere(town_of):
    town = town_of(draft(caps=Caps(total=0)))
    crowd(town, "s1")
    town.ping(10, "anna", "s1")
    assert preview(town) == {"anna": ("caps", None, False)}


def test_of_several_campaigns_only_the_first_in_rank_would_go_on(town_of):
    town = town_of(draft(), bread(id="cake", name="Cake", priority=9, when_full=REDIRECT, caps=Caps(per_device=5)))
    crowd(town, "s1")
    town.ping(10, "anna", "s1")
    assert preview(town) == {"anna": ("pacing", None, False)}
    assert preview(town, "cake") == {"anna": ("pacing", "s2", False)}


def test_a_cap_of_the_other_store_is_used_up_by_who_comes_first():
    town = Town(draft(when_full=REDIRECT, caps=Caps(per_store=1)), stores=("s1", "s2"))
    crowd(town, "s1")
    for number in range(3):
        town.ping(10 + number, f"d{number}", "s1")
    questions = Questions(town)
    people = decode_reply(questions.ask(0, encode(Present("bread", None, 100)), 1)).people
    verdicts = decode_reply(questions.ask(0, encode(Judge("bread", people)), 1)).verdicts
    told = asyncio.run(_sent_on(SimpleNamespace(questions=questions), 1, "bread", verdicts))
    assert [each.redirected_to for each in told] == ["s2", None, None]


def test_another_offer_of_the_moment_goes_before(town_of):
    inside = Trigger(role="store")
    town = town_of(draft(trigger=inside), bread(id="tea", name="Tea", trigger=inside, when_full=None, priority=5))
    crowd(town, "s1")
    town.ping(10, "anna", "s1", 0)
    assert preview(town) == {"anna": ("best", None, False)}
