"""Axis cameras: Retail Data push, Object Analytics over MQTT, and the reply of the 3D people counter's occupancy poll.

The device's own occupancy is not read where totals stand beside it: it drifts, and ours says how far.
"""

from typing import Any

from sensors.errors import ReadingError
from sensors.formats.body import as_object, json_body, objects
from sensors.formats.fields import MAX_DELTA, MAX_TOTAL, count, device_time_ms, name_of
from sensors.formats.message import Decoder, Message
from sensors.readings import Reading


def read(payload: bytes, message: Message) -> list[Reading]:
    """One body of any of the three, or a list of them."""
    return [reading for body in objects(json_body(payload), "the body") for reading in _body(body, message)]


def _body(body: dict[str, Any], message: Message) -> list[Reading]:
    if body.get("apiName") == "Axis Retail Data" or "measurements" in as_object(body.get("data") or {}, "data"):
        return _retail_data(body, message)
    if "message" in body:
        return _object_analytics(body, message)
    if "total_in" in body and "total_out" in body:
        ins, outs = (count(body[name], name, MAX_TOTAL) for name in ("total_in", "total_out"))
        to_ms = device_time_ms(body.get("timestamp"), message.config.timezone)
        return [message.reading(kind="cumulative", ins=ins, outs=outs, to_ms=to_ms)]
    raise ReadingError("is neither Axis Retail Data, nor Object Analytics, nor an occupancy reply")


def _retail_data(body: dict[str, Any], message: Message) -> list[Reading]:
    """People counts per minute; a push without measurements is the camera's connection test."""
    sensor = as_object(body.get("sensor") or {}, "sensor")
    zone = sensor.get("timezone") if isinstance(sensor.get("timezone"), str) else message.config.timezone
    readings = []
    data = as_object(body.get("data") or {}, "data")
    for measurement in objects(data.get("measurements"), "measurements"):
        if measurement.get("kind") != "people-counts":
            continue
        people = {"in": 0, "out": 0}
        for item in objects(measurement.get("items"), "items"):
            way = item.get("direction")
            if isinstance(way, str) and way in people:
                people[way] += count(item.get("count", 0), f"items.{way}", MAX_DELTA)
        window = {
            f"{name.lower()}_ms": device_time_ms(measurement.get(f"utc{name}", data.get(f"utc{name}")), zone)
            for name in ("From", "To")
        }
        readings.append(message.reading(kind="delta", ins=people["in"], outs=people["out"], **window))
    return readings or message.heartbeat(to_ms=device_time_ms(body.get("utcSent"), zone))


def _object_analytics(body: dict[str, Any], message: Message) -> list[Reading]:
    """One scenario's figures, each a string.

    A crossing scenario counts one direction since `startTime`; its line, named like the scenario, is an in unless it is
    configured backward. An occupancy scenario counts the people in view.
    """
    inner = as_object(body["message"], "message")
    data = as_object(inner.get("data") or {}, "message.data")
    topic = body.get("topic", message.topic)
    line = name_of(topic.rsplit("/", 1)[-1] if isinstance(topic, str) else None, "topic")
    to_ms = device_time_ms(body.get("timestamp"), message.config.timezone)
    if "human" in data:
        value = count(data["human"], "message.data.human", MAX_DELTA)
        return [message.reading(line=line, kind="absolute", value=float(value), to_ms=to_ms)]
    total = data.get("totalHuman", data.get("total"))
    if total is None:
        return message.heartbeat(to_ms=to_ms)
    ins = count(total, "message.data.totalHuman", MAX_TOTAL)
    began_ms = device_time_ms(data.get("startTime"), message.config.timezone)
    return [message.reading(line=line, kind="cumulative", ins=ins, outs=0, from_ms=began_ms, to_ms=to_ms)]


DECODER = Decoder("axis", read)
