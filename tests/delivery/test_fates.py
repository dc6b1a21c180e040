"""What became of each offer's delivery."""

import threading
from datetime import timedelta

from geo_service import outputs
from geo_service.delivery.deliver import deliver
from geo_service.delivery.fates import Fared, Fates
from geo_service.flow.entries import EntryId, Undelivered
from sensors.instants import instant

NOW_MS = 1_780_740_000_000


def offer(number, decision="sent", good_s=60):
    return outputs.encode(
        outputs.Offer(
            id=f"o{number}",
            campaign="c",
            device="d",
            store="s",
            decision=decision,
            reason="",
            time=instant(NOW_MS),
            expires=instant(NOW_MS) + timedelta(seconds=good_s) if decision == "sent" else None,
            evidence={},
        )
    )


class Outputs:
    """One batch, then the end."""

    def __init__(self, told, stop, *lines):
        self.told, self.stop, self.lines = told, stop, lines

    def read(self, _limit, _wait_s):
        return [(0, EntryId(1, 0), b"\n".join(self.lines))]

    def done(self, positions):
        self.told.append(("done", positions))
        self.stop.set()


class Publisher:
    """A broker that answers as it is told."""

    def __init__(self, told, **missed):
        self.told, self.missed = told, missed

    def publish(self, messages):
        self.told.append(("published", [message.expires_s for message in messages]))
        return {int(place[1:]): how for place, how in self.missed.items()}


def run(publisher, told, *lines):
    stop = threading.Event()
    deliver(
        Outputs(told, stop, *lines),
        publisher,
        lambda offers: told.append(("kept", len(offers))),
        lambda: NOW_MS,
        stop,
        lambda fates, at_ms: told.append(("fared", {key: each.fate for key, each in fates.items()}, at_ms)),
        lambda name, number: told.append((name, number)) if number else None,
    )
    return told


def test_each_offer_is_kept_before_it_is_sent_and_its_fate_noted_after():
    told = []
    assert run(Publisher(told), told, offer(1), offer(2, good_s=-1), offer(3, "withheld")) == [
        ("kept", 3),
        ("published", [60]),
        ("fared", {"o1": "acknowledged", "o2": "expired"}, NOW_MS),
        ("done", {0: EntryId(1, 0)}),
    ]


def test_what_the_broker_refuses_or_nobody_hears_is_told_of_the_right_offers():
    told = []
    run(Publisher(told, _0="refused", _2="unheard"), told, offer(1), offer(2, good_s=-1), offer(3), offer(4))
    assert ("mqtt_refused", 1) in told
    fates = {"o1": "refused", "o2": "expired", "o3": "acknowledged", "o4": "unheard"}
    assert ("fared", fates, NOW_MS) in told


class Noting:
    """Takes note of all but what it has."""

    def __init__(self, *had):
        self.had = had

    def fared(self, fates, _at_ms):
        return [offer_id for offer_id in fates if offer_id not in self.had]


def test_the_log_hears_by_store_and_in_bounded_entries_of_what_reached_nobody_and_of_nothing_else():
    told = []
    fates = Fates(Noting("o3"), lambda store, entry: told.append((store, entry)))
    fared = {
        "o1": Fared("s1", "expired"),
        "o2": Fared("s2", "refused"),
        "o3": Fared("s2", "expired"),
        "o4": Fared("s2", "acknowledged"),
        "o5": Fared("s2", "unheard"),
    }
    fates.note(fared, NOW_MS)
    assert told == [("s1", Undelivered("s1", ["o1"])), ("s2", Undelivered("s2", ["o2"]))]
    told.clear()
    fates.note({str(number): Fared("s", "expired") for number in range(1201)}, NOW_MS)
    assert [len(entry.offers) for _, entry in told] == [500, 500, 201]
