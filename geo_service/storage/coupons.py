"""Coupons on Redis: issued → locked → redeemed → rolled back, or void, or expired; each step one Lua script.

Of a code only a fingerprint is kept (`offers/coupons.py`). A redemption takes its unit of the campaign's quota, and a
rollback gives it back, in the step that changes the coupon: a thousand tills at once neither redeem one coupon twice nor one
too many, and whoever dies in between dies before or after. What has changed is kept as untold in the same step until the
log has it: the log hears of each change at least once, and of a coupon's changes in their order.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from geo_service.flow.entries import Body, Redeemed
from geo_service.offers.coupons import Once, Outcome, Till, fingerprint
from geo_service.storage.connection import Client, reaching
from geo_service.storage.keys import DAY_S, Keys
from geo_service.storage.scripts import Script
from sensors.instants import millis

_KEPT_AFTER_S = 30 * DAY_S
"""A coupon is known for so long after its end, to tell "expired" from "never issued"."""
_TOLD_AT_ONCE = 500


class _Offer(msgspec.Struct):
    id: str
    campaign: str
    device: str
    store: str
    decision: str
    time: datetime
    expires: datetime | None = None
    code: str | None = None
    evidence: dict[str, Any] = {}


_decode_offer = msgspec.json.Decoder(_Offer).decode
_pack = msgspec.msgpack.Encoder().encode


class Coupons:
    """Every coupon there is. Methods raise UnreachableError once the client's retries are used up."""

    def __init__(
        self,
        client: Client,
        secret: bytes,
        *,
        keys: Keys | None = None,
        terms: Callable[[str], bytes | None] = lambda _: None,
        clock: Callable[[], int] = lambda: 0,
    ) -> None:
        """Sends nothing.

        Args:
            client: of the server.
            secret: what codes are made with.
            keys: makes keys.
            terms: what a campaign, by its id, says of its coupons: the JSON of `lasting_terms`; None of one that is gone. A
                coupon keeps them from when it was issued.
            clock: gives epoch milliseconds; 0 leaves it to the server's, which is the log's, too.
        """
        self._client = client
        self._secret = secret
        self._terms = terms
        self._keys = keys or Keys()
        self._clock = clock
        self._script = Script("coupon")

    # --- issuing -----------------------------------------------------------------------------------------------------

    def issue(self, offers: Iterable[bytes]) -> None:
        """Know the coupons of these offers (JSON of `outputs.Offer`) from now on; one that is known stays as it is."""
        sent = [offer for line in offers if (offer := _decode_offer(line)).decision == "sent" and offer.code]
        if not sent:
            return
        terms = {campaign: self._terms(campaign) or b"" for campaign in {offer.campaign for offer in sent}}
        with reaching(self._client), self._client.pipeline(transaction=False) as pipe:
            for offer in sent:
                key = self._key(offer.code or "")
                expires_ms = millis(offer.expires) if offer.expires is not None else millis(offer.time)
                fields = {
                    "offer": offer.id,
                    "campaign": offer.campaign,
                    "device": offer.device,
                    "store": offer.store,
                    "issued_ms": millis(offer.time),
                    "expires_ms": expires_ms,
                    "terms": terms[offer.campaign],
                    "benefit": msgspec.json.encode(offer.evidence.get("benefit")),
                    "state": "issued",
                }
                for name, value in fields.items():
                    pipe.hsetnx(key, name, value)  # type: ignore[arg-type]  # numbers and bytes are fine
                pipe.pexpireat(key, expires_ms + _KEPT_AFTER_S * 1000)
                of_device = self._keys("coupons_of", device=offer.device)
                pipe.zadd(of_device, {key: expires_ms})
                pipe.zremrangebyscore(of_device, "-inf", millis(offer.time) - _KEPT_AFTER_S * 1000)
                pipe.expire(of_device, 400 * DAY_S)
            pipe.execute()

    def _key(self, code: str) -> str:
        return self._keys("coupon", fingerprint=fingerprint(self._secret, code))

    # --- asking ------------------------------------------------------------------------------------------------------

    def find(self, code: str) -> Outcome:
        """How it stands: `found` or `unknown`.

        Raises:
            InvalidInputError: it cannot be a code; so do the others.
        """
        return self._ask("look", code, {})

    def lock(self, code: str, till: Till, ttl_s: float) -> Outcome:
        """Hold it for a till while a basket is rung up: `held` for `ttl_s` under `coupon["holder"]`, or why not."""
        holder = till.lock or secrets.token_urlsafe(12)
        return self._ask("lock", code, _asked(till, holder) | {"ttl": round(ttl_s * 1000), "asks": till.asks})

    def unlock(self, code: str, holder: str) -> Outcome:
        """Let go of it before its time."""
        return self._ask("unlock", code, {"holder": holder})

    def redeem(self, code: str, till: Till, once: Once | None = None) -> Outcome:
        """`done`, or why not. The same key and digest get the same answer for a day; another digest gets `key_reused`."""
        return self._ask("redeem", code, _asked(till, till.lock), once)

    def rollback(self, code: str, at: str, once: Once | None = None) -> Outcome:
        """Take a redemption back where it was made: the coupon may be redeemed again, and its quota is asked again."""
        return self._ask("rollback", code, {"at": at}, once)

    def void(self, code: str, once: Once | None = None) -> Outcome:
        """Make it worthless; `redeemed` where that came first."""
        return self._ask("void", code, {}, once)

    def _ask(self, command: str, code: str, asked: dict[str, Any], once: Once | None = None) -> Outcome:
        answer = self._keys("coupon_answer", key=once.key if once is not None else "-")
        arguments = [command, self._clock(), once.digest if once is not None else "", _pack(asked)]
        keys = [self._key(code), answer, self._keys("coupons_untold"), self._keys("ledger_counters")]
        with reaching(self._client):
            packed, is_repeat = self._script.run(self._client, keys, arguments)
        word, coupon, wait_ms = msgspec.msgpack.decode(packed)
        return Outcome(word, coupon or {}, wait_ms, bool(is_repeat))

    # --- telling -----------------------------------------------------------------------------------------------------

    def tell(self, append: Callable[[Sequence[tuple[str, Body]]], object]) -> int:
        """Append what the log has not heard of yet, each under the store that offered it; returns how many.

        A crash between the append and its note tells a change twice; the fold knows it by its id.
        """
        untold = self._keys("coupons_untold")
        with reaching(self._client):
            found: Any = self._client.hgetall(untold)
            # A hash has no order of its own, and nobody is to hear of a rollback before the redemption.
            changes = sorted(((*_change(packed), name) for name, packed in found.items()), key=lambda told: told[0])
            for first in range(0, len(changes), _TOLD_AT_ONCE):
                part = changes[first : first + _TOLD_AT_ONCE]
                append([(event.store, event) for _, event, _ in part])
                self._client.hdel(untold, *(name for *_, name in part))
        return len(found)

    def forget(self, device: str) -> None:
        """Keep nothing about this device: its coupons are gone."""
        of_device = self._keys("coupons_of", device=device)
        with reaching(self._client):
            found: Any = self._client.zrange(of_device, 0, -1)
            self._client.delete(of_device, *found)


def secret_of(client: Client, keys: Keys, given: str | None) -> bytes:
    """The secret that codes are made with: the one given, else one that is made once and kept in Redis."""
    if given:
        return given.encode()
    with reaching(client):
        client.set(keys("coupon_secret"), secrets.token_bytes(32), nx=True)
        kept: Any = client.get(keys("coupon_secret"))
    return bytes(kept)


def _asked(till: Till, holder: str) -> dict[str, Any]:
    return {
        "at": till.at,
        "channel": till.channel,
        "time": till.time_ms,
        "amount": till.amount,
        "holder": holder,
        "channels": till.channels,
        "everywhere": till.everywhere,
        "quota": -1 if till.quota is None else till.quota,
    }


def _change(packed: bytes) -> tuple[int, Redeemed]:
    """Which change of its coupon it is, and what is to be told of it."""
    key, offer, campaign, device, store, at, change, previous, channel, time_ms, amount = msgspec.msgpack.decode(packed)
    event = Redeemed(
        key,
        offer,
        campaign,
        device,
        store,
        at,
        change,
        previous,
        channel,
        round(time_ms),
        None if amount < 0 else round(amount),
    )
    return int(key.rpartition(":")[2]), event
