"""Coupons on Redis: issued → locked → redeemed → rolled back, or void, or expired; each step one Lua script.

Of a code only a fingerprint is kept (`offers/coupons.py`). A quota of redemptions is asked of the ledger while the
coupon is locked for the asker, so a thousand tills at once neither redeem one coupon twice nor one too many. What has
changed is kept as untold in the same step until the log has it: the log hears of each change at least once.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from geo_service.flow.entries import Body, Redeemed
from geo_service.flow.ledger import Claim, Ledger, Reservation
from geo_service.offers.coupons import Once, Outcome, Till, fingerprint
from geo_service.storage.connection import Client, reaching
from geo_service.storage.keys import DAY_S, Keys
from geo_service.storage.scripts import Script
from sensors.instants import millis

_KEPT_AFTER_S = 30 * DAY_S
"""A coupon is known for so long after its end, to tell "expired" from "never issued"."""
_QUOTA_LOCK_MS = 10_000
_QUOTA_HELD_MS = 600_000
"""A quota's unit whose redemption never came about is given back after this time; `tell` commits well within it."""
_UNTOLD_AT_ONCE = 500


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
        ledger: Ledger,
        *,
        keys: Keys | None = None,
        clock: Callable[[], int] = lambda: 0,
    ) -> None:
        """`clock` gives epoch milliseconds; 0 leaves it to the server's, which is the log's, too."""
        self._client = client
        self._secret = secret
        self._ledger = ledger
        self._keys = keys or Keys()
        self._clock = clock
        self._script = Script("coupon")

    # --- issuing -----------------------------------------------------------------------------------------------------

    def issue(self, offers: Iterable[bytes]) -> None:
        """Know the coupons of these offers (JSON of `outputs.Offer`) from now on; one that is known stays as it is."""
        sent = [offer for line in offers if (offer := _decode_offer(line)).decision == "sent" and offer.code]
        if not sent:
            return
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
        return self._ask("lock", code, _asked(till, holder) | {"ttl": round(ttl_s * 1000)})

    def unlock(self, code: str, holder: str) -> Outcome:
        """Let go of it before its time."""
        return self._ask("unlock", code, {"holder": holder})

    def redeem(self, code: str, till: Till, once: Once | None = None) -> Outcome:
        """`done`, or why not. The same key and digest get the same answer for a day; another digest gets `key_reused`."""
        if till.quota is None:
            return self._ask("redeem", code, _asked(till, till.lock), once)
        holder = till.lock or (once.key if once is not None else secrets.token_urlsafe(12))
        held = self._ask("lock", code, _asked(till, holder) | {"ttl": _QUOTA_LOCK_MS}, once)
        if held.word != "held":
            return held
        campaign, now_ms = held.coupon["campaign"], int(held.coupon["now"])
        claim = Claim(f"coupon:{campaign}:redemptions", 1, till.quota)
        grant = f"redeem:{held.coupon['offer']}:{secrets.token_hex(8)}"
        granted = self._ledger.reserve([Reservation(grant, [claim], _QUOTA_HELD_MS)], now_ms)[0].granted
        if not granted:
            return self._ask("unlock", code, {"holder": holder, "outcome": "over_quota"}, once)
        asked = _asked(till, holder) | {"grant": grant, "before": now_ms + _QUOTA_HELD_MS // 2}
        done = self._ask("redeem", code, asked, once)
        if done.word == "done" and done.coupon.get("grant") == grant:
            self._ledger.commit([grant], now_ms)
        else:  # a twin of this very request was quicker, or the lock was lost
            self._ledger.release([grant], now_ms)
        return done

    def rollback(self, code: str, at: str, once: Once | None = None) -> Outcome:
        """Take a redemption back where it was made: the coupon may be redeemed again, and its quota is asked again."""
        done = self._ask("rollback", code, {"at": at}, once)
        if done.word == "done" and done.coupon.get("grant"):
            self._ledger.release([done.coupon["grant"]], int(done.coupon["now"]))
        return done

    def void(self, code: str, once: Once | None = None) -> Outcome:
        """Make it worthless; `redeemed` where that came first."""
        return self._ask("void", code, {}, once)

    def _ask(self, command: str, code: str, asked: dict[str, Any], once: Once | None = None) -> Outcome:
        answer = self._keys("coupon_answer", key=once.key if once is not None else "-")
        arguments = [command, self._clock(), once.digest if once is not None else "", _pack(asked)]
        with reaching(self._client):
            packed = self._script.run(self._client, [self._key(code), answer, self._keys("coupons_untold")], arguments)
        word, coupon, wait_ms = msgspec.msgpack.decode(packed)
        return Outcome(word, coupon or {}, wait_ms)

    # --- telling -----------------------------------------------------------------------------------------------------

    def tell(self, append: Callable[[Sequence[tuple[str, Body]]], object]) -> int:
        """Append what the log has not heard of yet, each under the store that offered it; returns how many.

        A crash between the append and its note tells a change twice; the fold knows it by its id.
        """
        untold = self._keys("coupons_untold")
        with reaching(self._client):
            reply: Any = self._client.hscan(untold, count=_UNTOLD_AT_ONCE)
            found: dict[bytes, bytes] = reply[1]
            if not found:
                return 0
            changes = [_change(packed) for packed in found.values()]
            # Where a crash came between a redemption and its quota's commit, it is made up for here.
            grants = [grant for event, grant in changes if grant and event.change == "redeemed"]
            self._ledger.commit(grants, self._now_ms())
            append([(event.store, event) for event, _ in changes])
            self._client.hdel(untold, *found)
        return len(found)

    def _now_ms(self) -> int:
        if now_ms := self._clock():
            return now_ms
        seconds, microseconds = self._client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

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
        "grant": "",
    }


def _change(packed: bytes) -> tuple[Redeemed, str]:
    """What is to be told, and the ledger's key of its quota, if it has one."""
    (key, offer, campaign, device, store, at, change, previous, channel, time_ms, amount, grant) = (
        msgspec.msgpack.decode(packed)
    )
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
    return event, grant
