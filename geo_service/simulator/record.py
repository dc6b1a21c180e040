"""A town as a recording with its ground truth, as fast as the machine goes.

The recording is what `geo-service record` would have written; the truth beside it (`town.jsonl.gz` →
`town.truth.jsonl.gz`) is newline-delimited JSON too: one `town`, then `occupancy` by the minute, `stay`s and `door`s.
"""

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from geo_service.errors import InvalidInputError
from geo_service.simulator.messages import Message, encode
from geo_service.simulator.plan import built_in, read_plan
from geo_service.simulator.scenario import DAY, MINUTE_MS, Scenario
from geo_service.simulator.town import Town
from geo_service.simulator.truth import Truth
from sensors.instants import instant, millis

_LONGEST_HOURS = 24 * 366


class Line(msgspec.Struct, omit_defaults=True):
    """One line of a recording."""

    time: float
    """Epoch seconds at which the message reached the broker."""
    topic: str
    payload: msgspec.Raw
    qos: int
    retained: bool = False


class TownLine(msgspec.Struct, tag_field="kind", tag="town"):
    """What was simulated: the first line of the truth."""

    seed: int
    start: datetime
    end: datetime
    phones: int
    speed: float
    scenario: str


class OccupancyLine(msgspec.Struct, tag_field="kind", tag="occupancy"):
    """How many people were in each store at a full minute from the start."""

    time: datetime
    inside: dict[str, int]


class StayLine(msgspec.Struct, tag_field="kind", tag="stay"):
    """One phone's stay in one fence; `left` is null if it outlasted the recording."""

    device: str
    fence: str
    store: str
    role: str
    entered: datetime
    left: datetime | None


class DoorLine(msgspec.Struct, tag_field="kind", tag="door"):
    """How many people really went in and out at a sensor's line."""

    sensor: str
    line: str
    ins: int
    outs: int


TruthLine = TownLine | OccupancyLine | StayLine | DoorLine


class Written(msgspec.Struct):
    """What `write` wrote."""

    recording: str
    truth: str
    messages: int
    stays: int


def truth_path(path: Path) -> Path:
    """Where the truth of a recording is: `a/town.jsonl.gz` → `a/town.truth.jsonl.gz`."""
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    return path.with_name(f"{plain.stem}.truth{plain.suffix}{'.gz' if path.suffix == '.gz' else ''}")


def write(
    path: Path,
    *,
    seed: int,
    hours: float,
    phones: int,
    start: datetime,
    site: Path | None = None,
    speed: float = 1.0,
    scenario: Scenario = DAY,
) -> Written:
    """Write a recording and its truth; a name ending in `.gz` is compressed. The same arguments give the same bytes.

    `start` is an aware datetime; without a `site` it is the town of `fixtures/town`.

    Raises:
        InvalidInputError: an argument out of its range, a site that cannot be simulated, or a file that cannot be written.
    """
    if not 0 < hours <= _LONGEST_HOURS:
        raise InvalidInputError(f"must be above 0 and at most {_LONGEST_HOURS}", field="hours")
    if start.tzinfo is None:
        raise InvalidInputError("needs a timezone", field="start")
    start_ms = millis(start)
    end_ms = start_ms + round(hours * 60 * MINUTE_MS)
    plan = built_in() if site is None else read_plan(site)
    town = Town(seed, plan, start_ms=start_ms, phones=phones, speed=speed, scenario=scenario)
    about = TownLine(seed, instant(start_ms), instant(end_ms), phones, speed, scenario.name)
    try:
        messages, stays = _write(path, town, about, start_ms, end_ms)
    except OSError as error:
        raise InvalidInputError(f"{error.filename or path} cannot be written: {error.strerror or error}") from error
    return Written(str(path), str(truth_path(path)), messages, stays)


def _write(path: Path, town: Town, about: TownLine, start_ms: int, end_ms: int) -> tuple[int, int]:
    """Both files at once, minute by minute; how many messages and stays."""
    messages = 0
    with _opened(path) as recording, _opened(truth_path(path)) as truth:
        truth.write(encode(about) + b"\n")
        for minute_ms in range(start_ms, end_ms, MINUTE_MS):
            arrived = town.step(minute_ms)
            messages += _write_messages(recording, arrived)
            truth.write(encode(OccupancyLine(instant(minute_ms), town.inside())) + b"\n")
        messages += _write_messages(recording, town.step(end_ms))
        known = town.truth(end_ms)
        for line in _lines(known):
            truth.write(encode(line) + b"\n")
    return messages, len(known.stays)


def _write_messages(file: BinaryIO, messages: list[Message]) -> int:
    for message in messages:
        payload = msgspec.Raw(message.payload)
        file.write(encode(Line(message.time_ms / 1000, message.topic, payload, message.qos, message.retained)) + b"\n")
    return len(messages)


def _lines(truth: Truth) -> Iterator[TruthLine]:
    for stay in truth.stays:
        left = None if stay.left_ms is None else instant(stay.left_ms)
        yield StayLine(stay.device, stay.fence, stay.store, stay.role, instant(stay.entered_ms), left)
    for sensor, lines in sorted(truth.doors.items()):
        for line, (ins, outs) in sorted(lines.items()):
            yield DoorLine(sensor, line, ins, outs)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with path.open("wb") as file:
        if path.suffix != ".gz":
            yield file
            return
        # Neither name nor time in the header: equal recordings are equal files.
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=6) as packed:
            buffered = io.BufferedWriter(cast("io.RawIOBase", packed), 1 << 16)
            yield buffered
            buffered.flush()
