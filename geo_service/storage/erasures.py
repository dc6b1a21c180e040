"""Erasures: asked for, under way, and their receipts, which say what was removed and of whom only to who knows both.

Of a receipt only the SHA-256 is kept, and what ties it to a person is an HMAC under the receipt itself: whoever reads the
store afterwards finds no id, and cannot try any.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Any

import msgspec

from geo_service.people.erasure import Erasure
from geo_service.storage.connection import Client, reaching
from geo_service.storage.consents import Consents
from geo_service.storage.keys import DAY_S, Keys

_KEPT_S = 400 * DAY_S


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Erasure).decode


class Erasures:
    """Every method raises UnreachableError once the client's retries are used up."""

    def __init__(self, client: Client, now_ms: Callable[[], int], *, keys: Keys | None = None) -> None:
        """Sends nothing."""
        self._client = client
        self._now_ms = now_ms
        self._keys = keys or Keys()
        self._consents = Consents(client, keys=keys)

    def request(self, person: str) -> str:
        """Ask for an erasure; from now on the border lets nothing of the person in. Returns the receipt."""
        receipt = secrets.token_urlsafe(24)
        name, now_ms = _digest(receipt), self._now_ms()
        erasure = Erasure(about=_about(receipt, person), requested_ms=now_ms, person=person)
        with reaching(self._client), self._client.pipeline() as pipe:
            pipe.set(self._keys("erasure", receipt=name), _encode(erasure), ex=_KEPT_S)
            pipe.zadd(self._keys("erasing"), {name: now_ms})
            pipe.execute()
        self._consents.set_answer(person, "erased")
        return receipt

    def is_under_way(self, person: str) -> bool:
        """Whether somebody is being erased."""
        return self._consents.answer_of(person) == "erased"

    def find(self, person: str, receipt: str) -> Erasure | None:
        """The erasure of this person that has this receipt."""
        with reaching(self._client):
            packed: Any = self._client.get(self._keys("erasure", receipt=_digest(receipt)))
        erasure = None if packed is None else _decode(packed)
        return erasure if erasure and hmac.compare_digest(erasure.about, _about(receipt, person)) else None

    def pending(self, limit: int) -> list[tuple[str, Erasure]]:
        """The oldest that are under way, by their names."""
        with reaching(self._client):
            names: Any = self._client.zrange(self._keys("erasing"), 0, limit - 1)
            found: list[tuple[str, Erasure]] = []
            for name in (name.decode() for name in names):
                packed: Any = self._client.get(self._keys("erasure", receipt=name))
                if packed is None:
                    self._client.zrem(self._keys("erasing"), name)
                else:
                    found.append((name, _decode(packed)))
        return found

    def note(self, name: str, erasure: Erasure) -> None:
        """How far one has come; one that is done is under way no longer."""
        with reaching(self._client), self._client.pipeline() as pipe:
            pipe.set(self._keys("erasure", receipt=name), _encode(erasure), keepttl=True)
            if erasure.done_ms is not None:
                pipe.zrem(self._keys("erasing"), name)
            pipe.execute()


def _digest(receipt: str) -> str:
    return hashlib.sha256(receipt.encode("utf-8", "surrogatepass")).hexdigest()


def _about(receipt: str, person: str) -> str:
    return hmac.new(receipt.encode("utf-8", "surrogatepass"), person.encode(), hashlib.sha256).hexdigest()
