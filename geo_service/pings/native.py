"""Our own ping: `{device, time, lat, lon, accuracy_m?, speed_mps?, heading_deg?, mock?}`, one or a list of up to 500."""

from datetime import datetime

import msgspec

from geo_service.catalogue.documents import Latitude, Longitude
from geo_service.decoding import decode_json
from geo_service.errors import InvalidInputError
from geo_service.ids import require_id
from geo_service.pings.batch import MOCK
from geo_service.pings.fields import MAX_PINGS, NAN, Row, heading, time_millis

TOPIC = "geo/v1/ping/"
_FAR_FUTURE = 1e11


class Ping(msgspec.Struct, gc=False):
    """One fix. Altitude, battery and other fields are accepted and not kept."""

    time: datetime | float
    lat: Latitude
    lon: Longitude
    device: str | None = None
    accuracy_m: float | None = None
    speed_mps: float | None = None
    heading_deg: float | None = None
    mock: bool | None = None


_one = msgspec.json.Decoder(Ping)
_all = msgspec.json.Decoder(list[Ping])
_many = msgspec.json.Decoder(list[msgspec.Raw])
_BAD_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def decode(payload: bytes, device: str | None) -> tuple[list[Row], list[tuple[int, InvalidInputError]]]:
    """Rows of one message, and what was refused of it as `(index, refusal)`.

    `device` is who the topic or the credentials say is speaking; None (a back office over HTTP) leaves it to the payload.
    A list is taken ping by ping: one bad fix does not cost a phone the rest of its backlog.

    Raises:
        InvalidInputError: nothing of the message can be read.
    """
    if payload[:1] != b"[" and payload.lstrip()[:1] != b"[":
        return [row(decode_json(_one, payload), device)], []
    usual = _usual_rows(payload, device)
    if usual is not None:
        return usual, []
    raws = decode_json(_many, payload)
    if not raws:
        raise InvalidInputError("is an empty list")
    if len(raws) > MAX_PINGS:
        raise InvalidInputError(f"holds {len(raws)} pings; send at most {MAX_PINGS} in one message")
    rows: list[Row] = []
    refused: list[tuple[int, InvalidInputError]] = []
    for index, raw in enumerate(raws):
        try:
            rows.append(row(decode_json(_one, bytes(raw)), device))
        except InvalidInputError as error:
            refused.append((index, error))
    return rows, refused


def usual_row(payload: bytes, device: str) -> Row | None:
    """The row of a message of one ping about which nothing is unusual; None leaves it to `decode`.

    The way of nearly every ping there is: one call, no layers.
    """
    try:
        return _usual(_decode_one(payload), device)
    except _BAD_JSON:
        return None


def _usual_rows(payload: bytes, device: str | None) -> list[Row] | None:
    """The rows of a list in which every ping is as it should be."""
    if device is None:
        return None
    try:
        pings = _all.decode(payload)
    except _BAD_JSON:
        return None
    if not 0 < len(pings) <= MAX_PINGS:
        return None
    rows = [_usual(ping, device) for ping in pings]
    return None if None in rows else rows  # type: ignore[return-value]  # mypy does not see what `in` says


def _usual(ping: Ping, device: str) -> Row | None:
    when, accuracy, speed = ping.time, ping.accuracy_m, ping.speed_mps
    if not (isinstance(when, float) and 0.0 < when < _FAR_FUTURE) or (
        ping.device is not None and ping.device != device
    ):
        return None
    return (
        device,
        round(when * 1000),
        ping.lat,
        ping.lon,
        accuracy if accuracy is not None and accuracy > 0.0 else NAN,
        speed if speed is not None and speed >= 0.0 else NAN,
        NAN if ping.heading_deg is None else heading(ping.heading_deg),
        MOCK if ping.mock else 0,
    )


_decode_one = _one.decode


def row(ping: Ping, device: str | None) -> Row:
    """The ping's columns.

    Raises:
        InvalidInputError: another device's id in the payload, no device at all, or a time that is none.
    """
    if ping.device is not None and ping.device != device:
        if device is not None:
            raise InvalidInputError(f"is {ping.device[:64]!r} but the sender is {device!r}", field="device")
        device = require_id(ping.device, "device")
    if device is None:
        raise InvalidInputError("is missing", field="device")
    accuracy, speed = ping.accuracy_m, ping.speed_mps
    return (
        device,
        time_millis(ping.time),
        ping.lat,
        ping.lon,
        accuracy if accuracy is not None and accuracy > 0.0 else NAN,
        speed if speed is not None and speed >= 0.0 else NAN,
        NAN if ping.heading_deg is None else heading(ping.heading_deg),
        MOCK if ping.mock else 0,
    )
