"""The page in a real browser, at the width of a phone."""

import dataclasses
import itertools
import json
import time
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from geo_service.flow.diary import Diary, day_name
from geo_service.flow.outlook import Hour, Outlook, outlook_name
from geo_service.flow.previewing import People, Present, Verdict, Verdicts, decode_question, encode
from geo_service.offers.facts import Facts
from geo_service.outputs import Crossing
from occupancy.estimate import Estimate
from sensors.instants import instant

STORES = {
    "harbour": "Harbour Street",
    "market": "Market Hall",
    "mill": "Old Mill <img src=x onerror='window.hacked=1'>",
    "quay": "Quay Corner",
}

numbers = itertools.count()


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
    said = {
        "id": f"offer-{next(numbers)}",
        "campaign": "coffee",
        "device": "phone-1",
        "store": "harbour",
        "decision": decision,
    }
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


def pacing(**fields: Any) -> bytes:
    said = {"store": "harbour", "capacity": 80, "admits": True, "reason": "room for 9 more", "in_flight": 4}
    figures = {"evidence": {}, "outlook": [], "target_minutes": 5.0, "overshoot_minutes": None}
    return json.dumps({**said, **figures, "time": now(), "override": None, "overrides": [], **fields}).encode()


def decide(page: Any, action: str, ceiling: str = "") -> None:
    page.ask("document.querySelector('.pacing:not([hidden]) details').open = true")
    page.ask(f"""(() => {{
        const form = document.querySelector('.pacing:not([hidden]) form');
        form.elements.action.value = "{action}";
        form.elements.action.dispatchEvent(new Event("change"));
        if ("{ceiling}") form.elements.ceiling.value = "{ceiling}";
        form.requestSubmit();
    }})()""")


def test_a_manager_sees_why_nobody_is_invited_and_decides(page, serve, fakes, tmp_path):
    full = "would be 88 \u00b1 21 of 80 people at 17:49"
    fakes.current.names = {"pacing:harbour": pacing(admits=False, reason=full)}
    served = serve(fakes)
    page.size(390, 1400)
    log_in(page, served.url)
    page.wait("document.querySelectorAll('.pacing:not([hidden])').length === 1")
    text = page.ask("document.querySelector('.pacing:not([hidden])').innerText")
    assert f"Invites nobody: {full}, 4 invited may still come" in text
    assert "As usual again" not in text
    fakes.current.names = {
        "pacing:harbour": pacing(
            admits=False,
            reason="paused by ada",
            override={"action": "pause", "by": "ada", "since": now(), "until": now(), "ceiling": None},
        )
    }
    decide(page, "pause")
    page.wait("document.querySelector('.pacing').innerText.includes('Paused, decided by ada, until ')")
    ((topic, said, _),) = fakes.intake.taken
    assert topic == "http:/v1/stores/harbour/pacing"
    decided = json.loads(said)
    assert (decided["action"], decided["by"], decided["ceiling"]) == ("pause", "the-manager", None)
    assert 3500 < (datetime.fromisoformat(decided["until"]) - datetime.now(UTC)).total_seconds() <= 3601
    page.screenshot(tmp_path / "pacing-390.png")
    assert page.ask("document.documentElement.scrollWidth") <= 390
    page.ask("document.querySelector('.pacing .override button').click()")
    fakes.current.names = {"pacing:harbour": pacing()}
    page.wait("document.querySelector('.pacing').innerText.includes('Invites: room for 9 more')")
    assert json.loads(fakes.intake.taken[1][1])["action"] == "resume"
    decide(page, "ceiling", "40")
    page.wait("!document.querySelector('.pacing details').open")
    assert json.loads(fakes.intake.taken[2][1])["ceiling"] == 40
    fakes.intake.down = True
    decide(page, "force")
    page.wait("document.querySelector('.pacing .error').textContent.startsWith('Not decided: ')")


def test_who_may_not_decide_about_pacing_only_reads_it(page, serve, fakes, api):
    fakes.accounts.people = {("ada", "correct horse"): api.person("staff")}
    fakes.current.names = {"pacing:harbour": pacing()}
    served = serve(fakes)
    page.size(1280, 900)
    log_in(page, served.url)
    page.wait("document.querySelectorAll('.pacing:not([hidden])').length === 1")
    text = page.ask("document.querySelector('.pacing:not([hidden])').innerText")
    assert text.strip() == "Invites: room for 9 more, 4 invited may still come"


class Worker:
    """Answers previews: three people are there, and one of them would get it."""

    partitions = 1

    def ask(self, partition: int, question: bytes, timeout_s: float) -> bytes:
        if isinstance(decode_question(question), Present):
            here = [
                (msgspec.convert({**crossing(1), "lat": 1, "lon": 1, "logged": now()} | LEFT_OUT, Crossing), Facts())
            ]
            return encode(People(here * 3, False, 1_780_740_000_000))
        told = [
            ("d1", "sent", "admitted"),
            ("d2", "withheld", "caps: total is used up"),
            ("d3", "held_out", "holdout: x"),
        ]
        return encode(Verdicts([Verdict(device, "harbour", *said) for device, *said in told], 1_780_740_000_000))


LEFT_OUT = {"accuracy_m": 5.0, "confidence": 1.0}


def test_a_marketer_sees_how_the_campaigns_fare_and_who_would_get_one(page, serve, fakes, tmp_path, monkeypatch):
    fakes.catalogue.add("campaign", "tea", name="Tea <b>now</b>", state="paused")
    fakes.catalogue.add("campaign", "soon", name="Ice", starts="2999-06-01T00:00:00Z")
    services = fakes.services()
    monkeypatch.setattr(fakes, "services", lambda: dataclasses.replace(services, questions=Worker()))
    served = serve(fakes)
    page.size(1280, 900)
    log_in(page, served.url)
    page.wait("document.getElementById('campaigns-summary').textContent === 'Campaigns: 1 running'")
    told = [offer("sent", "admitted", id=f"o{number}") for number in range(3)]
    told += [offer("withheld", "caps: total is used up", id=f"w{number}") for number in range(2)]
    told += [offer("withheld", "audience: in no segment", id="w9"), offer("held_out", "holdout: kept back", id="h1")]
    fakes.outputs.add(0, 10, *told)
    redeemed = {"id": "o1", "campaign": "coffee", "device": "d1", "store": "harbour", "change": "redeemed"}
    redeemed |= {"previous": "issued", "channel": "store", "time": now(), "logged": now()}
    fakes.outputs.add(0, 11, {"kind": "redemption", **redeemed})
    page.wait("document.getElementById('campaigns-summary').textContent.endsWith('3 offers sent')")
    page.ask("document.getElementById('campaigns').open = true")
    figures = "3 sent \u00b7 1 held out \u00b7 1 redeemed \u00b7 3 withheld (caps 2, not meant 1)"
    page.wait(f"document.getElementById('campaign-list').innerText.includes('{figures}')")
    heads = page.ask("[...document.querySelectorAll('.campaign-head')].map((one) => one.innerText.replace('\\n', ' '))")
    assert heads[0] == "Coffee with your bread running"
    assert heads[1].startswith("Ice from ")
    assert heads[2] == "Tea <b>now</b> paused"
    assert page.ask("document.getElementById('campaigns-since').textContent").startswith("Counted since ")
    page.ask("document.querySelector('.campaign button').click()")
    answer = "Of 3 there now: 1 would get it, 1 held out; 1 not (caps 1)."
    page.wait(f"document.querySelector('.campaign .answer').textContent === '{answer}'")
    feed = page.ask("document.getElementById('feed').innerText")
    assert "Held out: Coffee with your bread" in feed
    assert "Coupon redeemed: Coffee with your bread" in feed
    page.screenshot(tmp_path / "campaigns-1280.png")
    page.size(390, 1400)
    page.wait("innerWidth === 390")
    assert page.ask("document.documentElement.scrollWidth") <= 390
    page.screenshot(tmp_path / "campaigns-390.png")
    assert [said for said in page.complaints if "401" not in said] == []
