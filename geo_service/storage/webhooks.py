"""Webhook endpoints on Redis, and what waits to be delivered to each.

Queues and dead letters are streams, one entry a delivery: what is delivered, given up or erased is taken out by itself and
the order of the rest stays. Outputs are queued in the transaction that moves the reader's position over them, so a crash
between the two cannot be.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import redis
from redis.client import Pipeline

from geo_service.delivery.webhook_endpoints import Endpoint
from geo_service.delivery.webhook_feed import Queued
from geo_service.delivery.webhook_records import OfferTold, WebhookDelivery, WebhookFate, WebhookState
from geo_service.errors import UnreachableError
from geo_service.flow.entries import EntryId
from geo_service.storage.connection import Client, reaching, server_name
from geo_service.storage.keys import DAY_S, Keys
from geo_service.storage.scripts import Script

READER = "webhooks"
"""Name of the outputs' reader whose position the queues go by."""
MOST_WAITING = 10_000
MOST_DEAD = 10_000
FATES_KEPT = 200
_KEPT_S = 7 * DAY_S
_OFFERS_KEPT_S = 30 * DAY_S
_TRIES = 100
_FULL = "the queue was full"
_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Endpoint).decode


_fate = msgspec.json.Decoder(WebhookFate).decode
_told = msgspec.msgpack.Decoder(OfferTold).decode
_pack = msgspec.msgpack.Encoder().encode


def names_of(keys: Keys, endpoint_id: str) -> list[str]:
    """The keys of one endpoint."""
    names = ("webhook_queue", "webhook_dead", "webhook_state", "webhook_fates")
    return [keys(name, endpoint=endpoint_id) for name in names]


class WebhookEndpoints:
    """Every method raises UnreachableError once the client's retries are used up."""

    def __init__(self, client: Client, *, keys: Keys | None = None) -> None:
        """Sends nothing."""
        self._client = client
        self._keys = keys or Keys()
        self._endpoints, self._version = self._keys("webhook_endpoints"), self._keys("webhook_version")

    def version(self) -> int:
        """Rises with every change."""
        with reaching(self._client):
            return int(self._client.get(self._version) or 0)

    def all(self) -> list[Endpoint]:
        """Oldest first."""
        with reaching(self._client):
            kept: Any = self._client.hvals(self._endpoints)
        return sorted((_decode(packed) for packed in kept), key=lambda endpoint: (endpoint.created_ms, endpoint.id))

    def get(self, endpoint_id: str) -> Endpoint | None:
        """One of them."""
        with reaching(self._client):
            packed: Any = self._client.hget(self._endpoints, endpoint_id)
        return None if packed is None else _decode(packed)

    def add(self, endpoint: Endpoint) -> None:
        """A new one."""
        with reaching(self._client), self._client.pipeline() as pipe:
            pipe.hset(self._endpoints, endpoint.id, _encode(endpoint))
            pipe.incr(self._version)
            pipe.execute()

    def change(self, endpoint_id: str, how: Callable[[Endpoint], Endpoint]) -> Endpoint | None:
        """Change one as it is at that moment; None where there is none."""
        with reaching(self._client):
            for _ in range(_TRIES):
                with self._client.pipeline() as pipe:
                    try:
                        pipe.watch(self._endpoints)  # type: ignore[no-untyped-call]
                        packed: Any = pipe.hget(self._endpoints, endpoint_id)
                        if packed is None:
                            return None
                        changed = how(_decode(packed))
                        pipe.multi()
                        pipe.hset(self._endpoints, endpoint_id, _encode(changed))
                        pipe.incr(self._version)
                        pipe.execute()
                    except redis.WatchError:
                        continue
                    return changed
        raise UnreachableError(server_name(self._client), f"the endpoints changed under us {_TRIES} times in a row")

    def remove(self, endpoint_id: str) -> bool:
        """One of them, and all that waits for it; False where there is none."""
        with reaching(self._client), self._client.pipeline() as pipe:
            pipe.hdel(self._endpoints, endpoint_id)
            pipe.delete(*names_of(self._keys, endpoint_id))
            pipe.incr(self._version)
            return bool(pipe.execute()[0])


class WebhookQueues:
    """What waits for each endpoint. Every method raises UnreachableError once the client's retries are used up."""

    def __init__(
        self, client: Client, *, keys: Keys | None = None, most_waiting: int = MOST_WAITING, most_dead: int = MOST_DEAD
    ) -> None:
        """Sends nothing."""
        self._client = client
        self._keys = keys or Keys()
        self._most_waiting, self._most_dead = most_waiting, most_dead
        self._queue, self._bury, self._advance = Script("webhook_queue"), Script("webhook_bury"), Script("advance")

    def _of(self, endpoint_id: str) -> list[str]:
        return [self._keys(name, endpoint=endpoint_id) for name in ("webhook_queue", "webhook_dead", "webhook_state")]

    def enqueue(self, deliveries: Sequence[Queued], positions: Mapping[int, EntryId], now_ms: int) -> None:
        """Queue these, and note that the outputs up to these positions are dealt with: both or neither."""
        by_endpoint: dict[str, list[Any]] = {}
        for delivery in deliveries:
            parts = by_endpoint.setdefault(delivery.endpoint, [])
            parts += (delivery.id, delivery.kind, now_ms, delivery.body, delivery.offer)

        if not by_endpoint and not positions:
            return
        with reaching(self._client), self._client.pipeline() as pipe:
            for endpoint_id, parts in by_endpoint.items():
                self._call(pipe, self._queue, self._of(endpoint_id), [*self._bounds(), *parts])
            for partition, position in positions.items():
                self._call(pipe, self._advance, [self._keys("readers", partition=partition)], [READER, *position])
            for delivery in deliveries:
                self._tell(pipe, delivery.endpoint, delivery.offer, OfferTold("queued", 0, now_ms))
            overs = self._execute(pipe, *by_endpoint)
        for endpoint_id, over in zip(by_endpoint, overs, strict=False):
            if over:
                mine = [delivery for delivery in deliveries if delivery.endpoint == endpoint_id]
                self._tell_dead(endpoint_id, [delivery.offer for delivery in mine[-over:]], now_ms)

    def _bounds(self) -> list[Any]:
        return [self._most_waiting, self._most_dead, _KEPT_S, _FULL]

    def _execute(self, pipe: Pipeline, *endpoint_ids: str) -> list[Any]:
        """Whoever feeds and sends may do so for an endpoint that was removed a moment ago: nothing of that stays."""
        for endpoint_id in endpoint_ids:
            pipe.hexists(self._keys("webhook_endpoints"), endpoint_id)
        replies = pipe.execute()
        first = len(replies) - len(endpoint_ids)
        for endpoint_id, is_there in zip(endpoint_ids, replies[first:], strict=True):
            if not is_there:
                self._client.delete(*names_of(self._keys, endpoint_id))
        return replies[:first]

    def _tell(self, pipe: Pipeline, endpoint_id: str, offer_id: str, told: OfferTold) -> None:
        """Note how an offer's delivery stands; of other deliveries nothing."""
        if offer_id:
            key = self._keys("webhook_offer", offer=offer_id)
            pipe.hset(key, endpoint_id, _pack(told))
            pipe.expire(key, _OFFERS_KEPT_S)

    def _tell_dead(self, endpoint_id: str, offers: Sequence[str], now_ms: int) -> None:
        """These were given up without another attempt."""
        with reaching(self._client), self._client.pipeline() as pipe:
            for offer_id in offers:
                self._tell(pipe, endpoint_id, offer_id, OfferTold("dead", 0, now_ms))
            pipe.execute()

    def told_of(self, offer_id: str) -> dict[str, OfferTold]:
        """How the deliveries of an offer stand, by endpoint."""
        with reaching(self._client):
            found: Any = self._client.hgetall(self._keys("webhook_offer", offer=offer_id))
        return {endpoint_id.decode(): _told(packed) for endpoint_id, packed in found.items()}

    @staticmethod
    def _call(pipe: Pipeline, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> None:
        """The script by its text: by its digest, a server that lacks it would do the rest of a transaction without it."""
        pipe.eval(script.text.decode(), len(keys), *keys, *arguments)

    def states(self, endpoint_ids: Sequence[str]) -> dict[str, WebhookState]:
        """How these endpoints fare."""
        with reaching(self._client), self._client.pipeline(transaction=False) as pipe:
            for endpoint_id in endpoint_ids:
                queue, dead, state = self._of(endpoint_id)
                pipe.xlen(queue)
                pipe.xlen(dead)
                pipe.hgetall(state)
            replies = pipe.execute()
        return {endpoint_id: _state(*replies[3 * at : 3 * at + 3]) for at, endpoint_id in enumerate(endpoint_ids)}

    def head(self, endpoint_id: str) -> tuple[WebhookDelivery | None, WebhookState]:
        """The first delivery of the queue, and the endpoint's state."""
        state = self.states([endpoint_id])[endpoint_id]
        found = self.waiting(endpoint_id, 1, state)
        return (found[0] if found else None), state

    def waiting(self, endpoint_id: str, limit: int, state: WebhookState | None = None) -> list[WebhookDelivery]:
        """The first of the queue, in order."""
        state = state or self.states([endpoint_id])[endpoint_id]
        with reaching(self._client):
            found: Any = self._client.xrange(self._of(endpoint_id)[0], count=limit)
        deliveries = [_delivery(*row) for row in found]
        return [
            delivery._replace(attempts=state.attempts, reason=state.reason)
            if delivery.entry == state.entry
            else delivery
            for delivery in deliveries
        ]

    def delivered(self, endpoint_id: str, delivery: WebhookDelivery, reason: str, now_ms: int) -> None:
        """It has arrived."""
        queue, _, state = self._of(endpoint_id)
        attempts = delivery.attempts + 1
        with reaching(self._client), self._client.pipeline() as pipe:
            pipe.xdel(queue, delivery.entry)
            pipe.hdel(state, "entry", "attempts", "failures", "next_ms")
            pipe.hset(state, mapping={"reason": reason, "tried_ms": now_ms})
            pipe.hincrby(state, "delivered", 1)
            self._note(pipe, endpoint_id, _fate_of(delivery, "delivered", attempts, reason, now_ms))
            self._tell(pipe, endpoint_id, delivery.offer, OfferTold("delivered", attempts, now_ms))
            self._execute(pipe, endpoint_id)

    def failed(self, endpoint_id: str, delivery: WebhookDelivery, reason: str, now_ms: int, next_ms: int) -> None:
        """An attempt that came to nothing; the next one is due then."""
        with reaching(self._client), self._client.pipeline() as pipe:
            self._note_failure(pipe, endpoint_id, reason, now_ms, next_ms)
            pipe.hset(self._of(endpoint_id)[2], mapping={"entry": delivery.entry, "attempts": delivery.attempts + 1})
            self._tell(pipe, endpoint_id, delivery.offer, OfferTold("retrying", delivery.attempts + 1, now_ms))
            self._execute(pipe, endpoint_id)

    def give_up(self, endpoint_id: str, delivery: WebhookDelivery, reason: str, now_ms: int, next_ms: int) -> None:
        """The last attempt came to nothing: to the dead letters."""
        attempts = delivery.attempts + 1
        with reaching(self._client), self._client.pipeline() as pipe:
            self._note_failure(pipe, endpoint_id, reason, now_ms, next_ms)
            self._note(pipe, endpoint_id, _fate_of(delivery, "dead", attempts, reason, now_ms))
            self._tell(pipe, endpoint_id, delivery.offer, OfferTold("dead", attempts, now_ms))
            self._queue_burial(pipe, endpoint_id, delivery, attempts, reason)
            self._execute(pipe, endpoint_id)

    def give_up_all(self, endpoint_id: str, reason: str, now_ms: int, queued_by_ms: int | None = None) -> int:
        """All that waits (and was queued by then), to the dead letters; returns how many."""
        given_up = 0
        while found := [
            delivery
            for delivery in self.waiting(endpoint_id, 500)
            if queued_by_ms is None or delivery.queued_ms <= queued_by_ms
        ]:
            with reaching(self._client), self._client.pipeline(transaction=False) as pipe:
                for delivery in found:
                    self._queue_burial(pipe, endpoint_id, delivery, delivery.attempts, reason)
                buried = pipe.execute()
            given_up += sum(buried)
            offers = [delivery.offer for delivery, is_buried in zip(found, buried, strict=True) if is_buried]
            self._tell_dead(endpoint_id, offers, now_ms)
        return given_up

    def _queue_burial(
        self, pipe: Pipeline, endpoint_id: str, delivery: WebhookDelivery, attempts: int, reason: str
    ) -> None:
        arguments = [delivery.entry, attempts, reason, self._most_dead, _KEPT_S]
        self._call(pipe, self._bury, self._of(endpoint_id), arguments)

    def _note_failure(self, pipe: Pipeline, endpoint_id: str, reason: str, now_ms: int, next_ms: int) -> None:
        state = self._of(endpoint_id)[2]
        pipe.hset(state, mapping={"reason": reason, "tried_ms": now_ms, "next_ms": next_ms})
        pipe.hincrby(state, "failures", 1)
        pipe.hincrby(state, "failed", 1)

    def _note(self, pipe: Pipeline, endpoint_id: str, fate: WebhookFate) -> None:
        key = self._keys("webhook_fates", endpoint=endpoint_id)
        pipe.lpush(key, _encode(fate))
        pipe.ltrim(key, 0, FATES_KEPT - 1)
        pipe.expire(key, _KEPT_S)

    def fates(self, endpoint_id: str, limit: int) -> list[WebhookFate]:
        """How the last deliveries ended, newest first."""
        with reaching(self._client):
            found: Any = self._client.lrange(self._keys("webhook_fates", endpoint=endpoint_id), 0, limit - 1)
        return [_fate(packed) for packed in found]

    def dead(self, endpoint_id: str, after: str | None, limit: int) -> list[WebhookDelivery]:
        """Dead letters after an entry, oldest first."""
        start = "-" if after is None else f"({after}"
        with reaching(self._client):
            found: Any = self._client.xrange(self._of(endpoint_id)[1], min=start, count=limit)
        return [_delivery(*row) for row in found]

    def resend(self, endpoint_id: str, entries: Sequence[str] | None, now_ms: int) -> int:
        """Queue dead letters again (None: all of them), behind what waits; returns how many.

        Each is taken out of the dead letters in the transaction that queues it. What finds the queue full is a dead letter
        again.
        """
        sent = 0
        after: str | None = None
        while found := self.dead(endpoint_id, after, 500):
            after = found[-1].entry
            chosen = [delivery for delivery in found if entries is None or delivery.entry in entries]
            chosen = chosen[: max(0, self._most_waiting - self.states([endpoint_id])[endpoint_id].waiting)]
            if chosen:
                self._requeue(endpoint_id, chosen, now_ms)
            sent += len(chosen)
            if entries is None and not chosen:
                break
        return sent

    def _requeue(self, endpoint_id: str, chosen: Sequence[WebhookDelivery], now_ms: int) -> None:
        keys = self._of(endpoint_id)
        parts = [
            part for delivery in chosen for part in (delivery.id, delivery.kind, now_ms, delivery.body, delivery.offer)
        ]

        with reaching(self._client), self._client.pipeline() as pipe:
            pipe.xdel(keys[1], *(delivery.entry for delivery in chosen))
            self._call(pipe, self._queue, keys, [*self._bounds(), *parts])
            for delivery in chosen:
                self._tell(pipe, endpoint_id, delivery.offer, OfferTold("queued", 0, now_ms))
            # It is tried at once: whoever asks has mended something.
            pipe.hdel(keys[2], "next_ms", "failures")
            pipe.execute()


def _state(waiting: int, dead_letters: int, kept: Mapping[bytes, bytes]) -> WebhookState:
    said = {name.decode(): value.decode() for name, value in kept.items()}
    return WebhookState(
        waiting=waiting,
        dead_letters=dead_letters,
        entry=said.get("entry"),
        reason=said.get("reason"),
        tried_ms=int(said["tried_ms"]) if "tried_ms" in said else None,
        next_ms=int(said.get("next_ms", 0)),
        failures=int(said.get("failures", 0)),
        attempts=int(said.get("attempts", 0)),
        delivered=int(said.get("delivered", 0)),
        failed=int(said.get("failed", 0)),
        dead=int(said.get("dead", 0)),
        overflowed=int(said.get("overflowed", 0)),
        lost=int(said.get("lost", 0)),
    )


def _delivery(entry: bytes, fields: Mapping[bytes, bytes]) -> WebhookDelivery:
    reason = fields.get(b"r")
    return WebhookDelivery(
        entry=entry.decode(),
        id=fields[b"i"].decode(),
        kind=fields[b"k"].decode(),
        queued_ms=int(fields[b"t"]),
        body=fields[b"d"],
        attempts=int(fields.get(b"a", 0)),
        reason=None if reason is None else reason.decode(),
        offer=fields.get(b"o", b"").decode(),
    )


def _fate_of(delivery: WebhookDelivery, outcome: str, attempts: int, reason: str, now_ms: int) -> WebhookFate:
    return WebhookFate(
        id=delivery.id, kind=delivery.kind, outcome=outcome, attempts=attempts, reason=reason, at_ms=now_ms
    )
