"""What became of each offer's delivery."""

import threading
from datetime import timedelta

from geo_service import outputs
from geo_service.delivery.deliver import deliver
from geo_service.flow.entries import EntryId
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


def test_each_offer_is_kept_before_it_is_sent_and_its_fate_noted_after():
    told, stop = [], threading.Event()

    class Outputs:
        def read(self, _limit, _wait_s):
            return [(0, EntryId(1, 0), b"\n".join([offer(1), offer(2, good_s=-1), offer(3, "withheld")]))]

        def done(self, positions):
            told.append(("done", positions))
            stop.set()

    class Publisher:
        def publish(self, messages):
            told.append(("published", [message.expires_s for message in messages]))

    deliver(
        Outputs(),
        Publisher(),
        lambda offers: told.append(("kept", len(offers))),
        lambda: NOW_MS,
        stop,
        lambda fates, at_ms: told.append(("fared", fates, at_ms)),
    )
    assert told == [
        ("kept", 3),
        ("published", [60]),
        ("fared", {"o1": "acknowledged", "o2": "expired"}, NOW_MS),
        ("done", {0: EntryId(1, 0)}),
    ]
