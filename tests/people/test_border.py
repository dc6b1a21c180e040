"""What may enter the log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_service.catalogue.documents import Sensitive
from geo_service.flow.devices import Devices
from geo_service.flow.entries import Consent
from geo_service.people.border import Border, Located, device_of, spellings
from geo_service.people.sensitive import SensitivePlaces
from geo_service.pings.fields import NAN

DEVICES = ["a", "b", "c"]
CLINIC = Sensitive(id="clinic", geometry={"type": "Point", "coordinates": [24.95, 60.17]}, radius_m=50)


def row(device, lat=60.2, lon=24.9):
    return (device, 1, lat, lon, NAN, NAN, NAN, 0)


@pytest.mark.parametrize(("assumed", "admitted"), [(True, ["a", "d"]), (False, ["a"])])
def test_who_has_refused_or_is_being_erased_stays_out_and_who_said_nothing_is_as_assumed(assumed, admitted):
    border = Border(Located(assumed=assumed))
    border.located.learn({"a": "yes", "b": "no", "c": "erased"})
    rows = [row(device) for device in "abcd"]
    turned = border.turn_away(rows)
    assert [each[0] for each in rows] == admitted
    assert turned == (4 - len(admitted), 0)


def test_pings_from_a_sensitive_place_stay_out():
    border = Border(Located(assumed=True), SensitivePlaces([CLINIC]))
    rows = [row("a"), row("a", 60.17, 24.95), row("b", 60.1701, 24.9501), row("b")]
    assert border.turn_away(rows) == (0, 2)
    assert rows == [row("a"), row("b")]


@given(
    st.booleans(),
    st.lists(st.tuples(st.sampled_from(DEVICES), st.sampled_from(["location", "offers"]), st.booleans()), max_size=20),
)
def test_the_border_keeps_out_only_what_the_fold_would_drop(assumed, consents):
    """And all of it, once it has heard the last answer."""
    fold = Devices("strict", frozenset(("location",) if assumed else ()))
    located = Located(assumed=assumed)
    for device, purpose, says in consents:
        fold.consent(Consent(device, {purpose: says}), 1)
        if purpose == "location":
            located.learn({device: "yes" if says else "no"})
    assert [located.may(device) for device in DEVICES] == [fold.agrees(device, "location") for device in DEVICES]


def test_while_nobody_differs_nobody_is_asked_about():
    located = Located(assumed=True)
    assert located.is_everybody
    located.learn({"a": "no"})
    assert not located.is_everybody
    located.learn({"a": None})
    assert located.is_everybody
    assert len(located) == 0


def test_a_refusal_does_not_keep_the_name_of_who_refused():
    border = Border(Located(assumed=True))
    border.located.learn({"phone-1": "no", "ada.phone": "no"})
    topics = [
        "geo/v1/ping/phone-1",
        "owntracks/ada/phone",
        "owntracks/ada/phone/event",
        "geo/v1/ping/x",
        "http:/v1/pings",
    ]
    assert [border.may_name(topic) for topic in topics] == [False, False, False, True, True]


def test_a_topic_names_the_device_that_the_decoder_reads_from_it():
    assert device_of("owntracks/ada/phone/event") == "ada.phone"
    assert device_of("geo/v1/sensor/door") is None
    assert list(spellings("phone-1")) == ["phone-1"]
    assert list(spellings("a.b.c")) == ["a.b.c", "a/b.c", "a.b/c", "u=a&d=b.c", "u=a.b&d=c"]
