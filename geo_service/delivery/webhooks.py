"""The webhooks' two loops: outputs into the endpoints' queues, and queues to the endpoints.

At least once, each endpoint in order: the first of its queue is sent until it has arrived or is given up, and only then the
next. What waits lies in Redis and is taken out once it has arrived, so kill -9 at any moment loses nothing.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from random import random
from typing import Protocol

import msgspec
import structlog

from geo_service import __version__
from geo_service.delivery import webhook_signing
from geo_service.delivery.webhook_endpoints import Endpoint
from geo_service.delivery.webhook_feed import Feed, Queued
from geo_service.delivery.webhook_records import WebhookDelivery, WebhookState
from geo_service.delivery.webhook_request import Answer, Poster
from geo_service.delivery.webhook_retries import GIVEN_UP_MS, is_given_up, pause_s
from geo_service.delivery.webhook_targets import Resolve, read_target, resolve
from geo_service.errors import InvalidInputError
from geo_service.flow.entries import EntryId

_log = structlog.get_logger(__name__)
BATCH = 500
SENDERS = 32
"""Endpoints that are served at the same time."""
SENDERS_TO_FAILING = 16
"""Of these, to endpoints whose last attempt failed: whoever hangs may hold up each other, and nobody else."""
_IN_A_ROW = 100
"""Deliveries of one endpoint before others have their turn."""
_LOOK_S = 0.5
GONE = 410


class Endpoints(Protocol):
    """Who is to hear what."""

    def version(self) -> int:
        """Rises with every change."""
        ...

    def all(self) -> list[Endpoint]:
        """Every endpoint."""
        ...

    def change(self, endpoint_id: str, how: Callable[[Endpoint], Endpoint]) -> Endpoint | None:
        """Change one as it is at that moment."""
        ...


class Queues(Protocol):
    """What waits; `storage/webhooks.py` says what the methods mean."""

    def enqueue(self, deliveries: Sequence[Queued], positions: Mapping[int, EntryId], now_ms: int) -> None:
        """Queue, and move the reader's position: both or neither."""
        ...

    def states(self, endpoint_ids: Sequence[str]) -> Mapping[str, WebhookState]:
        """How these fare."""
        ...

    def head(self, endpoint_id: str) -> tuple[WebhookDelivery | None, WebhookState]:
        """The first that waits."""
        ...

    def delivered(self, endpoint_id: str, delivery: WebhookDelivery, reason: str, now_ms: int) -> None:
        """It has arrived."""
        ...

    def failed(self, endpoint_id: str, delivery: WebhookDelivery, reason: str, now_ms: int, next_ms: int) -> None:
        """It has not."""
        ...

    def give_up(self, endpoint_id: str, delivery: WebhookDelivery, reason: str, now_ms: int, next_ms: int) -> None:
        """It will not."""
        ...

    def give_up_all(self, endpoint_id: str, reason: str, now_ms: int, queued_by_ms: int | None = None) -> int:
        """Nor will anything else that waits (and was queued by then)."""
        ...


class Outputs(Protocol):
    """A named reader of outputs."""

    def read(self, limit: int, wait_s: float) -> list[tuple[int, EntryId, bytes]]:
        """Outputs not read yet."""
        ...


Count = Callable[[str, int], None]
Current = Callable[[], Mapping[str, Sequence[bytes]]]
"""The newest occupancies by store."""


class Listening:
    """The endpoints as of at most a second ago."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._version = -1
        self._looked = 0.0
        self.all: dict[str, Endpoint] = {}

    def refresh(self) -> bool:
        """Whether they changed."""
        if self._version >= 0 and time.monotonic() - self._looked < 1:
            return False
        self._looked = time.monotonic()
        version = self._endpoints.version()
        if version == self._version:
            return False
        self._version = version
        self.all = {endpoint.id: endpoint for endpoint in self._endpoints.all()}
        return True


def feed_queues(
    outputs: Outputs,
    endpoints: Endpoints,
    queues: Queues,
    current: Current,
    now_ms: Callable[[], int],
    count: Count,
    wake: Callable[[], None],
    stop: threading.Event,
) -> None:
    """Queue what endpoints are to hear until stopped; `wake()` is called whenever something was."""
    listening, feed = Listening(endpoints), Feed()
    while not stop.is_set():
        queued: list[Queued] = []
        if listening.refresh():
            new = feed.use(listening.all.values())
            values = current() if new else {}
            queued += [each for endpoint in new for each in feed.begin(endpoint, values, now_ms())]
        batch = outputs.read(BATCH, _LOOK_S)
        at_ms = now_ms()
        for partition, entry, blob in batch:
            queued += feed.take(partition, entry, blob, at_ms)
        queued += feed.due(at_ms)
        queues.enqueue(queued, {partition: entry for partition, entry, _ in batch}, at_ms)
        if queued:
            count("webhooks_queued", len(queued))
            wake()


class Sending:
    """Sends what waits."""

    def __init__(
        self,
        endpoints: Endpoints,
        queues: Queues,
        now_ms: Callable[[], int],
        count: Count,
        *,
        allow_private: bool,
        resolve: Resolve = resolve,
    ) -> None:
        """`allow_private` lets webhooks into our own network, over plain http too."""
        self._endpoints = endpoints
        self._queues = queues
        self._now_ms = now_ms
        self._count = count
        self._allow_private = allow_private
        self._resolve = resolve
        self._listening = Listening(endpoints)
        self._posters: set[Poster] = set()
        self.woken = threading.Event()
        """Set when something was queued, so that it need not wait for the next look."""

    def run(self, stop: threading.Event) -> None:
        """Send until stopped; an attempt that is under way then is cut off, and made again next time."""
        busy: dict[str, Future[None]] = {}
        failing: set[str] = set()
        with ThreadPoolExecutor(SENDERS, thread_name_prefix="webhook") as pool:
            while not stop.is_set():
                self.woken.wait(_LOOK_S)
                self.woken.clear()
                for endpoint_id, sending in list(busy.items()):
                    if sending.done():
                        del busy[endpoint_id]
                        failing.discard(endpoint_id)
                        sending.result()  # what went wrong here is no endpoint's fault
                self._listening.refresh()
                for endpoint, fails in self._due(busy) if len(busy) < SENDERS else ():
                    if len(busy) >= SENDERS or (fails and len(failing) >= SENDERS_TO_FAILING):
                        continue
                    if fails:
                        failing.add(endpoint.id)
                    busy[endpoint.id] = pool.submit(self._send_some, endpoint, stop)
                    busy[endpoint.id].add_done_callback(lambda _: self.woken.set())
            for poster in tuple(self._posters):
                poster.cut()

    def _due(self, busy: Mapping[str, object]) -> list[tuple[Endpoint, bool]]:
        """Endpoints that have something to hear now, the longest due first; and whether their last attempt failed."""
        idle = {key: endpoint for key, endpoint in self._listening.all.items() if key not in busy}
        states, now_ms = self._queues.states(list(idle)) if idle else {}, self._now_ms()
        for key, endpoint in idle.items():
            if endpoint.disabled is not None and states[key].waiting:
                # It was disabled while these were being queued.
                self._count("webhooks_dead", self._queues.give_up_all(key, endpoint.disabled, now_ms))
        due = sorted((state.next_ms, key) for key, state in states.items() if state.waiting and state.next_ms <= now_ms)
        return [(idle[key], states[key].failures > 0) for _, key in due if idle[key].disabled is None]

    def _send_some(self, endpoint: Endpoint, stop: threading.Event) -> None:
        """The next of an endpoint's queue, up to a failure."""
        try:
            target = read_target(endpoint.url, allow_private=self._allow_private)
        except InvalidInputError as error:
            self._disable(endpoint, f"url: {error.reason}")
            return
        poster = Poster(target, allow_private=self._allow_private, resolve=self._resolve)
        self._posters.add(poster)
        try:
            for _ in range(_IN_A_ROW):
                delivery, state = self._queues.head(endpoint.id)
                if delivery is None or state.next_ms > self._now_ms() or stop.is_set():
                    return
                if self._listening.all.get(endpoint.id) != endpoint:
                    return  # another URL or secret since then, which the next round will take
                if not self._attempt(endpoint, poster, delivery, state, stop):
                    return
        finally:
            self._posters.discard(poster)
            poster.close()

    def _attempt(
        self,
        endpoint: Endpoint,
        poster: Poster,
        delivery: WebhookDelivery,
        state: WebhookState,
        stop: threading.Event,
    ) -> bool:
        began_ms = self._now_ms()
        headers = webhook_signing.headers(endpoint.secrets_at(began_ms), delivery.id, began_ms // 1000, delivery.body)
        answer = poster.post(delivery.body, {"User-Agent": f"geo-service/{__version__}", **headers})
        now_ms, said = self._now_ms(), _said(answer)
        if answer.is_success:
            self._queues.delivered(endpoint.id, delivery, said, now_ms)
            self._count("webhooks_delivered", 1)
            return True
        if stop.is_set():
            return False
        self._count("webhooks_failed", 1)
        next_ms = now_ms + round(pause_s(state.failures + 1, random(), answer.retry_after_s) * 1000)  # noqa: S311 - jitter
        if answer.status == GONE:
            self._queues.give_up(endpoint.id, delivery, said, now_ms, next_ms)
            self._disable(endpoint, "it answered 410 Gone")
        elif is_given_up(delivery.queued_ms, now_ms):
            self._queues.give_up(endpoint.id, delivery, said, now_ms, next_ms)
            as_old = self._queues.give_up_all(endpoint.id, said, now_ms, now_ms - GIVEN_UP_MS)
            self._count("webhooks_dead", 1 + as_old)
        else:
            next_ms = min(next_ms, delivery.queued_ms + GIVEN_UP_MS)
            self._queues.failed(endpoint.id, delivery, said, now_ms, next_ms)
        return False

    def _disable(self, endpoint: Endpoint, reason: str) -> None:
        """Send nothing more; what waits goes to the dead letters, from where it can be sent again."""
        disabled = self._endpoints.change(
            endpoint.id, lambda found: msgspec.structs.replace(found, disabled=found.disabled or reason)
        )
        if disabled is not None:
            dead = self._queues.give_up_all(endpoint.id, reason, self._now_ms())
            self._count("webhooks_dead", dead)
            _log.warning("webhook disabled", endpoint=endpoint.id, reason=reason, given_up=dead)


def _said(answer: Answer) -> str:
    said = answer.reason if answer.status is None else f"{answer.status} {answer.reason}".strip()
    return "".join(letter if letter.isprintable() else "?" for letter in said)  # whoever answers may write anything
