"""How full a store was, and how full it is going to be."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Annotated, NamedTuple

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, QueryParameter, SkipValidation

from geo_service.api.access import Asked, Requires, asker, require_store
from geo_service.api.problems import Problem, not_found
from geo_service.api.services import CurrentValues, Services
from geo_service.errors import InvalidInputError
from geo_service.flow.diary import (
    KEPT_DAYS,
    STEP_MS,
    Recounted,
    Smoothed,
    Step,
    day_name,
    smoothed_name,
    unpack_day,
    unpack_smoothed,
)
from geo_service.flow.outlook import Hour, Outlook, outlook_name, week_name
from geo_service.ids import require_id
from geo_service.outputs import Status
from geo_service.principals import Action
from sensors.instants import instant, millis

Ports = NamedDependency[SkipValidation[Services]]
Zone = Annotated[str | None, QueryParameter(description="a zone of the store; the store as a whole without it")]
_STEP_S = STEP_MS // 1000
_DAY_MS = 86_400_000
_MOST_ITEMS = 10_000
_WORST_LAST: tuple[Status, ...] = ("live", "degraded", "uncalibrated", "blind")


class Inside(msgspec.Struct, frozen=True):
    """People inside, with their 90 % interval; over a longer step the means of what its five minutes say."""

    mean: float
    low: float
    high: float


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """One step."""

    time: datetime
    """When it begins."""
    mean: float
    low: float
    high: float
    peak: float
    """The highest mean within it."""
    ins: int = msgspec.field(name="in")
    """Counted by the doors within it; likewise `out`."""
    outs: int = msgspec.field(name="out")
    status: Status
    """The worst within it."""
    smoothed: Inside | None
    """As it was, in the light of the evening: null until the day is over."""


class CountByEye(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody counted, and what was shown just before."""

    time: datetime
    count: float
    by: str | None
    mean: float
    low: float
    high: float


class PastOccupancy(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a store's past; steps of which nothing is known are left out."""

    store: str
    zone: str | None
    step_s: int
    items: list[Past]
    recounts: list[CountByEye]


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What is to come."""

    store: str
    zone: str | None
    time: datetime | None
    """As of when; null: nothing has been said yet."""
    hours: list[Hour]
    """People inside one, two, three and four hours from then; empty until the typical week is known."""
    week: list[Hour]
    """The typical week: people inside in each hour from Monday on, as far as it is known."""


_outlook = msgspec.json.Decoder(Outlook)
_week = msgspec.json.Decoder(list[Hour])


class Span(NamedTuple):
    """From one instant up to another, in steps."""

    since_ms: int
    until_ms: int
    step_ms: int


def span_of(since: str | None, until: str | None, step_s: int, now_ms: int) -> Span:
    """What was asked for; the last 24 hours where nothing was said.

    Raises:
        InvalidInputError: no times, in the wrong order, or too many steps.
    """
    until_ms = now_ms if until is None else _instant_ms(until, "to")
    since_ms = until_ms - _DAY_MS if since is None else _instant_ms(since, "from")
    since_ms -= since_ms % STEP_MS
    if step_s % _STEP_S:
        raise InvalidInputError(f"must be a multiple of {_STEP_S} seconds", field="step")
    if since_ms >= until_ms:
        raise InvalidInputError("must come before `to`", field="from")
    if until_ms - since_ms > KEPT_DAYS * _DAY_MS:
        raise InvalidInputError(f"at most {KEPT_DAYS} days at once", field="from")
    if (until_ms - since_ms) // (step_s * 1000) > _MOST_ITEMS:
        raise InvalidInputError(f"would give over {_MOST_ITEMS} items; take a longer one", field="step")
    return Span(since_ms, until_ms, step_s * 1000)


def _instant_ms(text: str, field: str) -> int:
    try:
        return millis(float(text) if text.replace(".", "", 1).isdigit() else datetime.fromisoformat(text))
    except (ValueError, OverflowError) as error:
        raise InvalidInputError("must be RFC 3339 with a timezone, or epoch seconds", field=field) from error


def read_past(current: CurrentValues, store: str, zone: str, span: Span) -> tuple[list[Past], list[CountByEye]]:
    """What is kept of a place between two instants."""
    # A day is named by its local date, may begin late in it, and is longer where its reset hour was moved.
    first = instant(span.since_ms).date() - timedelta(days=3)
    last = instant(span.until_ms).date() + timedelta(days=1)
    days = [date.fromordinal(day).isoformat() for day in range(first.toordinal(), last.toordinal() + 1)]
    packed = current.named([name(store, zone, on) for on in days for name in (day_name, smoothed_name)])
    steps: list[Step] = []
    recounts: list[Recounted] = []
    for on in days:
        if (day := packed.get(day_name(store, zone, on))) is not None:
            found = unpack_day(day)
            steps += [step for step in found[0] if span.since_ms <= step.starts_ms < span.until_ms]
            recounts += [recount for recount in found[1] if span.since_ms <= recount.at_ms < span.until_ms]
    corrected: dict[int, Inside] = {}
    for on in days:
        if (evening := packed.get(smoothed_name(store, zone, on))) is not None:
            corrected |= _by_step(unpack_smoothed(evening))
    return list(_gathered(steps, corrected, span)), [_told(recount) for recount in recounts]


def _by_step(smoothed: Smoothed) -> dict[int, Inside]:
    rows = zip(smoothed.mean, smoothed.low, smoothed.high, strict=True)
    return {smoothed.starts_ms + place * smoothed.step_ms: Inside(*row) for place, row in enumerate(rows)}


def _gathered(steps: list[Step], corrected: Mapping[int, Inside], span: Span) -> Iterable[Past]:
    """Five minutes gathered into longer steps, counted from the first instant that was asked for."""
    by_place: dict[int, list[Step]] = {}
    for step in steps:
        by_place.setdefault((step.starts_ms - span.since_ms) // span.step_ms, []).append(step)
    for place, group in sorted(by_place.items()):
        smoothed = [corrected[step.starts_ms] for step in group if step.starts_ms in corrected]
        yield Past(
            time=instant(span.since_ms + place * span.step_ms),
            **msgspec.structs.asdict(_mean(group)),
            peak=max(step.mean for step in group),
            ins=sum(step.ins for step in group),
            outs=sum(step.outs for step in group),
            status=max((step.status for step in group), key=_WORST_LAST.index),
            smoothed=_mean(smoothed) if len(smoothed) == len(group) else None,
        )


def _mean(group: list[Step] | list[Inside]) -> Inside:
    columns = zip(*((one.mean, one.low, one.high) for one in group), strict=True)
    return Inside(*(round(sum(column) / len(group), 2) for column in columns))


def _told(recount: Recounted) -> CountByEye:
    mean, low, high = (round(people, 2) for people in (recount.mean, recount.low, recount.high))
    return CountByEye(time=instant(recount.at_ms), count=recount.people, by=recount.by, mean=mean, low=low, high=high)


def _require(services: Services, store: str) -> None:
    if services.catalogue.get("store", store) is None:
        raise not_found("store", store)


@get(
    "/stores/{key:str}/occupancy/history",
    guards=[Requires(Action.READ)],
    summary="How full a store was",
    responses={400: ResponseSpec(Problem, description="no such stretch of time, or too many steps in it")},
)
async def get_history(
    request: Asked,
    services: Ports,
    key: FromPath[str],
    since: Annotated[str | None, QueryParameter(name="from", description="RFC 3339 or epoch seconds")] = None,
    until: Annotated[str | None, QueryParameter(name="to", description="not included; now without it")] = None,
    step: Annotated[int, QueryParameter(ge=_STEP_S, le=86_400, description="seconds, a multiple of 300")] = _STEP_S,
    zone: Zone = None,
) -> PastOccupancy:
    """What was said at the end of each step, as it was said, and beside it what the evening made of that (`smoothed`);
    and who counted by eye. Kept for 13 months.
    """
    require_store(asker(request), require_id(key, "store"))
    place = require_id(zone, "zone") if zone else ""
    span = span_of(since, until, step, services.now_ms())

    def read() -> PastOccupancy:
        _require(services, key)
        items, recounts = read_past(services.current, key, place, span)
        return PastOccupancy(store=key, zone=zone or None, step_s=step, items=items, recounts=recounts)

    return await asyncio.to_thread(read)


@get("/stores/{key:str}/occupancy/forecast", guards=[Requires(Action.READ)], summary="How full a store will be")
async def get_forecast(request: Asked, services: Ports, key: FromPath[str], zone: Zone = None) -> Forecast:
    """The next four hours and the typical week, each with a 90 % interval. Renewed every five minutes."""
    require_store(asker(request), require_id(key, "store"))
    place = require_id(zone, "zone") if zone else ""

    def read() -> Forecast:
        _require(services, key)
        names = outlook_name(key, place), week_name(key, place)
        found = services.current.named(names)
        outlook = _outlook.decode(found[names[0]]) if names[0] in found else Outlook(None, [])
        week = _week.decode(found[names[1]]) if names[1] in found else []
        return Forecast(store=key, zone=zone or None, time=outlook.time, hours=outlook.hours, week=week)

    return await asyncio.to_thread(read)


def router() -> Router:
    """The routes."""
    return Router("/", route_handlers=[get_history, get_forecast], tags=["occupancy"])
