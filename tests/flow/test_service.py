"""Bytes in at a real broker and over HTTP; crossings, visits, occupancy and offers out, on topics and streams."""

import json
import time

import pytest


@pytest.fixture(scope="module")
def service(redis_url, mqtt_url, town_of, service_of, until):
    """One service for all tests of this module; each has a store and devices of its own."""
    stores = ("ping", "tracks", "http", "visit", "door", "full", "alarm", "poison", "health", "new")
    with service_of(redis_url, mqtt_url, town_of(*stores)) as service:
        client = service.listen()
        # A broker hands out what it retained when somebody subscribes.
        client.publish("geo/v1/ping/statue", service.town.ping("poison", 10), retain=True)
        service.start_worker()
        service.start_api()
        service.await_worker()
        client.publish("geo/v1/ping/statue", b"", retain=True)
        until(lambda: service.counters("worker").get("rejected") == 2)
        yield service


def topic(store, what):
    return f"geo/v1/store/{store}/{what}"


def test_a_native_ping_comes_out_as_crossing_and_offer_on_topics_and_stream(service):
    client = service.listen(topic("ping", "crossing"), "geo/v1/device/jane/offers")
    stream = service.stream("?stores=ping")
    client.publish("geo/v1/ping/jane", service.town.ping("ping", 200))
    crossing = client.expect(topic("ping", "crossing"), device="jane")
    assert (crossing["type"], crossing["fence"], crossing["role"]) == ("enter", "ping.near", "near")
    offer = client.expect("geo/v1/device/jane/offers")
    assert (offer["decision"], offer["campaign"], offer["store"]) == ("sent", "bread", "ping")
    assert offer["evidence"]["crossing"] == crossing["id"]
    assert stream.expect("crossing", device="jane") == crossing
    assert stream.expect("offer", device="jane") == offer | {"code": None}
    assert json.loads(service.get("/v1/devices/jane/offers").content)


def test_a_list_of_pings_is_taken_in_order(service):
    client = service.listen(topic("ping", "crossing"))
    now_s = time.time()
    path = [service.town.ping("ping", metres, at_s=now_s - 90 + at) for at, metres in ((0, 900), (40, 200), (80, 10))]
    client.publish("geo/v1/ping/june", path)
    client.expect(topic("ping", "crossing"), device="june", fence="ping.shop")
    fences = [crossing["fence"] for crossing in client.on(topic("ping", "crossing"), device="june")]
    assert fences == ["ping.near", "ping.shop"]


def test_an_owntracks_phone_works_over_mqtt_and_over_http(service):
    client = service.listen(topic("tracks", "crossing"), "geo/v1/device/+/offers", "owntracks/+/+/cmd")
    lat, lon = service.town.place("tracks", 150)
    fix = {"_type": "location", "lat": lat, "lon": lon, "tst": int(time.time()), "acc": 5, "tid": "mt", "batt": 80}
    client.publish("owntracks/mia/phone", fix)
    client.expect(topic("tracks", "crossing"), device="mia.phone")
    client.expect("geo/v1/device/mia.phone/offers")
    command = client.expect("owntracks/mia/phone/cmd", action="setWaypoints")
    names = [waypoint["desc"] for waypoint in command["waypoints"]["waypoints"]]
    assert len(names) == len(service.town.stores)
    assert service.town.site.store["tracks"].name in names
    answer = service.post("/v1/owntracks", fix, **{"X-Limit-U": "tom", "X-Limit-D": "tablet"})
    assert (answer.status_code, answer.json()) == (200, [])
    client.expect(topic("tracks", "crossing"), device="tom.tablet")


def test_a_ping_over_http_is_accepted_or_says_which_field_is_wrong_and_why(service):
    client = service.listen(topic("http", "crossing"))
    good = service.town.ping("http", 10, device="curl")
    answer = service.post("/v1/pings", good)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    client.expect(topic("http", "crossing"), device="curl")
    answer = service.post("/v1/pings", good | {"lat": 200})
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    (error,) = answer.json()["errors"]
    assert error["field"] == "lat"
    assert "90" in error["reason"]


def test_a_stay_becomes_a_visit(service):
    client = service.listen(topic("visit", "visit"), topic("visit", "crossing"))
    now_s = time.time()
    for at_s, metres in ((-600, 10), (-300, 15), (-201, 2000), (-200, 2010)):
        client.publish("geo/v1/ping/vera", service.town.ping("visit", metres, at_s=now_s + at_s))
    visit = client.expect(topic("visit", "visit"))
    assert (visit["device"], visit["store"], visit["confirmed"]) == ("vera", "visit", True)
    assert visit["duration_s"] == pytest.approx(400, abs=1)
    kinds = [(crossing["type"], crossing["fence"]) for crossing in client.on(topic("visit", "crossing"))]
    assert kinds == [
        ("enter", "visit.near"),
        ("enter", "visit.shop"),
        ("exit", "visit.near"),
        ("exit", "visit.shop"),
    ]


def test_a_door_reading_comes_out_as_retained_occupancy_on_the_stream_and_over_http(service):
    client = service.listen(topic("door", "occupancy"))
    stream = service.stream("?stores=door")
    client.publish("geo/v1/sensor/door.door", {"in": 5, "out": 1})
    said = client.expect(topic("door", "occupancy"), in_total=5, out_total=1)
    assert (said["store"], said["zone"], said["level"]) == ("door", None, "normal")
    assert said["low"] <= said["mean"] <= said["high"]
    stream.expect("occupancy", store="door", in_total=5)
    late = service.listen(topic("door", "occupancy"))
    assert late.expect(topic("door", "occupancy"))["in_total"] == 5
    assert late.messages[0].retain
    assert service.post("/v1/sensors/door.door", {"in": 2, "out": 0}).status_code == 202
    client.expect(topic("door", "occupancy"), in_total=7)
    assert service.get("/v1/stores/door/occupancy").json()["store"]["in_total"] == 7


def test_offers_stop_while_the_store_is_full_and_go_on_after_a_recount(service, until):
    client = service.listen(topic("full", "occupancy"), "geo/v1/device/+/offers")
    stream = service.stream("?stores=full")
    for _ in range(8):
        client.publish("geo/v1/sensor/full.door", {"in": 4, "out": 0})
    client.expect(topic("full", "occupancy"), level="full", in_total=32)
    client.publish("geo/v1/ping/fay", service.town.ping("full", 200))
    withheld = stream.expect("offer", device="fay")
    assert withheld["decision"] == "withheld"
    assert withheld["reason"].startswith("pacing: the store is full")
    assert withheld["evidence"]["occupancy"]["level"] == "full"
    assert service.post("/v1/stores/full/occupancy/recount", {"count": 2}).status_code == 202
    until(lambda: client.on(topic("full", "occupancy"))[-1]["level"] != "full")
    client.publish("geo/v1/ping/gus", service.town.ping("full", 200))
    client.expect("geo/v1/device/gus/offers", decision="sent")
    assert client.on("geo/v1/device/fay/offers") == []


def test_a_crowd_raises_alerts_and_what_was_said_and_counted_by_eye_is_kept(service, until):
    client = service.listen(topic("alarm", "alert"))
    stream = service.stream("?stores=alarm")
    client.publish("geo/v1/sensor/alarm.door", {"in": 30, "out": 0})
    legal = client.expect(topic("alarm", "alert"), alert="legal", state="raised")
    assert legal["detail"].endswith("Operational estimate, not life-safety.")
    stream.expect("alert", id=legal["id"])
    standing = {alert["alert"] for alert in service.get("/v1/stores/alarm/occupancy").json()["alerts"]}
    assert standing == {"warn", "full", "legal"}
    assert service.post("/v1/stores/alarm/occupancy/recount", {"count": 3}).status_code == 202
    client.expect(topic("alarm", "alert"), alert="legal", state="cleared", since=legal["since"])
    until(lambda: service.get("/v1/stores/alarm/occupancy").json()["alerts"] == [])
    (counted,) = until(lambda: service.get("/v1/stores/alarm/occupancy/history").json()["recounts"])
    assert (counted["count"], counted["mean"]) == (3, pytest.approx(30, abs=3))
    assert counted["by"]
    # Within ten seconds: its first word was told before.
    status = until(lambda: (told := service.get("/v1/sensors/alarm.door").json()["status"])["in_today"] and told)
    assert (status["state"], status["in_today"]) == ("live", 30)
    forecast = service.get("/v1/stores/alarm/occupancy/forecast").json()
    assert forecast["hours"] == []
    assert forecast["time"] is not None
    service.post("/v1/stores/alarm/occupancy/recount", {"count": 3, "zone": "attic"})
    service.stream("?recent=200").expect("rejected", topic="http:/v1/stores/alarm/occupancy/recount")


PING = b'{"time": %d, "lat": %s, "lon": -6.0}'
POISON = {
    "nan": ("geo/v1/ping/p1", b'{"time": NaN, "lat": NaN, "lon": NaN}'),
    "latitude 200": ("geo/v1/ping/p2", PING % (time.time(), b"200")),
    "infinity": ("geo/v1/ping/p3", PING % (time.time(), b"1e999")),
    "not UTF-8": ("geo/v1/ping/p4", b'{"device": "\xff\xfe", "time": 1}'),
    "nested lists": ("geo/v1/ping/p5", b"[" * 10_000),
    "nested objects": ("geo/v1/sensor/poison.door", b'{"in":' * 10_000),
    "another device": ("geo/v1/ping/p6", b'{"device": "somebody", "time": 1, "lat": 1, "lon": 1}'),
    "no device": ("geo/v1/ping/", PING % (time.time(), b"45")),
    "a device that is no id": ("geo/v1/ping/p 7", PING % (time.time(), b"45")),
    "a year that is none": ("geo/v1/ping/p8", b'{"time": 1e300, "lat": 1, "lon": 1}'),
    "nothing": ("geo/v1/ping/p9", b""),
    "too many": ("geo/v1/ping/p10", b"[" + b",".join([b"1"] * 501) + b"]"),
    "half a message": ("owntracks/a/b", b'{"_type":"location","lat":1,'),
    "an infinite fix": ("owntracks/a/c", b'{"_type":"location","lat":1,"lon":1,"tst":1e400}'),
    "a door that lost people": ("geo/v1/sensor/poison.door", b'{"in":-4,"out":1}'),
    "a door of the millions": ("geo/v1/sensor/poison.door", b'{"in":1e30,"out":1}'),
    "a huge integer": ("geo/v1/sensor/poison.door", b'{"kind":"absolute","value":' + b"9" * 5000 + b"}"),
    "a sensor nobody configured": ("geo/v1/sensor/stranger", b'{"in":1,"out":1}'),
}
"""One refusal each."""


def test_poison_neither_stops_nor_slows_anything_and_is_counted_and_told(service, until):
    client = service.listen(topic("poison", "crossing"), topic("poison", "sensor"))
    stream = service.stream()
    before = service.counters("worker").get("rejected", 0)
    for name, (where, payload) in POISON.items():
        client.publish(where, payload)
        assert stream.expect("rejected", topic=where)["reason"], name
        stream.events.clear()
        time.sleep(0.1)  # ten refusals a second are told of
    client.publish("geo/v1/ping/big", b"x" * 10_000_000)
    assert "large" in stream.expect("rejected", topic="geo/v1/ping/big")["reason"]
    until(lambda: service.counters("worker")["rejected"] >= before + len(POISON) + 1)
    for _ in range(100):
        client.send("geo/v1/ping/many", b"{")
    client.publish("geo/v1/ping/well", service.town.ping("poison", 10))
    client.expect(topic("poison", "crossing"), device="well")
    client.expect(topic("poison", "sensor"), state="rejected")
    until(lambda: service.counters("worker")["rejected"] == before + len(POISON) + 101)


def test_a_retained_ping_is_told_of_and_moves_nobody(service):
    said = [json.loads(line) for _, line in service.outputs()]
    refused = [each for each in said if each.get("topic") == "geo/v1/ping/statue"]
    assert "retain" in refused[0]["reason"]
    assert [each for each in said if each.get("device") == "statue"] == []


def test_a_store_added_while_the_service_runs_is_served(service):
    around = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [-7.5, 45.0]}}
    fence = around | {"properties": {"radius_m": 200, "store": "kiosk", "role": "near"}}
    store = {"name": "Kiosk", "lat": 45, "lon": -7.5, "capacity": {"comfort": 5, "legal": 9}}
    for path, body in (
        ("stores/kiosk", store),
        ("fences/kiosk.near", fence),
        ("sensors/kiosk.eye", {"store": "kiosk", "topic": "kiosk/eye", "role": "camera"}),
    ):
        assert service.put(f"/v1/{path}", body).status_code == 201
    client = service.listen(topic("kiosk", "#"))
    client.publish("geo/v1/ping/kim", {"time": time.time(), "lat": 45, "lon": -7.5, "accuracy_m": 5})
    client.expect(topic("kiosk", "crossing"), device="kim")
    # The broker is asked for the new topic within a second or two; until then nobody listens there.
    client.insist("kiosk/eye", {"kind": "absolute", "value": 4}, topic("kiosk", "occupancy"), level="busy")


def test_the_service_is_unready_without_a_worker_and_ready_again_with_one(
    redis_url, mqtt_url, town_of, service_of, until
):
    with service_of(redis_url, mqtt_url, town_of("lone")) as service:
        service.start_api()
        assert service.get("/healthz").status_code == 200
        assert service.get("/readyz").status_code == 503
        worker = service.start_worker()
        until(lambda: service.get("/readyz").status_code == 200)
        worker.process.kill()
        until(lambda: service.get("/readyz").status_code == 503)
        assert "worker" in service.get("/readyz").text
        service.start_worker()
        until(lambda: service.get("/readyz").status_code == 200)


def test_four_partitions_tell_of_the_same_crossings_and_totals(redis_url, mqtt_url, town_of, service_of, until):
    stores = [f"p{number}" for number in range(6)]
    town = town_of(*stores, total=40, comfort=400_000)
    with service_of(redis_url, mqtt_url, town, partitions=4) as service:
        service.start_worker()
        service.await_worker()
        client = service.listen(*(topic(store, "occupancy") for store in stores))
        now_s = time.time() - 110
        for number in range(60):
            store = stores[number % 6]
            for step, metres in enumerate((900, 200, 10, 900, 900)):
                client.send(f"geo/v1/ping/q{number}", town.ping(store, metres, at_s=now_s + 25 * step))
            client.send(f"geo/v1/sensor/{store}.door", {"in": 1, "out": 0})
        told = [("enter", "near"), ("enter", "shop"), ("exit", "near"), ("exit", "shop")]
        expected = sorted((f"q{n}", kind, f"{stores[n % 6]}.{fence}") for n in range(60) for kind, fence in told)

        def said(kind):
            found = [json.loads(line) for _, line in service.outputs()]
            return [each for each in found if each["kind"] == kind and each.get("device", "q").startswith("q")]

        until(lambda: len(said("crossing")) >= len(expected) and len(said("offer")) >= 60)
        crossings = said("crossing")
        assert sorted((each["device"], each["type"], each["fence"]) for each in crossings) == expected
        assert sum(offer["decision"] == "sent" for offer in said("offer")) == 40
        assert len({each["id"] for each in crossings + said("offer")}) == len(crossings) + 60
        for store in stores:
            client.expect(topic(store, "occupancy"), in_total=10)
