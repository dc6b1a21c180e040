"""Recordings: newline-delimited JSON, one message a line, `.gz` read and written as it is.

`{"time": …, "topic": "…", "payload": <JSON value or string>, "retained"?: true, "qos"?: 0|1}`. A string payload stands for
its own bytes (`"ON"` is ON), anything else for its JSON.
"""

import gzip
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import msgspec

from geo_service.decoding import convert, decode_json
from geo_service.errors import InvalidInputError
from sensors.instants import instant, millis


class Line(NamedTuple):
    """One message of a recording, or what is wrong with its line (`fault`)."""

    time_ms: int | None
    topic: str
    payload: bytes
    retained: bool
    fault: str | None = None


class _Document(msgspec.Struct):
    time: datetime | float
    topic: str
    payload: msgspec.Raw
    retained: bool = False
    qos: int = 0


class _Known(msgspec.Struct):
    """What can still be told of a line that is no message."""

    time: Any = None
    topic: Any = None


_Time: Any = datetime | float
_document = msgspec.json.Decoder(_Document)
_known = msgspec.json.Decoder(_Known)
_text = msgspec.json.Decoder(str)


def open_bytes(path: Path, mode: str) -> BinaryIO:
    """Open for reading or writing (`rb`, `wb`), through gzip where the name ends in `.gz`.

    Raises:
        InvalidInputError: there is no such file, or it may not be touched.
    """
    try:
        if path.suffix == ".gz":
            return cast("BinaryIO", gzip.open(path, mode))
        return cast("BinaryIO", path.open(mode))
    except OSError as error:
        raise InvalidInputError(f"{path}: {error.strerror or error}") from error


def read_lines(file: Iterable[bytes]) -> Iterator[Line]:
    """Every line that is not blank, usable or not."""
    for raw in file:
        if raw.strip():
            yield _line(raw)


def _line(raw: bytes) -> Line:
    try:
        document = decode_json(_document, raw)
        payload = bytes(document.payload)
        if payload[:1] == b'"':
            payload = decode_json(_text, payload).encode()
        return Line(millis(document.time), document.topic, payload, document.retained)
    except (InvalidInputError, ValueError) as error:
        return _faulty(raw, str(error))


def _faulty(raw: bytes, reason: str) -> Line:
    """Keep what the line still says of when and where."""
    fault = f"not a line of a recording: {reason}"
    try:
        known = decode_json(_known, raw)
        topic = known.topic if isinstance(known.topic, str) else ""
    except InvalidInputError:
        return Line(None, "", b"", False, fault)
    try:
        time_ms = millis(convert(known.time, _Time))
    except (InvalidInputError, ValueError):
        time_ms = None
    return Line(time_ms, topic, b"", False, fault)


def write_line(time_ms: int, topic: str, payload: bytes, *, retained: bool, qos: int) -> bytes:
    """One line for one message; bytes that are no UTF-8 are kept as far as a string can."""
    try:
        msgspec.json.decode(payload)
        body: msgspec.Raw | str = msgspec.Raw(payload)
        if payload.lstrip()[:1] == b'"' or b"\n" in payload or b"\r" in payload:
            body = payload.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        body = payload.decode("utf-8", "replace")
    document: dict[str, object] = {"time": instant(time_ms), "topic": topic, "payload": body}
    if retained:
        document["retained"] = True
    if qos:
        document["qos"] = qos
    return msgspec.json.encode(document) + b"\n"
