"""The page in a real browser, at the width of a phone."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from geo_service.flow.diary import Diary, day_name
from geo_service.flow.outlook import Hour, Outlook, outlook_name
from occupancy.estimate import Estimate
from sensors.instants import instant

STORES = {
    "harbour": "Harbour Street",
    "market": "Market Hall",
    "mill": "Old Mill <img src=x onerror='window.hacked=1'>",
    "quay": "Quay Corner",
}


def now() -> str:
    return datetime.now(UTC).isoformat()


def occupancy(store: str = "harbour", **fields: Any) -> dict[str, Any]:
    figures = {
        "mean": 47.2,
        "low": 41.4,
        "high": 52.8,
        "rate": 0.59,
        "p_over": 0.0,
        "level": "normal",
        "status": "live",
    }
    totals = {"in_total": 312, "out_total": 265}
    return {"kind": "occupancy", "store": store, "zone": None, "time": now(), **figures, **totals, **fields}


def crossing(number: int, **fields: Any) -> dict[str, Any]:
    said = {"id": f"c{number}", "type": "enter", "device": f"phone-{number}", "fence": "f", "store": "harbour"}
    return {
        "kind": "crossing",
        **said,
        "role": "store",
        "time": now(),
        "duration_s": None,
        "reason": "observed",
        **fields,
    }


def offer(decision: str, reason: str, **fields: Any) -> dict[str, Any]:
    said = {"id": "o1", "campaign": "coffee", "device": "phone-1", "store": "harbour", "decision": decision}
    return {"kind": "offer", **said, "reason": reason, "time": now(), "expires": None, "evidence": {}, **fields}


@pytest.fixture
def fakes(api) -> Any:
    """A town of four stores and one campaign, and somebody who may log in."""
    fakes = api.Fakes(now_ms=lambda: time.time_ns() // 1_000_000)
    fakes.accounts.people = {("ada", "correct horse"): api.person("manager")}
    capacity = {"comfort": 80, "legal": 120}
    for key, name in STORES.items():
        fakes.catalogue.add("store", key, name=name, lat=60.17, lon=24.94, capacity=capacity)
    fakes.catalogue.add("campaign", "coffee", name="Coffee with your bread")
    fakes.current.values = {
        "harbour": [json.dumps(occupancy()).encode()],
        "market": [json.dumps(occupancy("market", mean=79, low=70, high=88, rate=0.99, level="full")).encode()],
        "mill": [
            json.dumps(occupancy("mill", mean=20, low=3, high=60, rate=0.25, level="quiet", status="blind")).encode()
        ],
    }
    return fakes


def log_in(page: Any, url: str) -> None:
    page.open(url)
    page.wait("document.querySelector('#login') && !document.querySelector('#login').hidden")
    page.ask("""(() => {
        const form = document.getElementById("login-form");
        form.elements.name.value = "ada";
        form.elements.password.value = "correct horse";
        form.requestSubmit();
    })()""")
    page.wait(
        "!document.querySelector('#live').hidden && document.querySelector('#connection').dataset.state === 'live'"
    )


def test_a_store_shows_its_live_number_and_the_feed_says_what_happens(page, serve, fakes, tmp_path):
    served = serve(fakes)
    page.size(400, 1400)
    log_in(page, served.url)
    page.wait("document.body.innerText.includes('47 (41\u201353) of 80')")
    fakes.outputs.add(0, 10, crossing(1), crossing(2, type="exit", duration_s=754))
    fakes.outputs.add(1, 10, offer("sent", "admitted"), offer("withheld", "the store is full", store="market"))
    fakes.outputs.add(0, 20, occupancy(mean=50.1, low=44, high=56, in_total=315))
    page.wait("document.body.innerText.includes('50 (44\u201356) of 80')", seconds=5)
    feed = page.wait(
        "document.getElementById('feed').childElementCount >= 4 && document.getElementById('feed').innerText"
    )
    assert "phone-1 came into Harbour Street" in feed
    assert "phone-2 left Harbour Street\nafter 13 min" in feed
    assert "Offer sent: Coffee with your bread" in feed
    assert "Offer withheld: Coffee with your bread\nMarket Hall · to phone-1 · the store is full" in feed
    text = page.ask("document.getElementById('stores').innerText")
    assert "● full" in text
    assert "no sensor is heard" in text
    assert "Nothing counted yet" in text
    assert "315 in, 265 out today" in text
    assert page.ask("document.documentElement.scrollWidth") <= 400
    page.screenshot(tmp_path / "page-400.png")
    assert [said for said in page.complaints if "401" not in said] == []


def alert(state: str = "raised", **fields: Any) -> dict[str, Any]:
    said = {"id": f"a-{state}", "store": "market", "zone": None, "alert": "full", "state": state, "detail": "Full: 79."}
    return {"kind": "alert", **said, "time": now(), "since": now(), **fields}


def test_alerts_stand_on_the_card_until_they_are_cleared(page, serve, fakes):
    fakes.current.standing = {"market": json.dumps(alert()).encode()}
    served = serve(fakes)
    page.size(400, 1400)
    log_in(page, served.url)
    page.wait("document.querySelectorAll('.alert').length === 1")
    assert "Full since" in page.ask("document.querySelector('.alert').innerText")
    legal = "60% likely above the legal capacity: 79 people. Operational estimate, not life-safety."
    fakes.outputs.add(0, 10, alert(id="a2", alert="legal", detail=legal))
    page.wait("document.querySelectorAll('.alert').length === 2")
    assert "not life-safety" in page.ask("document.querySelector('.alert[data-alert=legal]').innerText")
    assert page.ask("document.getElementById('announcer').textContent").startswith("Market Hall: ")
    fakes.outputs.add(0, 20, alert("cleared"), alert("cleared", id="a3", alert="legal"))
    page.wait("document.querySelectorAll('.alert').length === 0")
    assert "Over: full: Market Hall" in page.ask("document.getElementById('feed').innerText")


def test_sensors_in_trouble_say_what_to_do(page, serve, fakes):
    status = {"state": "live", "since": now(), "details": [], "last_message": now(), "day": "2026-03-01"}
    status |= {"in_today": 12, "out_today": 7, "battery": 0.5, "tamper": None}
    broken = status | {"state": "silent", "details": ["no message for 15 min; check its power and network"]}
    fakes.current.names = {"status:door-1": json.dumps(status).encode()}
    fakes.catalogue.add("sensor", "door-1", store="harbour")
    served = serve(fakes)
    page.size(1280, 900)
    log_in(page, served.url)
    summary = "[...document.querySelectorAll('.sensors summary')].map((one) => one.textContent).filter(Boolean)"
    page.wait(f"{summary}.includes('1 sensor, all well')")
    assert page.ask("document.querySelector('.sensors:not([hidden])').open") is False
    fakes.current.names = {"status:door-1": json.dumps(broken).encode()}
    said = {"kind": "sensor", "id": "door-1", "store": "harbour", "state": "silent", "since": now(), "detail": "gone"}
    fakes.outputs.add(0, 10, said)
    page.wait(f"{summary}.includes('1 of 1 sensor in trouble')")
    text = page.ask("document.querySelector('.sensors[data-troubled=yes]').innerText")
    assert "door-1: no message for 15 min; check its power and network; last heard" in text
    assert "12 in, 7 out, battery 50 %" in text


def test_the_last_and_the_next_hours_are_a_picture_with_words(page, serve, fakes):
    now_ms = time.time_ns() // 1_000_000
    began_ms = now_ms - now_ms % 300_000 - 3 * 3_600_000
    on = datetime.fromtimestamp(began_ms / 1000, UTC).date()
    diary = Diary.begin(began_ms, began_ms + 86_400_000, on)
    for step in range(1, 37):
        figures = (20.0 + step, 15.0 + step, 25.0 + step, 0.4, 0.0, "normal", "live", step, 0)
        diary.note(began_ms + step * 300_000, Estimate(*figures))
    ahead = [Hour(instant(now_ms + hour * 3_600_000), 50.0 + hour, 40.0, 70.0) for hour in range(1, 5)]
    fakes.current.names = {
        day_name("harbour", "", on.isoformat()): diary.pack(),
        outlook_name("harbour", ""): msgspec.json.encode(Outlook(instant(now_ms), ahead)),
    }
    served = serve(fakes)
    page.size(400, 1400)
    log_in(page, served.url)
    page.wait("document.querySelectorAll('.outlook:not([hidden]) polyline').length === 2")
    label = page.ask("document.querySelector('.outlook:not([hidden]) .picture').getAttribute('aria-label')")
    assert label.startswith("In the last hours between 21 and 56 people. Expected: 51 (40\u201370) at ")
    assert "54 at" in page.ask("document.querySelector('.outlook:not([hidden]) .expected').textContent")
    assert page.ask("document.documentElement.scrollWidth") <= 400
    assert [said for said in page.complaints if "401" not in said] == []


def test_names_are_text_and_nothing_from_elsewhere_may_run(page, serve, fakes):
    served = serve(fakes)
    page.size(1200, 800)
    log_in(page, served.url)
    fakes.outputs.add(0, 10, crossing(1, device="<b>x</b>"))
    page.wait("document.getElementById('feed').innerText.includes('<b>x</b> came into')")
    assert "<img src=x" in page.ask("document.getElementById('stores').innerText")
    assert page.ask("document.querySelectorAll('#stores img, #feed li b b').length") == 0
    assert page.ask("window.hacked") is None
    page.ask("""(() => {
        const script = document.createElement("script");
        script.textContent = "window.hacked = 2";
        document.head.append(script);
    })()""")
    assert page.ask("window.hacked") is None


def test_a_wrong_password_is_said_and_the_form_stays(page, serve, fakes):
    served = serve(fakes)
    page.open(served.url)
    page.wait("document.querySelector('#login') && !document.querySelector('#login').hidden")
    page.ask("""(() => {
        const form = document.getElementById("login-form");
        form.elements.name.value = "ada";
        form.elements.password.value = "guess";
        form.requestSubmit();
    })()""")
    page.wait("document.getElementById('login-error').textContent === 'The name or the password is wrong.'")
    assert page.ask("document.getElementById('live').hidden")


def test_a_lost_server_is_said_with_the_age_of_the_data_and_the_page_comes_back_by_itself(page, serve, fakes, api):
    served = serve(fakes)
    port = int(served.url.rpartition(":")[2])
    log_in(page, served.url)
    served.stop()
    page.wait("document.querySelector('#connection').dataset.state === 'stale'")
    assert "Data as of" in page.ask("document.querySelector('#connection').textContent")
    again = serve(fakes, port=port)
    assert again.url == served.url
    page.wait("document.querySelector('#connection').dataset.state === 'live'")
    fakes.outputs.add(0, 30, crossing(7))
    page.wait("document.getElementById('feed').innerText.includes('phone-7')")


def test_the_screen_of_a_shop_manager(page, serve, fakes, tmp_path):
    served = serve(fakes)
    page.size(1280, 800, dark=True)
    log_in(page, served.url)
    page.wait("document.body.innerText.includes('47 (41\u201353) of 80')")
    time.sleep(0.5)
    page.screenshot(tmp_path / "page-dark.png")
    assert page.ask("getComputedStyle(document.body).backgroundColor") == "rgb(19, 24, 25)"
    page.ask("""(() => {
        const order = document.getElementById("order");
        order.value = "rate";
        order.dispatchEvent(new Event("change"));
    })()""")
    assert page.ask("document.querySelector('#stores .store-name').textContent") == "Market Hall"
    page.ask("document.querySelector('input[value=crossing]').click()")
    fakes.outputs.add(0, 10, crossing(1), offer("sent", "admitted"))
    page.wait("document.getElementById('feed').childElementCount === 2")
    assert "phone-1 came" not in page.ask("document.getElementById('feed').innerText")
