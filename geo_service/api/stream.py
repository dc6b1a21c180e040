"""`GET /v1/stream`: what happens, as server-sent events (WHATWG HTML, 9.2).

A stream begins with the occupancy and the alerts as they stand, after what was missed where it resumes; then goes on with what comes.
Heartbeats carry the position, so that a quiet stream resumes near its end.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, QueryParameter, SkipValidation
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Send

from geo_service.api.access import Asked, Recheck, Requires, asker, require_store
from geo_service.api.events import Event, View, frame
from geo_service.api.hub import Client, Hub
from geo_service.api.positions import decode_positions
from geo_service.api.problems import ProblemError, not_found
from geo_service.api.services import OutputsTail, Services
from geo_service.errors import InvalidInputError
from geo_service.flow.entries import EntryId
from geo_service.ids import require_id
from geo_service.principals import Action, Principal

Ports = NamedDependency[SkipValidation[Services]]
Streams = NamedDependency[SkipValidation[Hub]]
_MAX_CLIENTS = 5_000
_MAX_STORES = 500
_MAX_MISSED = 5_000
_READ_LIMIT = 1_000
# The log keeps outputs for ten minutes at the least.
_KEPT_MS = 600_000
_RECHECK_S = 60.0
_RETRY = b"retry: 2000\n"


class EventStream(ASGIResponse):
    """The answer: blocks from the client's buffer until the page goes away, access ends, or the server stops."""

    _should_set_content_length = False

    def __init__(self, hub: Hub, client: Client, opening: bytes, still_allowed: Callable[[], Awaitable[bool]]) -> None:
        super().__init__(
            media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        self._hub = hub
        self._client = client
        self._opening = opening
        self._still_allowed = still_allowed

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Feed the socket until there is nothing more to feed, or nobody to take it."""
        feed = asyncio.create_task(self._feed(send))
        self._client.cut = feed.cancel
        gone = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait((feed, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.unsubscribe(self._client)
            feed.cancel()
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await feed

    async def _feed(self, send: Send) -> None:
        clock = asyncio.get_running_loop().time
        recheck_at = clock() + _RECHECK_S
        block, client = self._opening, self._client
        while block:
            client.sending_since = now = clock()
            await send({"type": "http.response.body", "body": block, "more_body": True})
            client.sending_since = None
            if now > recheck_at:
                if not await self._still_allowed():
                    break
                recheck_at = now + _RECHECK_S
            block = await client.take()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    """Return when the other side has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


@get(
    "/stream",
    guards=[Requires(Action.READ)],
    summary="Events as they happen",
    media_type="text/event-stream",
    tags=["events"],
)
async def get_stream(
    request: Asked,
    services: Ports,
    hub: Streams,
    stores: Annotated[str | None, QueryParameter(description="store ids, with commas; all that you may see")] = None,
    recent: Annotated[int, QueryParameter(ge=0, le=200, description="begin with so many of the newest events")] = 0,
    after: Annotated[
        str | None, QueryParameter(description="an event's id, for a page that makes its connection anew")
    ] = None,
    last_event_id: Annotated[str | None, HeaderParameter(name="Last-Event-ID")] = None,
) -> ASGIResponse:
    """Server-sent events: `occupancy`, `crossing`, `offer`, `sensor`, `alert`, `rejected`, and of the stream itself
    `heartbeat`, `lagged` (`dropped`: events that a slow client lost) and `reset` (a resume that could not be complete).
    Device ids are left out below the role analyst.
    """
    principal = asker(request)
    if len(hub.clients) >= _MAX_CLIENTS:
        raise ProblemError(503, "too many open streams", headers={"Retry-After": "10"})
    wanted = await _wanted(stores, principal, services)
    view = View(principal, wanted)
    client = await hub.subscribe(view)
    try:
        opening = await _opening(services, hub, view, last_event_id or after, recent)
    except BaseException:
        hub.unsubscribe(client)
        raise
    return EventStream(hub, client, opening, Recheck(services.accounts, request))


async def _wanted(stores: str | None, principal: Principal, services: Services) -> frozenset[str] | None:
    if stores is None:
        return None
    wanted = frozenset(require_id(store, "stores") for store in stores.split(",") if store)
    if not 0 < len(wanted) <= _MAX_STORES:
        raise InvalidInputError(f"name 1 to {_MAX_STORES} stores", field="stores")
    for store in sorted(wanted):
        require_store(principal, store)
    known = await asyncio.to_thread(lambda: {key: services.catalogue.get("store", key) for key in wanted})
    for store in sorted(wanted):
        if known[store] is None:
            raise not_found("store", store)
    return wanted


async def _opening(services: Services, hub: Hub, view: View, last_event_id: str | None, recent: int) -> bytes:
    """The first block. Nothing that comes after the position it ends with is missed: the client is subscribed."""
    mark, until = hub.mark, dict(hub.positions)
    frames = [_RETRY, hub.heartbeat()]
    if last_event_id:
        frames += await _missed(services, hub, view, last_event_id, until)
    else:
        frames += [view.form(event) for event in hub.recent(view, recent)]
    # Current values may be newer than the position: an occupancy is told again then, and is the same or newer.
    current = await asyncio.to_thread(services.current.occupancy, view.stores)
    lines = [line for outputs in current.values() for line in outputs]
    lines += await asyncio.to_thread(services.current.alerts, view.stores)
    frames += [view.form(event) for event in hub.events_of(lines) if view.sees(event)]
    return b"\n".join(frames) + mark


async def _missed(
    services: Services, hub: Hub, view: View, last_event_id: str, until: dict[int, EntryId]
) -> list[bytes]:
    """What came between the client's position and `until`; says so where that is not complete."""
    try:
        after = decode_positions(last_event_id)
    except InvalidInputError:
        return [frame("reset", b'{"reason":"the Last-Event-ID is not one of ours"}')]
    after = {partition: after.get(partition, until[partition]) for partition in until}
    lines, complete = await _read_between(services.outputs, after, until)
    frames = [] if complete else [frame("reset", b'{"reason":"more was missed than is kept"}')]
    events: list[Event] = [event for event in hub.events_of(lines) if event.slot is None and view.sees(event)]
    return frames + [view.form(event) for event in events]


async def _read_between(
    outputs: OutputsTail, after: dict[int, EntryId], until: dict[int, EntryId]
) -> tuple[list[bytes], bool]:
    """Output lines after one position up to another, oldest first; and whether that is all of them."""
    complete = await _is_kept(outputs, after, until)
    found: list[tuple[EntryId, int, bytes]] = []
    while any(after[partition] < until[partition] for partition in until) and len(found) <= _MAX_MISSED:
        read = await outputs.read(after, _READ_LIMIT, 0)
        if not read:
            break
        after.update({partition: position for partition, position, _ in read})
        found += [(position, partition, lines) for partition, position, lines in read if position <= until[partition]]
    found.sort()
    newest = found[-_MAX_MISSED:]
    return [line for _, _, lines in newest for line in lines.splitlines()], complete and len(newest) == len(found)


async def _is_kept(outputs: OutputsTail, after: dict[int, EntryId], until: dict[int, EntryId]) -> bool:
    """Whether nothing after these positions was trimmed: the break was short, or all begin at or after what is kept."""
    if _newest_ms(until) - _newest_ms(after) < _KEPT_MS:
        return True
    oldest = await outputs.read({}, 1, 0)
    return not any(after[partition] < position for partition, position, _ in oldest if partition in after)


def _newest_ms(positions: dict[int, EntryId]) -> int:
    return max((position.ms for position in positions.values()), default=0)


def router() -> Router:
    """The route."""
    return Router("/", route_handlers=[get_stream])
