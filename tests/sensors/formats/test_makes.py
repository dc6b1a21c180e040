"""What each make's habits do to the count: sequences of its messages, through the counters."""

import msgspec
import pytest

from sensors.config import LineConfig, SensorConfig
from sensors.counters import Counted, Counters, Observed
from sensors.errors import ReadingError
from sensors.formats import decoder, formats

START = 1_785_492_000_000
MINUTE = 60_000


class Sensor:
    """A sensor of one make, from bytes to counts."""

    def __init__(self, name, *, topic="shop/door", **config):
        self.decoder, self.topic = decoder(name), topic
        self.config = SensorConfig(id="door-1", **config)
        self.counters = Counters(self.config)
        self.now = START

    def read(self, body, topic=None, **how):
        payload = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
        return self.decoder.decode(payload, topic or self.topic, self.config, received_ms=self.now, **how)

    def send(self, body, topic=None, *, after_ms=MINUTE, **how):
        self.now += after_ms
        return [one for reading in self.read(body, topic, **how) for one in self.counters.take(reading)]

    def count(self, body, topic=None, **how):
        counted = [one for one in self.send(body, topic, **how) if isinstance(one, Counted)]
        return sum(one.ins for one in counted), sum(one.outs for one in counted)


def at(minute, second=0):
    return f"2026-07-31T10:{minute:02}:{second:02}+00:00"


def milesight(minute, *, trigger=None, period=None, total=None, uptime_s=None):
    body = {
        "device_info": {"device_sn": "6711A22334450007"},
        "time_info": {"start_time": at(minute - 1), "end_time": at(minute)},
    }
    if uptime_s is not None:
        body["device_info"]["running_time"] = uptime_s
    if trigger:
        body |= {"line_trigger_data": [{"line": 1, "total": dict(zip(("in", "out"), trigger, strict=True))}]}
        body["time_info"] = {"time": at(minute - 1, 30)}
    if period:
        body |= {"line_periodic_data": [{"line": 1, "total": dict(zip(("in", "out"), period, strict=True))}]}
    if total:
        counted = dict(zip(("in_counted", "out_counted"), total, strict=True))
        body |= {"line_total_data": [{"line": 1, "total": {"capacity_counted": total[0] - total[1], **counted}}]}
    return body


def test_a_milesight_that_sends_all_three_counts_a_person_once():
    sensor = Sensor("milesight")
    assert sensor.count(milesight(1, trigger=(1, 0)), after_ms=30_000) == (1, 0)
    assert sensor.count(milesight(1, period=(1, 0), total=(8442, 15583)), after_ms=30_000) == (0, 0)
    assert sensor.count(milesight(2, period=(2, 0), total=(8444, 15583))) == (0, 0)


def test_a_milesight_period_before_its_first_total_is_not_lost():
    sensor = Sensor("milesight")
    assert sensor.count(milesight(1, period=(3, 1), total=(8442, 15583))) == (3, 1)
    assert sensor.count(milesight(2, period=(2, 0), total=(8444, 15583))) == (2, 0)
    assert sensor.count(milesight(4, period=(1, 0), total=(8450, 15585))) == (6, 2), "one message was lost"


def test_a_milesight_that_resets_at_midnight_or_by_a_reboot_goes_on():
    sensor = Sensor("milesight")
    sensor.count(milesight(1, total=(8442, 15583), uptime_s=86_000))
    assert sensor.count(milesight(2, total=(3, 1), uptime_s=86_060)) == (3, 1)
    assert sensor.count(milesight(3, total=(2, 0), uptime_s=20)) == (2, 0)


def test_a_redelivered_milesight_period_counts_once():
    sensor = Sensor("milesight")
    assert [sensor.count(milesight(1, period=(2, 0))) for _ in range(2)] == [(2, 0), (0, 0)]


def test_a_milesight_frozen_in_time_counts_on():
    sensor = Sensor("milesight")
    counted = [sensor.count(milesight(1, period=(1, 0), uptime_s=60 * minute)) for minute in range(1, 30)]
    assert sum(ins for ins, _ in counted) == 29


def test_sixteen_bit_totals_of_a_vs350_wrap():
    sensor = Sensor("milesight")
    assert sensor.count({"total_in": 65_530, "total_out": 40_000, "period_in": 4, "period_out": 1}) == (4, 1)
    assert sensor.count({"total_in": 3, "total_out": 40_002, "period_in": 9, "period_out": 2}) == (9, 2)


def test_an_alarm_of_a_vs350_does_not_count_the_period_twice():
    sensor = Sensor("milesight")
    assert sensor.count({"period_in": 1_000, "period_out": 9, "period_count_alarm": "threshold alarm"}) == (0, 0)
    assert sensor.count({"period_in": 1_200, "period_out": 12}) == (1_200, 12)


def test_half_a_total_is_no_total():
    sensor = Sensor("milesight")
    assert sensor.read({"line_1_total_in": 72})[0].kind == "heartbeat"


def uplink(frame, fields, session="AYkS"):
    return {
        "end_device_ids": {"device_id": "north"}, "received_at": at(frame % 60),
        "uplink_message": {"session_key_id": session, "f_cnt": frame, "decoded_payload": fields},
    }  # fmt: skip


def test_an_uplink_that_two_gateways_deliver_counts_once():
    sensor = Sensor("the_things_stack")
    five = uplink(12, {"line_1_period_in": 5, "line_1_period_out": 0})
    assert [sensor.count(five), sensor.count(five)] == [(5, 0), (0, 0)]
    assert sensor.count(uplink(13, {"line_1_period_in": 5, "line_1_period_out": 0})) == (5, 0)


def test_a_device_that_joined_again_starts_its_frames_again():
    sensor = Sensor("the_things_stack")
    assert sensor.count(uplink(1, {"period_in": 5, "period_out": 0})) == (5, 0)
    again = uplink(1, {"period_in": 5, "period_out": 0}, session="BYkS")
    assert sensor.count(again) == (5, 0)


def test_an_uplink_that_comes_late_changes_no_total():
    sensor = Sensor("the_things_stack")
    frames = [(20, 100), (22, 110), (21, 105), (23, 111)]
    counted = [sensor.count(uplink(frame, {"total_in": total, "total_out": 0})) for frame, total in frames]
    assert counted == [(0, 0), (10, 0), (0, 0), (1, 0)]


def test_a_lorawan_wrapper_without_decoded_fields_says_what_to_do():
    with pytest.raises(ReadingError, match="holds no decoded payload; set a payload formatter for this device"):
        Sensor("the_things_stack").read({"end_device_ids": {}, "uplink_message": {"f_cnt": 3, "frm_payload": "AAAA"}})


def xovis_live(frame, kind="LINE_CROSS_FORWARD", line="Line 0", track=1):
    event = {
        "category": "SCENE",
        "type": kind,
        "attributes": {"track_id": track, "geometry_id": 2, "geometry_name": line},
    }
    return {"live_data": {"frames": [{"framenumber": frame, "time": START + 80 * frame, "events": [event]}]}}


def xovis_logics(minute, ins, outs):
    counts = [{"id": 1, "name": "fw", "value": ins}, {"id": 2, "name": "bw", "value": outs}]
    record = {"from": at(minute - 1), "to": at(minute), "counts": counts}
    return {"logics_data": {"logics": [{"id": 1, "name": "Door A", "records": [record]}]}}


def test_a_xovis_that_pushes_events_and_logics_counts_by_events():
    sensor = Sensor("xovis")
    assert sensor.count(xovis_logics(1, 2, 1)) == (2, 1)
    assert sensor.count(xovis_live(1_000, "LINE_CROSS_BACKWARD")) == (0, 1)
    assert sensor.count(xovis_logics(2, 0, 1)) == (0, 0)


def test_a_xovis_record_that_comes_in_two_packages_counts_once():
    sensor = Sensor("xovis")
    assert [sensor.count(xovis_logics(1, 2, 1)), sensor.count(xovis_logics(1, 2, 1))] == [(2, 1), (0, 0)]


def test_a_xovis_mounted_backwards_is_turned_by_its_line():
    sensor = Sensor("xovis", lines={"Door A": LineConfig(in_is="backward")})
    assert sensor.count(xovis_logics(1, 2, 5)) == (5, 2)


def scenario(number, total, began, second=0):
    data = {"startTime": began, "reason": "human", "total": str(total + 40), "totalHuman": str(total)}
    topic = f"axis:CameraApplicationPlatform/ObjectAnalytics/Device1Scenario{number}"
    return {"topic": topic, "timestamp": START + 1_000 * second, "message": {"source": {}, "key": {}, "data": data}}


def test_an_axis_scenario_counts_since_its_start_time():
    sensor = Sensor("axis", lines={"Device1Scenario2": LineConfig(in_is="backward")})
    monday, tuesday = "2026-07-30T22:00:00Z", "2026-07-31T10:10:00Z"
    assert sensor.count(scenario(1, 812, monday)) == (0, 0)
    assert sensor.count(scenario(1, 815, monday)) == (3, 0)
    assert sensor.count(scenario(2, 700, monday)) == (0, 0)
    assert sensor.count(scenario(2, 702, monday)) == (0, 2), "the second scenario counts the way out"
    assert sensor.count(scenario(1, 900, tuesday)) == (900, 0), "it started again, and counted whole"
    assert sensor.count(scenario(1, 816, monday)) == (0, 0), "a late one from before"


def test_an_axis_minute_that_is_pushed_twice_counts_once():
    measurement = {
        "kind": "people-counts", "utcFrom": "2026-07-31T10:00:00Z", "utcTo": "2026-07-31T10:01:00Z",
        "items": [{"direction": "in", "count": 5}, {"direction": "out", "count": 2}],
    }  # fmt: skip
    push = {"apiName": "Axis Retail Data", "data": {"measurements": [measurement]}}
    sensor = Sensor("axis")
    assert [sensor.count(push), sensor.count(push)] == [(5, 2), (0, 0)]


def test_an_axis_poll_counts_its_totals_and_not_its_occupancy():
    sensor = Sensor("axis")
    polls = [(15, 100, 85), (99, 103, 86)]
    counted = [sensor.count({"occupancy": now, "total_in": ins, "total_out": outs}) for now, ins, outs in polls]
    assert counted == [(0, 0), (3, 1)]


@pytest.mark.parametrize(
    ("name", "topic", "word"),
    [
        ("zigbee2mqtt", "zigbee2mqtt/door/availability", '{"state":"offline"}'),
        ("tasmota", "tele/door/LWT", "Offline"),
        ("shelly", "shelly-1/online", "false"),
        ("esphome", "node/status", "offline"),
        ("frigate", "frigate/available", "stopped"),
        ("home_assistant", "shop/door/available", "offline"),
    ],
)
def test_a_last_will_is_no_sign_of_life(name, topic, word):
    assert Sensor(name, role="presence").read(word, topic, retained=True) == []


def test_a_zigbee_attribute_topic_is_read_like_the_whole_state():
    [reading] = Sensor("zigbee2mqtt").read("false", "zigbee2mqtt/back door/contact")
    assert (reading.line, reading.value) == ("contact", 1.0)


def test_a_state_that_means_its_opposite_is_turned_round():
    sensor = Sensor("tasmota", options={"invert_states": ["Switch1"]})
    assert [reading.value for reading in sensor.read({"Switch1": "ON", "Switch2": "ON"})] == [0.0, 1.0]


def test_lines_may_be_given_other_names():
    sensor = Sensor("xovis", options={"aliases": {"Door A": "north"}}, lines={"north": LineConfig(zone="hall")})
    assert sensor.send(xovis_logics(1, 2, 0))[0].line == "north"


def test_what_a_camera_sees_takes_the_error_that_its_owner_gives_it():
    sensor = Sensor("frigate", role="camera", options={"error": 2})
    assert sensor.read("3", "frigate/hall/person")[0].error == 2.0
    own = Sensor("native", role="camera", options={"error": 2})
    assert own.read({"kind": "absolute", "value": 3, "error": 1})[0].error == 1.0


def test_a_shelly_button_has_no_state():
    assert Sensor("shelly").read({"id": 0, "state": None}, "shelly/status/input:0")[0].kind == "heartbeat"


def test_a_roode_that_repeats_its_last_text_when_the_broker_returns_counts_nobody():
    sensor = Sensor("esphome", topic="roode/text_sensor/direction/state")
    assert sensor.count("Entry") == (1, 0)
    assert sensor.count("Entry", retained=True) == (0, 0)
    assert sensor.count("Exit") == (0, 1)


def test_a_frigate_track_counts_once_however_often_its_end_is_told():
    sensor = Sensor("frigate", topic="frigate/events", options={"crossing": {"from": "street", "to": "hall"}})
    after = {"id": "1.2-abc", "label": "person", "entered_zones": ["street", "hall"], "end_time": START / 1000}
    told = [{"type": what, "after": after} for what in ("new", "update", "end", "end")]
    assert [sensor.count(body) for body in told] == [(0, 0), (0, 0), (1, 0), (0, 0)]


def test_a_frigate_number_is_evidence_and_not_a_count():
    [seen] = Sensor("frigate", role="camera", zone="hall").send("3", "frigate/entrance/person")
    assert isinstance(seen, Observed)
    assert (seen.value, seen.zone) == (3.0, "hall")


def test_a_region_that_nobody_named_is_no_evidence_about_the_store():
    regions = {"region_1_count": 4, "region_2_count": 9}
    assert Sensor("milesight", role="camera").read(regions)[0].kind == "heartbeat"
    named = Sensor("milesight", role="camera", lines={"region-2": LineConfig(zone="hall")})
    [seen] = named.send(regions)
    assert (seen.value, seen.zone) == (9.0, "hall")


@pytest.mark.parametrize(
    ("name", "topic", "body", "reason"),
    [
        ("milesight", "t", {"hello": 1}, "holds no field of a Milesight people counter"),
        ("milesight", "t", {"line_periodic_data": [{"line": 1, "total": {"in": -1, "out": 0}}]}, r"line_periodic_data\[0\].in: -1 is negative"),
        ("milesight", "t", {"line_total_data": [{"line": 1, "total": {"in_counted": 5}}]}, r"line_total_data\[0\].out: is missing"),
        ("milesight", "t", {"history": [{"period_in": 1}]}, "history: an entry has no timestamp"),
        ("xovis", "t", {"data": 1}, "holds neither logics_data nor live_data"),
        ("xovis", "t", '{"connection_test":{}} {"connection_test":{}} NaN', "is not JSON from character"),
        ("xovis", "t", {"logics_data": {"logics": [{"name": "A", "records": [{"counts": [{"name": "fw", "value": -3}]}]}]}}, "counts.fw: -3 is negative"),
        ("axis", "t", {"occupancy": 4}, "is neither Axis Retail Data, nor Object Analytics, nor an occupancy reply"),
        ("axis", "t", {"message": {"data": {"totalHuman": "many"}}}, "totalHuman: 'many' is not a number"),
        ("the_things_stack", "t", {"f_cnt": 1}, "holds no uplink_message"),
        ("chirpstack", "t", {"fCnt": 1}, "is no ChirpStack event"),
        ("zigbee2mqtt", "zigbee2mqtt/a", {"contact": "ajar"}, "contact: 'ajar' is neither on nor off"),
        ("zigbee2mqtt", "zigbee2mqtt/a/availability", "perhaps", "is neither online nor offline: 'perhaps'"),
        ("tasmota", "tele/a/SENSOR", {"LD2410S": {"Energy": 4}}, "LD2410S: says neither People nor Distance"),
        ("shelly", "a/events/rpc", {"method": "Switch.Set"}, "is neither a notification nor the status of an input"),
        ("esphome", "roode/door", "Entry", "its topic must end in <component>/<name>/state"),
        ("esphome", "roode/light/lamp/state", "ON", "'light' is not an ESPHome component that tells of people"),
        ("home_assistant", "t", "ajar", "the state: 'ajar' is neither on nor off"),
        ("frigate", "frigate/events", {"type": "begin", "after": {}}, "type: 'begin' is none of new, update, end"),
        ("frigate", "frigate/hall/person", "-1", "hall: -1 is negative"),
        ("senml", "t", {"n": "in"}, "a SenML pack must be a list"),
    ],
)  # fmt: skip
def test_what_a_make_never_sends_is_refused_with_its_reason(name, topic, body, reason):
    with pytest.raises(ReadingError, match=reason):
        Sensor(name).read(body, topic)


@pytest.mark.parametrize(
    ("name", "known_as"), [("TTS", "the_things_stack"), ("z2m", "zigbee2mqtt"), ("home-assistant", "home_assistant")]
)
def test_formats_are_found_by_the_names_people_use(name, known_as):
    assert decoder(name).format == known_as
    assert known_as in formats()
