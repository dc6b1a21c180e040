"""The hub: one reader of the outputs for the whole process, and for each client a bounded buffer.

```
outputs ──► run() ──► publish() ──► Client.offer() ──► Client.take() ──► socket
            one, retrying           a queue of events, oldest dropped beyond the bound,
                                    and one slot per occupancy with the newest value only
```
A client that does not keep up loses the oldest events, is told how many, and never holds up anybody else.

A block of events that goes to a client ends with the id of the hub's position: all that came before it was offered to
this client. A connection that breaks inside a block repeats the block; none is ever skipped unsaid.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from geo_service.api.events import Event, View, event_of, frame
from geo_service.api.positions import encode_positions
from geo_service.api.services import OutputsTail
from geo_service.errors import UnreachableError
from geo_service.flow.entries import EntryId
from sensors.instants import instant

_log = structlog.get_logger(__name__)
_READ_LIMIT = 1000
_READ_WAIT_S = 2.0
_LONGEST_PAUSE_S = 5.0
_RECENT = 200
# Between two reads: at high rates a client is then woken twenty times a second with what came, not for every event.
_GATHER_S = 0.05


class HubMetrics:
    """What the hub counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.clients = Gauge("geo_stream_clients", "Open event streams", registry=registry)
        self.events = Counter("geo_stream_events", "Outputs read for the event streams", registry=registry)
        self.dropped = Counter("geo_stream_dropped", "Events dropped for slow clients", registry=registry)
        self.up = Gauge("geo_stream_reader_up", "1 while the outputs can be read", registry=registry)
        self.unreadable = Counter("geo_stream_unreadable", "Outputs that could not be read", registry=registry)


class Client:
    """One stream's buffer."""

    def __init__(self, hub: "Hub", view: View, bound: int) -> None:
        self.view = view
        self.dropped = 0
        """Events dropped since the client was last told."""
        self.closed = False
        self.sending_since: float | None = None
        """When the socket was last given something that it has not taken yet, by the loop's clock."""
        self.cut: Callable[[], object] = self.close
        """Ends the stream at once, whatever is buffered."""
        self._hub = hub
        self._bound = bound
        self._events: deque[Event] = deque()
        self._slots: dict[tuple[str | None, str | None], Event] = {}
        self._beat: bytes | None = None
        self._wake = asyncio.Event()

    def offer(self, event: Event) -> None:
        """Buffer the event if it is for this client."""
        if not self.view.sees(event):
            return
        if event.slot is not None:
            # Taken out first, so that the slots stay in the order of their newest values.
            self._slots.pop(event.slot, None)
            self._slots[event.slot] = event
        else:
            if len(self._events) >= self._bound:
                self._events.popleft()
                self.dropped += 1
                self._hub.metrics.dropped.inc()
            self._events.append(event)
        self._wake.set()

    def beat(self, block: bytes) -> None:
        """Have a heartbeat sent."""
        self._beat = block
        self._wake.set()

    def close(self) -> None:
        """End the stream once what is buffered was sent."""
        self.closed = True
        self._wake.set()

    async def take(self) -> bytes:
        """The next block for the socket, complete with its id; b"" when the stream is to end."""
        while not (self._events or self._slots or self._beat):
            if self.closed:
                return b""
            self._wake.clear()
            await self._wake.wait()
        frames: list[bytes] = []
        if self.dropped:
            frames.append(frame("lagged", b'{"dropped":%d}' % self.dropped))
            self.dropped = 0
        frames += [self.view.form(event) for event in self._drain()]
        if self._beat is not None:
            frames.append(self._beat)
            self._beat = None
        return b"\n".join(frames) + self._hub.mark

    def _drain(self) -> Iterable[Event]:
        events, slots = self._events, self._slots
        self._events, self._slots = deque(), {}
        if not slots:
            return events
        return sorted((*events, *slots.values()), key=lambda event: event.order)


class Hub:
    """Fans the outputs out. Everything but the reading happens on the event loop, so nothing is locked."""

    def __init__(
        self,
        outputs: OutputsTail,
        registry: CollectorRegistry,
        now_ms: Callable[[], int],
        *,
        bound: int,
        heartbeat_s: float,
        stalled_s: float,
    ) -> None:
        self.metrics = HubMetrics(registry)
        self.clients: set[Client] = set()
        self.positions: dict[int, EntryId] = {}
        self.mark = b"\n"
        """What closes a block: the id of the position, and a blank line."""
        self.up = False
        self._outputs = outputs
        self._now_ms = now_ms
        self._bound = bound
        self._heartbeat_s = heartbeat_s
        self._stalled_s = stalled_s
        self._order = 0
        self._recent: deque[Event] = deque(maxlen=_RECENT)
        self._ready = asyncio.Event()
        self._closing = False

    async def run(self) -> None:
        """Read until cancelled. Whatever the server does, this goes on from where it was."""
        pause_s = 0.1
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._heartbeats())
            while not self._closing:
                try:
                    await self._step()
                except UnreachableError as error:
                    self._down(error.reason)
                except Exception as error:  # noqa: BLE001 - a reader that died would leave every page still, for ever
                    _log.exception("the event stream's reader failed; it goes on")
                    self._down(str(error))
                else:
                    self.up = True
                    self.metrics.up.set(1)
                    pause_s = 0.1
                    continue
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def ended(self, reader: asyncio.Task[None]) -> None:
        """What `run` came to; a reader that ended unasked makes the process unready, and ends the streams."""
        if not reader.cancelled() and (error := reader.exception()) is not None:
            _log.error("the event stream's reader ended", exc_info=error)
            self._down("it ended")
            self.close()

    async def _step(self) -> None:
        if not self._ready.is_set():
            self._move(await self._outputs.ends())
            self._ready.set()
        found = await self._outputs.read(self.positions, _READ_LIMIT, _READ_WAIT_S)
        self.publish(found)
        if found:
            await asyncio.sleep(_GATHER_S)

    def _down(self, reason: str) -> None:
        if self.up:
            _log.warning("the event stream's reader lost its server; it goes on trying", reason=reason)
        self.up = False
        self.metrics.up.set(0)

    def _move(self, positions: Mapping[int, EntryId]) -> None:
        self.positions.update(positions)
        self.mark = b"id: " + encode_positions(self.positions).encode() + b"\n\n"

    def publish(self, found: Sequence[tuple[int, EntryId, bytes]]) -> None:
        """Offer outputs to every client, then move the position past them."""
        if not found:
            return
        for event in self.events_of(line for _, _, lines in found for line in lines.splitlines()):
            self.metrics.events.inc()
            self._recent.append(event)
            if event.forgets is not None:
                self.forget(event.forgets)
            for client in self.clients:
                client.offer(event)
        self._move({partition: position for partition, position, _ in found})

    def events_of(self, lines: Iterable[bytes]) -> Iterable[Event]:
        """The streamed events of output lines; a line that cannot be read is counted and left out."""
        for line in lines:
            self._order += 1
            try:
                event = event_of(line, self._order)
            except msgspec.MsgspecError:
                self.metrics.unreadable.inc()
                _log.exception("an output cannot be read", line=line[:200])
                continue
            if event is not None:
                yield event

    def forget(self, device: str) -> None:
        """Keep no event that mentions this device."""
        kept = [event for event in self._recent if not event.mentions(device)]
        self._recent = deque(kept, maxlen=_RECENT)

    def recent(self, view: View, count: int) -> list[Event]:
        """The newest events a client may see, oldest first; occupancies not among them."""
        seen = [event for event in self._recent if event.slot is None and view.sees(event)]
        return seen[-count:] if count else []

    async def subscribe(self, view: View) -> Client:
        """A client that is offered everything after `positions` as they are now."""
        if not self._ready.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ready.wait(), _LONGEST_PAUSE_S)
        if not self._ready.is_set() or self._closing:
            raise UnreachableError("the log", "outputs cannot be read yet")
        client = Client(self, view, self._bound)
        self.clients.add(client)
        self.metrics.clients.set(len(self.clients))
        return client

    def unsubscribe(self, client: Client) -> None:
        """Forget a client."""
        self.clients.discard(client)
        self.metrics.clients.set(len(self.clients))

    def close(self) -> None:
        """End every stream and the reader: a server that is to stop waits for its open answers."""
        self._closing = True
        for client in tuple(self.clients):
            client.close()

    def heartbeat(self) -> bytes:
        """A frame that says what time it is here: a page tells by it how old data are, whatever its own clock says."""
        return frame("heartbeat", msgspec.json.encode({"time": instant(self._now_ms())}))

    async def _heartbeats(self) -> None:
        while not self._closing:
            await asyncio.sleep(self._heartbeat_s)
            beat = b": still here\n" + self.heartbeat()
            stalled_before = asyncio.get_running_loop().time() - self._stalled_s
            for client in tuple(self.clients):
                if client.sending_since is not None and client.sending_since < stalled_before:
                    client.cut()
                else:
                    client.beat(beat)
