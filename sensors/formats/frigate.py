"""Frigate: the number of persons a camera or a zone sees, and tracked persons who walk from one zone to another.

`frigate/<camera or zone>/person` is the number in view. `frigate/events` tells of each tracked object; with
`options.crossing` = `{"from": "street", "to": "hall"}` a person whose first of the two zones is `from` and whose last is
`to` came in, the other way round went out. It counts once, when the track ends.
"""

from typing import Any

from sensors.errors import ReadingError
from sensors.formats.body import as_list, as_object, json_body, text_body
from sensors.formats.fields import MAX_DELTA, count, device_time_ms, name_of, shown
from sensors.formats.message import Decoder, Message
from sensors.formats.zigbee2mqtt import availability
from sensors.readings import Reading


def read(payload: bytes, message: Message) -> list[Reading]:
    """One message of any of Frigate's topics; those that tell of no persons are signs of life."""
    parts = message.topic.split("/")
    if parts[-1] == "available":
        return availability(payload, message)
    if parts[-1] == "events":
        return _event(as_object(json_body(payload), "the body"), message)
    if parts[-1] == "person" and len(parts) >= 3:
        line = name_of(parts[-2], "the topic's camera or zone")
        value = count(text_body(payload), line, MAX_DELTA)
        return [message.reading(line=line, kind="absolute", value=float(value))]
    # `person/active` counts those of them who move; other labels are no people.
    return message.heartbeat()


def _event(body: dict[str, Any], message: Message) -> list[Reading]:
    what = body.get("type")
    if what not in ("new", "update", "end"):
        raise ReadingError(f"type: {shown(what)} is none of new, update, end")
    after = as_object(body.get("after"), "after")
    to_ms = device_time_ms(after.get("end_time") or after.get("frame_time"))
    crossing = _crossing(after, message)
    if what != "end" or after.get("label") != "person" or after.get("false_positive") is True or crossing is None:
        return message.heartbeat(to_ms=to_ms)
    key = after.get("id")
    if not isinstance(key, str) or not key:
        raise ReadingError("after.id: is missing")
    ins, outs = crossing
    return [message.reading(kind="delta", ins=ins, outs=outs, to_ms=to_ms, key=f"{key[:64]}/{what}", trigger=True)]


def _crossing(after: dict[str, Any], message: Message) -> tuple[int, int] | None:
    """In, out or neither: which of the two zones the person was in first, and which last."""
    ends = message.option("crossing")
    if not isinstance(ends, dict):
        return None
    # In the order of first entry: entered both means from the first of them to the other.
    entered = [zone for zone in as_list(after.get("entered_zones"), "entered_zones") if zone in ends.values()]
    if len(entered) != 2:
        return None
    return (1, 0) if entered == [ends.get("from"), ends.get("to")] else (0, 1)


def problems(options: dict[str, Any]) -> list[str]:
    """What is wrong with the options."""
    ends = options.get("crossing")
    if ends is None:
        return []
    if not isinstance(ends, dict) or not all(isinstance(ends.get(end), str) for end in ("from", "to")):
        return ['options.crossing: must be {"from": zone, "to": zone}']
    return [] if ends["from"] != ends["to"] else ["options.crossing: from and to are the same zone"]


DECODER = Decoder("frigate", read, own_problems=problems)
