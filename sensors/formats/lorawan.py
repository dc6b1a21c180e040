"""LoRaWAN network servers: the wrapper of The Things Stack and of ChirpStack around a device's decoded fields.

The device's fields are read as `options.payload` says: `milesight` unless told otherwise, or `mapping`, `native`,
`senml`. Uplinks whose payload no decoder of the network server has opened cannot be read.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from sensors.errors import ReadingError
from sensors.formats import mapping, milesight, native, senml
from sensors.formats.body import as_object, json_body, object_body
from sensors.formats.fields import count, device_time_ms
from sensors.formats.message import Decoder, Message
from sensors.readings import Reading

_INNER = {one.DECODER.format: one.DECODER.read for one in (milesight, mapping, native, senml)}
_MAX_FRAME = 2**32 - 1


def read_the_things_stack(payload: bytes, message: Message) -> list[Reading]:
    """`v3/{application}@{tenant}/devices/{device}/up`, or the webhook's body; other events are signs of life."""
    body = object_body(payload)
    # A stream over HTTP puts each message into `result`, a storage query too.
    body = as_object(body.get("result") or body.get("data") or body, "result")
    if "uplink_message" not in body:
        if "end_device_ids" not in body:
            raise ReadingError("holds no uplink_message")
        return message.heartbeat()
    uplink = as_object(body["uplink_message"], "uplink_message")
    if body.get("simulated") is True:
        return []  # a test from the console: nobody crossed, and the device said nothing
    received = uplink.get("received_at", body.get("received_at"))
    # Fields that are zero are left out, so no f_cnt is frame 0.
    return _uplink(
        uplink.get("decoded_payload"), uplink.get("f_cnt", 0), uplink.get("session_key_id"), received, message
    )


def read_chirpstack(payload: bytes, message: Message) -> list[Reading]:
    """`application/{application}/device/{device}/event/up` of ChirpStack 4 or 3; other events are signs of life."""
    body = object_body(payload)
    if "deviceInfo" not in body and "devEUI" not in body:
        raise ReadingError("is no ChirpStack event")
    fields = body.get("object")
    if fields is None and isinstance(body.get("objectJSON"), str):
        fields = json_body(body["objectJSON"].encode())
    if fields is None and "data" not in body:
        return message.heartbeat(to_ms=device_time_ms(body.get("time")))
    return _uplink(fields, body.get("fCnt", 0), body.get("deduplicationId"), body.get("time"), message)


def _uplink(fields: Any, frame: Any, key: Any, received: Any, message: Message) -> list[Reading]:
    if fields is None:
        raise ReadingError("holds no decoded payload; set a payload formatter for this device")
    option = message.option("payload")
    name = "milesight" if option is None else option
    inner = _INNER.get(name) if isinstance(name, str) else None
    if inner is None:
        raise ReadingError(f"options.payload must be one of {', '.join(sorted(_INNER))}")
    marks: dict[str, Any] = {
        "key": key[:64] if isinstance(key, str) else None,
        "seq": count(frame, "f_cnt", _MAX_FRAME),
    }
    network_ms = device_time_ms(received)
    readings = []
    for reading in inner(_encoded(fields), message):
        if reading.to_ms is not None:
            # Stored by the device earlier: neither this frame's place in the order nor its time.
            readings.append(msgspec.structs.replace(reading, key=marks["key"]))
        else:
            readings.append(msgspec.structs.replace(reading, to_ms=network_ms, **marks))
    return readings


def _encoded(fields: Any) -> bytes:
    try:
        return msgspec.json.encode(fields)
    except (OverflowError, msgspec.MsgspecError) as error:
        raise ReadingError("holds a number that is too large") from error


def _decoder(name: str, read: Callable[[bytes, Message], list[Reading]]) -> Decoder:
    # LoRaWAN sensors speak once in ten minutes to once an hour, and one uplink in ten is lost.
    return Decoder(name, read, heartbeat_s=3_600)


THE_THINGS_STACK = _decoder("the_things_stack", read_the_things_stack)
CHIRPSTACK = _decoder("chirpstack", read_chirpstack)
