import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_service.catalogue.documents import Sensor, Store
from geo_service.flow.entries import Consent, Forget, Pings, Readings, Recount, Refusals
from geo_service.flow.intake import MAX_BATCH, Intake, Message, SensorDirectory, bodies_of, nothing_taken, partition_of

STORE = Store(id="s1", name="One", lat=1, lon=2)
DOOR = Sensor(id="door1", store="s1")
NAMED = Sensor(id="door2", store="s1", topic="shop/door2")
PING = b'{"time": 1732270000, "lat": 60.1, "lon": 24.9}'


@pytest.fixture
def intake():
    return Intake(SensorDirectory({"door1": DOOR, "door2": NAMED}, {"s1": STORE}))


def take(intake, topic, payload, **more):
    taken = nothing_taken()
    problems = intake.take(Message(topic, payload, 1_732_270_001_000, **more), taken)
    return taken, problems


def test_a_native_ping_belongs_to_the_device_of_its_topic(intake):
    taken, problems = take(intake, "geo/v1/ping/d1", PING)
    assert [row[0] for row in taken.rows] == ["d1"]
    assert problems == []


def test_an_owntracks_phone_is_user_dot_device_over_mqtt_and_http(intake):
    fix = b'{"_type":"location","lat":1,"lon":2,"tst":1732270000}'
    assert take(intake, "owntracks/jane/phone", fix)[0].rows[0][0] == "jane.phone"
    assert take(intake, "http:/v1/owntracks?u=jane&d=phone", fix)[0].rows[0][0] == "jane.phone"
    assert take(intake, "http:/v1/owntracks", fix, device="jane.phone")[0].rows[0][0] == "jane.phone"


def test_a_command_to_an_owntracks_phone_is_not_a_message_from_it(intake):
    assert take(intake, "owntracks/jane/phone/cmd", b'{"_type":"cmd"}')[0] == nothing_taken()


def test_a_sensor_is_known_by_its_own_topic_or_the_default_one(intake):
    for topic in ("geo/v1/sensor/door1", "shop/door2", "http:/v1/sensors/door2"):
        taken, problems = take(intake, topic, b'{"in": 2, "out": 1}')
        assert problems == []
        (store, reading), *_ = taken.readings
        assert (store, reading.ins, reading.outs) == ("s1", 2, 1)


@pytest.mark.parametrize(
    ("topic", "payload", "more", "reason"),
    [
        ("geo/v1/ping/d1", PING, {"retained": True}, "retained"),
        ("owntracks/a/b", PING, {"retained": True}, "retained"),
        ("geo/v1/ping/d\n", PING, {}, "must be 1 to 64"),
        ("geo/v1/ping/" + "x" * 65, PING, {}, "must be 1 to 64"),
        ("geo/v1/ping/d1", b'{"device": "d2", "time": 1, "lat": 1, "lon": 2}', {}, "'d2'"),
        ("geo/v1/ping/d1", b" " * 1_048_577, {}, "1048577 bytes"),
        ("shop/unknown", b"{}", {}, "no sensor"),
        ("http:/v1/sensors/unknown", b"{}", {}, "no sensor"),
        ("http:/v1/invented", b"{}", {}, "nothing is received"),
        ("http:/v1/pings", PING, {}, "device: is missing"),
        ("http:/v1/stores/s1/occupancy/recount", b'{"count": -1}', {}, "count"),
        ("http:/v1/people/p1/consent", b'{"invented": true}', {}, "unknown field `invented`"),
        ("http:/v1/people/p1/consent", b'{"version": "2026-03"}', {}, "names no purpose"),
    ],
)
def test_what_cannot_be_used_is_refused_with_topic_and_reason(intake, topic, payload, more, reason):
    taken, problems = take(intake, topic, payload, **more)
    assert len(problems) == 1
    assert [refusal.topic for refusal in taken.refusals] == [topic]
    assert reason in taken.refusals[0].reason
    assert (taken.rows, taken.readings, taken.others) == ([], [], [])


def test_what_people_do_passes_the_same_border(intake):
    taken, _ = take(intake, "http:/v1/stores/s1/occupancy/recount", b'{"count": 12, "by": "ann"}')
    assert taken.others == [("s1", Recount("s1", 12, None, "ann"))]
    taken, _ = take(intake, "http:/v1/people/d1/consent", b'{"offers": false}')
    assert taken.others == [("d1", Consent("d1", {"offers": False}))]
    taken, _ = take(intake, "http:/v1/people/d1", b"")
    assert taken.others == [("d1", Forget("d1"))]


def test_devices_and_stores_keep_to_their_partition_and_their_order(intake):
    taken = nothing_taken()
    for number in range(200):
        intake.take(Message(f"geo/v1/ping/d{number % 20}", PING, 0), taken)
        intake.take(Message("geo/v1/sensor/door1", json.dumps({"in": number, "out": 0}).encode(), 0), taken)
    intake.take(Message("nowhere", b"", 0), taken)
    seen: dict[str, list[int]] = {}
    pings = 0
    for partition, body in bodies_of(taken, 4):
        if isinstance(body, Pings):
            pings += len(body.batch)
            for device in body.batch.devices:
                assert partition_of(device, 4) == partition
        elif isinstance(body, Readings):
            assert partition == partition_of("s1", 4)
            seen.setdefault("s1", []).extend(reading.ins for reading in body.readings)
        else:
            assert isinstance(body, Refusals)
    assert pings == 200
    assert seen["s1"] == list(range(200))


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_flood_becomes_entries_of_bounded_size(intake, partitions):
    taken = nothing_taken()
    many = b"[" + b",".join([PING] * 500) + b"]"
    for number in range(140):
        intake.take(Message(f"geo/v1/ping/d{number}", many, 0), taken)
    sizes = [len(body.batch) for _, body in bodies_of(taken, partitions)]
    assert sum(sizes) == 70_000
    assert max(sizes) <= MAX_BATCH


topics = st.sampled_from(
    ["geo/v1/ping/d1", "owntracks/a/b", "geo/v1/sensor/door1", "http:/v1/pings", "http:/v1/people/x/consent", "other"]
)


@given(topics | st.text(max_size=40), st.binary(max_size=120), st.booleans())
def test_nothing_that_arrives_can_raise(topic, payload, retained):
    intake = Intake(SensorDirectory({"door1": DOOR}, {"s1": STORE}))
    taken, problems = take(intake, topic, payload, retained=retained)
    assert len(taken.refusals) == len(problems)


def test_signs_of_life_reach_the_log_every_ten_seconds_and_what_happened_always():
    xovis = Sensor(id="x", store="s1", format="xovis")
    intake = Intake(SensorDirectory({"x": xovis}, {"s1": STORE}))
    line = {"track_id": 529, "geometry_id": 2, "geometry_name": "Line 0"}
    crossing = {"category": "SCENE", "type": "LINE_CROSS_FORWARD", "attributes": line}
    logged = []
    for tenth in range(600):
        events = [crossing] if tenth == 333 else []
        frame = {"framenumber": tenth, "time": 1_732_270_000_000 + tenth * 100, "tracked_objects": [], "events": events}
        taken = nothing_taken()
        body = json.dumps({"live_data": {"frames": [frame]}}).encode()
        message = Message("geo/v1/sensor/x", body, 1_732_270_001_000 + tenth * 100)
        assert intake.take(message, taken) == []
        logged += [(tenth, reading.kind) for _, reading in taken.readings]
    assert logged == [
        *((n * 100, "heartbeat") for n in range(4)),
        (333, "delta"),
        (400, "heartbeat"),
        (500, "heartbeat"),
    ]


def test_a_sign_of_life_that_tells_of_a_hand_or_a_battery_always_passes(intake):
    for body in (b'{"kind": "heartbeat", "battery": 0.5}', b'{"kind": "heartbeat", "tamper": true}'):
        for _ in range(3):
            assert len(take(intake, "geo/v1/sensor/door1", body)[0].readings) == 1
