"""What people agreed to, as they said it; and for the border, who may be located.

Both are written in the transaction that appends a consent to the log. The fold stays the judge of what holds when; this is
the record of what was said, and a set that keeps pings out which the fold would drop.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, cast

import msgspec
from redis.client import Pipeline

from geo_service.flow.entries import Consent
from geo_service.people.border import Answer, Border, Located
from geo_service.people.consents import Said
from geo_service.people.sensitive import SensitivePlaces
from geo_service.storage.connection import Client, reaching
from geo_service.storage.keys import Keys
from geo_service.storage.scripts import Script

MOST_KEPT = 100
"""Consents of one person; of more, the newest."""
LOOK_WITHIN_S = 4.0
"""A copy that has not looked for longer reads everything anew: what was forgotten may have left no trace by then."""
_SLICE = 5000


_decode = msgspec.json.Decoder(list[Said]).decode


class Consents:
    """Every method raises UnreachableError once the client's retries are used up."""

    def __init__(self, client: Client, *, keys: Keys | None = None) -> None:
        """Sends nothing."""
        keys = keys or Keys()
        self._client = client
        self._consents, self._located = keys("consents"), keys("located")
        self._changed, self._version = keys("located_changed"), keys("located_version")
        self._consent, self._answer = Script("consent"), Script("located")

    def queue(self, pipe: Pipeline, token: str, consent: Consent) -> None:
        """Add to a transaction that appends it; a repeat under the same token changes nothing."""
        location = consent.purposes.get("location")
        said = "" if location is None else "yes" if location else "no"
        arguments: list[str | int] = [
            consent.device,
            token,
            consent.version or "",
            msgspec.json.encode(consent.purposes).decode(),
            said,
            MOST_KEPT,
        ]
        keys = [self._consents, self._located, self._changed, self._version]
        # By its text, not its digest: see `storage/webhooks.py`.
        pipe.eval(self._consent.text.decode(), len(keys), *keys, *arguments)

    def history(self, person: str) -> list[Said]:
        """What a person said, oldest first."""
        with reaching(self._client):
            packed: Any = self._client.hget(self._consents, person)
        return [] if packed is None else _decode(packed)

    def agrees(self, person: str, assumed: bool) -> bool:
        """Whether a person's last word on offers is yes; `assumed` where they have said none."""
        said = [each.purposes["offers"] for each in self.history(person) if "offers" in each.purposes]
        return said[-1] if said else assumed

    def answer_of(self, person: str) -> Answer | None:
        """What the border knows of a person."""
        with reaching(self._client):
            found: Any = self._client.hget(self._located, person)
        return None if found is None else cast("Answer", found.decode())

    def set_answer(self, person: str, answer: Answer | None) -> None:
        """Set what the border knows; None: that nothing is known any more."""
        with reaching(self._client):
            self._answer.run(self._client, [self._located, self._changed, self._version], [person, answer or ""])

    def version(self) -> int:
        """Rises whenever what the border knows changes."""
        with reaching(self._client):
            return int(self._client.get(self._version) or 0)

    def since(self, version: int) -> dict[str, Answer | None]:
        """What was learnt or forgotten after this version."""
        with reaching(self._client):
            changed: Any = self._client.zrangebyscore(self._changed, f"({version}", "+inf")
            found: dict[str, Answer | None] = {}
            for at in range(0, len(changed), _SLICE):
                part = changed[at : at + _SLICE]
                answers: Any = self._client.hmget(self._located, part)
                found |= {
                    device.decode(): None if answer is None else answer.decode()
                    for device, answer in zip(part, answers, strict=True)
                }
        return found

    def everything(self) -> dict[str, Answer | None]:
        """What is known of everybody."""
        with reaching(self._client):
            return {
                device.decode(): answer.decode()
                for device, answer in self._client.hscan_iter(self._located, count=_SLICE)
            }


class LiveBorder:
    """The border as of the moment it is asked for: one question to Redis for each batch of pings."""

    def __init__(
        self, consents: Consents, *, assumed: bool, offers: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`assumed`: whether who has said nothing may be located; `offers`: whether they agree to offers."""
        self._consents = consents
        self._assumed = assumed
        self._clock = clock
        self._lock = threading.Lock()
        self._border = Border(Located(assumed=assumed), agrees_to_offers=lambda device: consents.agrees(device, offers))
        self._version = -1
        self._looked = 0.0

    def use(self, places: SensitivePlaces) -> None:
        """The sensitive places changed."""
        self._border.places = places

    def __call__(self) -> Border:
        """The border as it is now.

        Raises:
            UnreachableError: no server.
        """
        with self._lock:
            version, now = self._consents.version(), self._clock()
            if version != self._version:
                # The version first: a change that comes in between is then learnt twice, and not never.
                if self._version < 0 or now - self._looked > LOOK_WITHIN_S:
                    located = Located(assumed=self._assumed)
                    located.learn(self._consents.everything())
                    self._border.located = located
                else:
                    self._border.located.learn(self._consents.since(self._version))
                self._version = version
            self._looked = now
            return self._border
