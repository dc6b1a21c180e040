"""Which topic each output goes to, for how long, and that its bytes are not touched."""

from datetime import timedelta

import pytest

from geo_service import outputs
from geo_service.delivery.outbox import outgoing
from sensors.instants import instant, millis

NOW = instant(1_780_740_000_000)
NOW_MS = millis(NOW)


def offer(decision: str = "sent", expires_s: float | None = 600) -> bytes:
    expires = None if expires_s is None else NOW + timedelta(seconds=expires_s)
    return outputs.encode(
        outputs.Offer(
            id="o",
            campaign="c",
            device="d1",
            store="s1",
            decision=decision,
            reason="r",
            time=NOW,
            expires=expires,
            evidence={},
        )
    )


def occupancy(zone: str | None) -> bytes:
    numbers = {"mean": 1, "low": 0, "high": 2, "rate": 0.1, "p_over": 0, "in_total": 1, "out_total": 0}
    return outputs.encode(outputs.Occupancy(store="s1", zone=zone, time=NOW, level="quiet", status="live", **numbers))


def test_an_alert_goes_to_its_stores_back_office_and_is_not_retained():
    numbers = {"mean": 9, "low": 8, "high": 10, "rate": 0.9, "p_over": 0.0}
    alert = outputs.Alert(
        id="a",
        store="s1",
        zone=None,
        alert="warn",
        state="raised",
        time=NOW,
        since=NOW,
        detail="Nearly full",
        **numbers,
    )
    message = outgoing(outputs.encode(alert), NOW_MS)
    assert (message.topic, message.payload, message.retain) == ("geo/v1/store/s1/alert", outputs.encode(alert), False)


@pytest.mark.parametrize(("zone", "topic"), [(None, "geo/v1/store/s1/occupancy"), ("z", "geo/v1/store/s1/occupancy/z")])
def test_an_occupancy_is_retained_under_its_store(zone, topic):
    line = occupancy(zone)
    message = outgoing(line, NOW_MS)
    assert (message.topic, message.retain, message.payload) == (topic, True, line)


def test_an_offer_goes_to_its_device_and_expires_with_itself():
    message = outgoing(offer(), NOW_MS + 200_000)
    assert (message.topic, message.retain, message.expires_s) == ("geo/v1/device/d1/offers", False, 400)
    assert outgoing(offer(), NOW_MS + 600_000) is None


@pytest.mark.parametrize("decision", ["withheld", "held_out"])
def test_what_was_not_sent_is_not_told_to_the_phone(decision):
    assert outgoing(offer(decision, None), NOW_MS) is None


def test_events_of_a_store_go_to_its_back_office():
    visit = outputs.Visit(id="v", device="d", store="s1", entered=NOW, left=NOW, duration_s=0.0, confirmed=False)
    sensor = outputs.Sensor(id="x", store="s1", state="silent", since=NOW, detail="no message")
    assert outgoing(outputs.encode(visit), NOW_MS).topic == "geo/v1/store/s1/visit"
    assert outgoing(outputs.encode(sensor), NOW_MS).topic == "geo/v1/store/s1/sensor"


def test_rejections_stay_inside():
    assert outgoing(outputs.encode(outputs.Rejected(topic="t", reason="r", time=NOW)), NOW_MS) is None
