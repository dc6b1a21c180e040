"""What was decided about a device lately."""

from datetime import timedelta

import pytest

from geo_service import outputs
from geo_service.storage.recent_offers import KEPT, RecentOffers
from sensors.instants import instant


def offer(number, device="phone", minute=0):
    return outputs.encode(
        outputs.Offer(
            id=str(number),
            campaign="c",
            device=device,
            store="s",
            decision="sent",
            reason="",
            time=instant(1_700_000_000_000) + timedelta(minutes=minute),
            expires=None,
            evidence={},
        )
    )


@pytest.fixture
def recent(client, keys):
    return RecentOffers(client, keys=keys)


def test_offers_come_newest_first_and_each_devices_own(recent):
    first, second, other = offer(1, minute=1), offer(2, minute=2), offer(3, "other")
    recent.keep([second, first, other])
    assert recent.of("phone", 10) == [second, first]
    assert recent.of("phone", 1) == [second]
    assert recent.of("phone", 0) == []
    assert recent.of("nobody", 10) == []


def test_an_offer_that_is_delivered_again_is_kept_once(recent):
    recent.keep([offer(1)])
    recent.keep([offer(1)])
    recent.keep([])
    assert len(recent.of("phone", 10)) == 1


def test_only_the_newest_are_kept(recent):
    recent.keep([offer(number, minute=number) for number in range(KEPT + 5)])
    kept = recent.of("phone", 1000)
    assert len(kept) == KEPT
    assert kept[-1] == offer(5, minute=5)


def test_an_offer_is_found_by_its_id_with_the_fate_of_its_delivery_and_without_its_code(recent, client, keys):
    line = offer(1).replace(b'"code":null', b'"code":"7Q4K-9XWM-02RT-HB5N"')
    recent.keep([line])
    kept = recent.find("1")
    assert (kept.device, kept.fate) == ("phone", {"fate": "queued"})
    assert kept.offer == offer(1)
    recent.fared({"1": "acknowledged", "gone": "expired"}, 17)
    recent.fared({"1": "pulled"}, 18)
    recent.keep([line])
    assert recent.find("1").fate == {"fate": "acknowledged", "fate_ms": "17", "pulled_ms": "18"}
    assert recent.find("gone") is None
    assert not any(b"HB5N" in client.dump(key) for key in client.scan_iter(match=f"{keys.prefix}*"))


def test_what_is_pushed_out_by_newer_ones_is_found_no_more(recent):
    recent.keep([offer(number, minute=number) for number in range(KEPT + 1)])
    assert recent.find("0") is None
    assert recent.find("1") is not None


def test_nothing_is_kept_about_a_device_that_is_forgotten(recent, client, keys):
    recent.keep([offer(1)])
    recent.forget("phone")
    assert client.keys(f"{keys.prefix}*") == []


def test_what_reached_the_broker_stays_so_when_a_crash_has_it_sent_again_too_late(recent):
    recent.keep([offer(1), offer(2), offer(3)])
    assert recent.fared({"1": "acknowledged", "2": "expired", "3": "unheard", "gone": "expired"}, 17) == ["1", "2", "3"]
    assert recent.fared({"1": "expired", "2": "expired", "3": "expired"}, 18) == ["2"]
    assert recent.find("1").fate == {"fate": "acknowledged", "fate_ms": "17"}
    assert recent.find("3").fate["fate"] == "unheard"


def test_a_phone_has_pulled_an_offer_when_it_first_asked(recent):
    recent.keep([offer(1)])
    recent.fared({"1": "pulled"}, 18)
    recent.fared({"1": "pulled"}, 30)
    assert recent.find("1").fate["pulled_ms"] == "18"
