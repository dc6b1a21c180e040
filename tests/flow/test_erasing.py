"""The steps of an erasure, in order, each of which may be repeated."""

import threading
from collections import Counter

import pytest

from geo_service.flow import erasing
from geo_service.flow.entries import EntryId, Forget
from geo_service.flow.erasing import Erasing
from geo_service.people.erasure import Erasure

NOW_MS = 1_772_366_400_000


class World:
    """A log, one place, a border and files, which write down what is done to them."""

    partitions = 2

    def __init__(self, *, checkpoint=(9, 0), stubborn=0):
        self.steps, self.noted = [], {}
        self._checkpoint, self._stubborn = EntryId(*checkpoint), stubborn

    def append(self, items):
        self.steps += [("append", body) for _, body in items]
        return [EntryId(5, number) for number, _ in enumerate(items)]

    def ends(self):
        return {0: EntryId(7, 0), 1: EntryId(6, 0)}

    def checkpoints(self):
        return {0: self._checkpoint, 1: self._checkpoint}

    def unheard(self):
        return False

    def trim(self, partition):
        self.steps.append(("trim", partition))

    def erase(self, person):
        self.steps.append(("erase", person))
        return Counter(outputs=2)

    def left(self, person):
        self._stubborn -= 1
        return ["somewhere"] if self._stubborn >= 0 else []

    def set_answer(self, person, answer):
        self.steps.append(("let in" if answer is None else "keep out", person))

    def forget_at_border(self, person):
        self.steps.append(("forget", person))

    def rewrite(self, stop):
        self.steps.append(("files", None))
        return "written anew"

    def note(self, name, erasure):
        self.noted[name] = erasure

    def erasing(self):
        return Erasing(
            self, self, self, [self], self, self.forget_at_border, self.rewrite, lambda: NOW_MS, lambda *_: None
        )


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    for name in ("_SETTLE_S", "_FOLD_WITHIN_S", "_HEARD_WITHIN_S"):
        monkeypatch.setattr(erasing, name, 0.0)


def asked(person):
    return Erasure(about=f"about {person}", requested_ms=1, person=person)


def test_every_partition_is_told_whoever_is_waiting_where():
    world = World(checkpoint=(0, 0))
    world.partitions = 5
    told = []
    world.append = lambda items: told.extend(items) or [EntryId(5, 0) for _ in items]
    world.erasing().carry_out([("r", asked("a"))], threading.Event())
    assert told == [(partition, Forget("a")) for partition in range(5)]


def test_the_border_lets_them_in_only_when_all_is_gone_and_the_files_come_last():
    world = World()
    assert world.erasing().carry_out([("r1", asked("a")), ("r2", asked("b"))], threading.Event())
    assert world.steps == [
        ("keep out", "a"),
        ("keep out", "b"),
        *[("append", Forget("a")), ("append", Forget("b"))] * 2,
        ("trim", 0),
        ("trim", 1),
        ("erase", "a"),
        ("erase", "b"),
        ("let in", "a"),
        ("let in", "b"),
        ("forget", "a"),
        ("forget", "b"),
        ("files", None),
    ]
    assert world.noted["r1"] == Erasure(
        about="about a", requested_ms=1, done_ms=NOW_MS, removed={"outputs": 2}, files="written anew"
    )


def test_while_something_is_left_it_is_not_done_and_says_where():
    world = World(stubborn=1)
    worker = world.erasing()
    assert not worker.carry_out([("r", asked("a"))], threading.Event())
    assert ("let in", "a") not in world.steps
    left = world.noted["r"]
    assert (left.person, left.left, left.done_ms) == ("a", ["somewhere"], None)
    assert worker.carry_out([("r", left)], threading.Event())
    assert world.noted["r"].removed == {"outputs": 4}
    assert world.noted["r"].left == []


def test_nothing_is_taken_out_before_every_checkpoint_has_passed():
    world = World(checkpoint=(6, 5))
    assert not world.erasing().carry_out([("r", asked("a"))], threading.Event())
    assert world.steps == [("keep out", "a"), *[("append", Forget("a"))] * 2]
    assert world.noted == {}


def test_one_whose_traces_are_gone_needs_only_the_files():
    world = World()
    assert world.erasing().carry_out([("r", Erasure(about="x", requested_ms=1))], threading.Event())
    assert world.steps == [("files", None)]
    assert world.noted["r"].done_ms == NOW_MS


def test_two_who_ask_for_one_person_both_get_their_receipt():
    world = World()
    assert world.erasing().carry_out([("r1", asked("a")), ("r2", asked("a"))], threading.Event())
    assert [step for step in world.steps if step[0] == "erase"] == [("erase", "a")]
    assert world.noted["r1"].done_ms == world.noted["r2"].done_ms == NOW_MS
