"""Xovis 3D sensors, firmware 5: the logics push (counts per interval) and the live push (events), JSON.

A live event is a person at the moment of crossing; the logics tell of the same people again, under other names. So a
sensor that has sent one event counts by events.
"""

import json
from typing import Any

from sensors.errors import ReadingError
from sensors.formats.body import as_object, json_body, objects, text_body
from sensors.formats.fields import MAX_DELTA, count, device_time_ms, name_of, shown
from sensors.formats.message import Decoder, Message
from sensors.readings import Reading

_IN = frozenset({"fw", "forward", "in"})
_OUT = frozenset({"bw", "backward", "out"})
_CROSSINGS = {"LINE_CROSS_FORWARD": (1, 0), "LINE_CROSS_BACKWARD": (0, 1)}
_ZONES = {"ZONE_ENTRY": (1, 0), "ZONE_EXIT": (0, 1)}
# A sensor that says it is broken is looked at like one that was tampered with.
_FAILURE = "SENSOR_FAILURE"
_ALIVE = ("connection_test", "status_data", "sensor_info", "package_info")
_MAX_DOCUMENTS = 1_000


def read(payload: bytes, message: Message) -> list[Reading]:
    """One body, a list of them, or (from a TCP push) several written one after the other."""
    return [reading for body in _bodies(payload) for reading in _body(body, message)]


def _bodies(payload: bytes) -> list[dict[str, Any]]:
    try:
        return objects(json_body(payload), "the body")
    except ReadingError as error:
        if "trailing characters" not in error.reason:
            raise
    text, bodies, at = text_body(payload), [], 0
    while at < len(text):
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise ReadingError(f"is not JSON from character {at} on") from error
        bodies += objects(value, "the body")
        if len(bodies) > _MAX_DOCUMENTS:
            raise ReadingError(f"holds more than {_MAX_DOCUMENTS} documents")
        while at < len(text) and text[at].isspace():
            at += 1
    return bodies


def _refuse(word: str) -> None:
    raise ValueError(word)


# The standard library's decoder is the one that says where a document ends; NaN is no JSON to us.
_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _body(body: dict[str, Any], message: Message) -> list[Reading]:
    if "logics_data" in body:
        return _logics(as_object(body["logics_data"], "logics_data"), message)
    if "live_data" in body:
        return _live(as_object(body["live_data"], "live_data"), message)
    if any(name in body for name in _ALIVE):
        return message.heartbeat()
    raise ReadingError("holds neither logics_data nor live_data")


def _logics(data: dict[str, Any], message: Message) -> list[Reading]:
    readings = []
    for logic in objects(data.get("logics"), "logics"):
        line = name_of(logic.get("name", logic.get("id")), "logics.name")
        for record in objects(logic.get("records"), "records"):
            ins, outs, counts = 0, 0, 0
            for item in objects(record.get("counts"), "counts"):
                way = item.get("name")
                way = way.strip().lower() if isinstance(way, str) else ""
                people = count(item.get("value", 0), f"counts.{way[:20]}", MAX_DELTA) if way in _IN | _OUT else 0
                ins, outs = ins + people * (way in _IN), outs + people * (way in _OUT)
                counts += way in _IN | _OUT
            if counts:
                window = {name + "_ms": device_time_ms(record.get(name)) for name in ("from", "to")}
                readings.append(message.reading(line=line, kind="delta", ins=ins, outs=outs, **window))
    sensor = as_object(data.get("sensor_info") or {}, "sensor_info")
    return readings or message.heartbeat(to_ms=device_time_ms(sensor.get("time")))


def _live(data: dict[str, Any], message: Message) -> list[Reading]:
    readings = []
    to_ms = None
    for frame in objects(data.get("frames"), "frames"):
        tracked = objects(frame.get("tracked_objects"), "tracked_objects")
        # A group walks over the line together with each of its persons.
        groups = [item.get("track_id") for item in tracked if item.get("type") == "GROUP"]
        to_ms = device_time_ms(frame.get("time"))
        for event in objects(frame.get("events"), "events"):
            reading = _event(event, groups, frame, message)
            if reading is not None:
                readings.append(reading)
    return readings or message.heartbeat(to_ms=to_ms)


def _event(event: dict[str, Any], groups: list[Any], frame: dict[str, Any], message: Message) -> Reading | None:
    what = event.get("type")
    to_ms = device_time_ms(frame.get("time"))
    if what == _FAILURE:
        return message.reading(kind="heartbeat", to_ms=to_ms, tamper=True)
    if not isinstance(what, str) or what not in _CROSSINGS | _ZONES:
        return None  # counts of a logic, wrong ways and doors: none is another person
    attributes = as_object(event.get("attributes") or {}, "attributes")
    if attributes.get("track_id") in groups:
        return None
    line = name_of(attributes.get("geometry_name", attributes.get("geometry_id")), "geometry_name")
    if what in _ZONES and not message.is_configured(line):
        return None  # a zone is a door only where its owner says so
    ins, outs = (_CROSSINGS | _ZONES)[what]
    marks = (frame.get("framenumber"), attributes.get("track_id"), attributes.get("geometry_id"))
    key = "/".join([*(shown(mark)[:30] for mark in marks), what])
    return message.reading(
        line=line, kind="delta", ins=ins, outs=outs, to_ms=to_ms, trigger=True, whole_sensor=True, key=key
    )


DECODER = Decoder("xovis", read)
