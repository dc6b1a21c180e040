"""How offers and coupons are put together: the secret, the tills' port, and the roles of the worker that serve them."""

import threading
from collections.abc import Callable, Mapping, Sequence

from geo_service.delivery.deliver import Outputs
from geo_service.delivery.fates import Fared, Fates
from geo_service.flow.entries import Body, EntryId
from geo_service.flow.intake import partition_of
from geo_service.flow.partition import Rules
from geo_service.offers.coupons import lasting_terms, with_code
from geo_service.settings import Settings
from geo_service.storage.catalogue import Catalogue
from geo_service.storage.connection import Client
from geo_service.storage.coupons import Coupons, secret_of
from geo_service.storage.keys import Keys
from geo_service.storage.questions import Questions
from geo_service.storage.recent_offers import RecentOffers
from geo_service.storage.redis_log import RedisLog

_TELL_S = 1.0


def rules_of(settings: Settings) -> Rules:
    """What the settings say about the rules. Codes are made at delivery: the log, its outputs and the state hold none."""
    return Rules(settings.presence, settings.assumed, None)


class LiveCoupons(Coupons):
    """Coupons whose changes go to the log."""

    def __init__(self, client: Client, log: RedisLog, settings: Settings, keys: Keys) -> None:
        """Makes the secret, if there is none."""
        secret = secret_of(client, keys, settings.coupon_secret)
        catalogue = Catalogue(client, settings.partitions, keys=keys)

        def terms(campaign: str) -> bytes | None:
            document = catalogue.get("campaign", campaign)
            return None if document is None else lasting_terms(document)

        super().__init__(client, secret, keys=keys, terms=terms)
        self._code_secret = secret
        self._log = log

    def with_code(self, offer: bytes) -> bytes:
        """A sent offer's JSON with its code."""
        return with_code(self._code_secret, offer)

    def tell(self, append: Callable[[Sequence[tuple[str, Body]]], object] | None = None) -> int:
        """Have the log hear of what has changed."""
        return super().tell(append or self._append)

    def _append(self, changes: Sequence[tuple[str, Body]]) -> None:
        partitions = self._log.partitions
        self._log.append([(partition_of(store, partitions), body) for store, body in changes])

    def run(self, stop: threading.Event) -> None:
        """Every second, tell what a process that died has left untold."""
        while not stop.wait(_TELL_S):
            self.tell()


class LiveQuestions(Questions):
    """Questions to the worker, and how many partitions there are to be asked."""

    def __init__(self, client: Client, partitions: int, keys: Keys) -> None:
        """Sends nothing."""
        super().__init__(client, keys=keys)
        self.partitions = partitions


class CodedOutputs:
    """Outputs as they are delivered: each sent offer with its code, which is kept nowhere."""

    def __init__(self, outputs: Outputs, with_code: Callable[[bytes], bytes]) -> None:
        """`outputs` holds the offers without."""
        self._outputs = outputs
        self._with_code = with_code

    def read(self, limit: int, wait_s: float) -> list[tuple[int, EntryId, bytes]]:
        """Outputs not read yet."""
        found = self._outputs.read(limit, wait_s)
        return [(partition, entry_id, self._coded(blob)) for partition, entry_id, blob in found]

    def _coded(self, blob: bytes) -> bytes:
        if b'"decision":"sent"' not in blob:
            return blob
        lines = blob.split(b"\n")
        return b"\n".join(self._with_code(line) if line.startswith(b'{"kind":"offer"') else line for line in lines)

    def done(self, positions: dict[int, EntryId]) -> None:
        """Keep the positions."""
        self._outputs.done(positions)


def keeping(offers: RecentOffers, coupons: Coupons) -> Callable[[list[bytes]], None]:
    """What is kept of decided offers before any of them is sent: a code must be known before anybody can show it."""

    def keep(lines: list[bytes]) -> None:
        offers.keep(lines)
        coupons.issue(lines)

    return keep


def faring(offers: RecentOffers, log: RedisLog) -> Callable[[Mapping[str, Fared], int], None]:
    """Notes what became of deliveries, and tells the log of what reached nobody."""
    return Fates(offers, lambda store, entry: log.append([(partition_of(store, log.partitions), entry)])).note
