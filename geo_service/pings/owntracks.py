"""OwnTracks, the app as it is: https://owntracks.org/booklet/tech/json/ over MQTT or HTTP.

`location` and `transition` are fixes; everything else an OwnTracks phone sends (lwt, waypoints, status, steps, beacons,
cards, dumps) is accepted and has no effect. Speed comes in km/h. Zero-valued fields are left out by the app, and numbers
may be quoted, so reading is lenient.
"""

import msgspec

from geo_service.decoding import decode_json
from geo_service.errors import InvalidInputError
from geo_service.pings.fields import NAN, Row, heading, positive, time_millis

TOPIC = "owntracks/"
_KMH_PER_MPS = 3.6
# A phone's own "I crossed" is a fix like any other: who is where is decided here, by one rule for all phones.
_FIXES = ("location", "transition")
_NO_EFFECT = frozenset(
    (
        "lwt",
        "waypoint",
        "waypoints",
        "status",
        "steps",
        "step",
        "beacon",
        "card",
        "cmd",
        "configuration",
        "dump",
        "request",
    )
)


class Message(msgspec.Struct, gc=False, rename={"type": "_type"}):
    """What is read of any OwnTracks message."""

    type: str
    lat: float | None = None
    lon: float | None = None
    tst: float | None = None
    acc: float | None = None
    vel: float | None = None
    cog: float | None = None


_decoder = msgspec.json.Decoder(Message, strict=False)
_many = msgspec.json.Decoder(list[msgspec.Raw])


def device_of(topic: str) -> str:
    """`owntracks/{user}/{device}[/event…]` → `{user}.{device}`.

    Raises:
        InvalidInputError: the topic has no user or device.
    """
    parts = topic.split("/")
    if len(parts) < 3 or not parts[1] or not parts[2]:
        raise InvalidInputError("the topic must be owntracks/{user}/{device}")
    return f"{parts[1]}.{parts[2]}"


def decode(payload: bytes, device: str) -> list[Row]:
    """The fixes of one message; none for a message that is not a fix, or an empty body (the app's own keep-alive).

    Raises:
        InvalidInputError: not OwnTracks JSON, encrypted, or a fix without a place or time.
    """
    if not payload.strip():
        return []
    if payload.lstrip()[:1] == b"[":
        return [row for raw in decode_json(_many, payload) for row in decode(bytes(raw), device)]
    message = decode_json(_decoder, payload)
    if message.type in _FIXES:
        return [_row(message, device)]
    if message.type in _NO_EFFECT:
        return []
    if message.type == "encrypted":
        raise InvalidInputError("is encrypted; payload encryption is not supported, use TLS to the broker")
    raise InvalidInputError(f"{message.type[:32]!r} is not an OwnTracks type", field="_type")


def _row(message: Message, device: str) -> Row:
    lat, lon, tst = message.lat, message.lon, message.tst
    if lat is None or not -90 <= lat <= 90:
        raise InvalidInputError("must be a latitude from -90 to 90", field="lat")
    if lon is None or not -180 <= lon <= 180:
        raise InvalidInputError("must be a longitude from -180 to 180", field="lon")
    if tst is None:
        raise InvalidInputError("is missing", field="tst")
    speed = NAN if message.vel is None or message.vel < 0 else message.vel / _KMH_PER_MPS
    return (device, time_millis(tst, "tst"), lat, lon, positive(message.acc), speed, heading(message.cog), 0)
