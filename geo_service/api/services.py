"""What the HTTP shell needs of the rest: narrow ports, each with the one thing it is for.

Methods may block (they talk to Redis or the log) and are called in worker threads, several at a time. A server that does not answer is `UnreachableError`, which becomes a 503.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from geo_service.api.documents import Catalogue
from geo_service.catalogue.documents import Fence, Store
from geo_service.delivery.webhook_endpoints import Endpoint
from geo_service.delivery.webhook_records import OfferTold, WebhookDelivery, WebhookFate, WebhookState
from geo_service.flow.entries import EntryId
from geo_service.offers.coupons import Once, Outcome, Till
from geo_service.people.consents import Said
from geo_service.people.erasure import Erasure
from geo_service.principals import DeviceToken, Principal, Session


class Refused(msgspec.Struct, frozen=True):
    """One thing of a message that the border refused."""

    index: int | None
    """Place in the list that was sent; None where the whole message is meant."""
    field: str | None
    reason: str


class Accepted(NamedTuple):
    """What became of a message."""

    accepted: int
    """Pings or readings that are in the log."""
    problems: Sequence[Refused]
    dropped: int = 0
    """Pings that were understood and not kept: their person does not agree, or nobody may be followed there."""


class Intake(Protocol):
    """The border: the same one that MQTT messages pass. What people do (a recount, a consent) passes it too."""

    def take(self, topic: str, payload: bytes, *, device: str | None = None) -> Accepted:
        """Decode, judge and append; returns once the log has it. `device` is who the credentials say is speaking."""
        ...


class CurrentValues(Protocol):
    """The newest value of what changes, by name."""

    def occupancy(self, stores: Collection[str] | None = None) -> Mapping[str, Sequence[bytes]]:
        """Newest occupancy outputs (JSON) by store, the store's own before its zones'; None: of every store."""
        ...

    def alerts(self, stores: Collection[str] | None = None) -> Sequence[bytes]:
        """The alerts (JSON of `outputs.Alert`) that stand; None: of every store."""
        ...

    def named(self, names: Collection[str]) -> Mapping[str, bytes]:
        """The values of these names, as far as they have any."""
        ...


class OutputsTail(Protocol):
    """The outputs of every partition, as they come. The one port for asyncio: it mostly waits."""

    async def ends(self) -> Mapping[int, EntryId]:
        """The position of the newest output of every partition."""
        ...

    async def read(
        self, after: Mapping[int, EntryId], limit: int, wait_s: float
    ) -> Sequence[tuple[int, EntryId, bytes]]:
        """`(partition, position, outputs of that entry, one JSON object a line)` after the positions, in the order of
        each partition, at most `limit` of each; a partition that is not named starts at the oldest kept. Waits up to
        `wait_s` for a first one.
        """
        ...

    async def close(self) -> None:
        """There will be no further question."""
        ...


class Accounts(Protocol):
    """Keys, device tokens, people and their sessions."""

    def identify(self, credential: str) -> Principal | None:
        """Whose key or device token this is; None: nobody's."""
        ...

    def resume(self, session: str) -> Principal | None:
        """Whose session this is; None where it is unknown, ended or expired."""
        ...

    def log_in(self, name: str, password: str) -> Session | None:
        """Begin a session; None where name or password is wrong, in the same time either way."""
        ...

    def log_out(self, session: str) -> None:
        """End a session."""
        ...

    def register(self, device: str | None) -> DeviceToken | None:
        """A token for a new device (None: with an id made here); None where the id is taken."""
        ...

    def forget_device(self, device: str) -> bool:
        """End a device's token and free its id; False where it is not registered."""
        ...


class RateLimiter(Protocol):
    """So many in so much time, counted over all processes."""

    def take(self, key: str, *, limit: int, window_s: float) -> float:
        """Count one: 0.0 where it is within the limit, else the seconds after which to try again."""
        ...


class Nearby(Protocol):
    """Which stores and fences are around a place; `places.LivePlaces` is the real one."""

    def nearest(
        self, lat: float, lon: float, radius_m: float, limit: int, accept: Callable[[str], bool] | None = None
    ) -> Sequence[tuple[str, float]]:
        """`(store, metres to its edge)`, nearest first, of those that `accept` says yes to."""
        ...

    def covering(self, lat: float, lon: float) -> Sequence[str]:
        """Ids of the fences that cover the place, in order."""
        ...

    def store(self, key: str) -> Store | None:
        """A store, as of the last of the questions above."""
        ...

    def fence(self, key: str) -> Fence | None:
        """A fence, likewise."""
        ...

    def has(self, store: str, sku: str) -> bool:
        """Whether a store has a product to sell, likewise; False where nobody has said how much it has."""
        ...


class KeptOffer(Protocol):
    """One decided offer."""

    @property
    def offer(self) -> bytes:
        """JSON of `outputs.Offer`, without its code."""
        ...

    @property
    def device(self) -> str:
        """Whose it is."""
        ...

    @property
    def fate(self) -> Mapping[str, str]:
        """What became of its delivery: `fate`, `fate_ms`, `pulled_ms`."""
        ...


class Coupons(Protocol):
    """Coupons by their codes. A text that cannot be a code is InvalidInputError."""

    def with_code(self, offer: bytes) -> bytes:
        """A sent offer's JSON with its code."""
        ...

    def find(self, code: str) -> Outcome:
        """How it stands."""
        ...

    def lock(self, code: str, till: Till, ttl_s: float) -> Outcome:
        """Hold it while a basket is rung up."""
        ...

    def unlock(self, code: str, holder: str) -> Outcome:
        """Let go of it."""
        ...

    def redeem(self, code: str, till: Till, once: Once | None = None) -> Outcome:
        """Redeem it, or say why not."""
        ...

    def rollback(self, code: str, at: str, once: Once | None = None) -> Outcome:
        """Take a redemption back."""
        ...

    def void(self, code: str, once: Once | None = None) -> Outcome:
        """Make it worthless."""
        ...

    def tell(self) -> int:
        """Have the log hear of what has changed."""
        ...

    def forget(self, device: str) -> None:
        """Keep nothing about this device."""
        ...


class Questions(Protocol):
    """Questions to the worker, beside the log."""

    @property
    def partitions(self) -> int:
        """How many there are to be asked."""
        ...

    def ask(self, partition: int, question: bytes, timeout_s: float) -> bytes | None:
        """The answer; None where none came in time."""
        ...


class RecentOffers(Protocol):
    """What was decided about a device lately."""

    def find(self, offer_id: str) -> KeptOffer | None:
        """One offer by its id."""
        ...

    def fared(self, fates: Mapping[str, Literal["pulled"]], at_ms: int) -> object:
        """Note that a phone has asked for these."""
        ...

    def of(self, device: str, limit: int) -> Sequence[bytes]:
        """Newest first, as JSON of `outputs.Offer`."""
        ...

    def forget(self, device: str) -> None:
        """Keep nothing about this device."""
        ...


class WebhookEndpoints(Protocol):
    """The endpoints as they are kept."""

    def all(self) -> list[Endpoint]:
        """Oldest first."""
        ...

    def get(self, endpoint_id: str) -> Endpoint | None:
        """One of them."""
        ...

    def add(self, endpoint: Endpoint) -> None:
        """A new one."""
        ...

    def change(self, endpoint_id: str, how: Callable[[Endpoint], Endpoint]) -> Endpoint | None:
        """Change one as it is at that moment; None where there is none."""
        ...

    def remove(self, endpoint_id: str) -> bool:
        """One of them, with all that waits for it."""
        ...


class WebhookQueues(Protocol):
    """What waits for them, and what became of what does not."""

    def states(self, endpoint_ids: Sequence[str]) -> Mapping[str, WebhookState]:
        """How these fare."""
        ...

    def waiting(self, endpoint_id: str, limit: int) -> Sequence[WebhookDelivery]:
        """The first that wait, in order."""
        ...

    def fates(self, endpoint_id: str, limit: int) -> Sequence[WebhookFate]:
        """How the last ones ended, newest first."""
        ...

    def dead(self, endpoint_id: str, after: str | None, limit: int) -> Sequence[WebhookDelivery]:
        """Those that were given up, oldest first."""
        ...

    def resend(self, endpoint_id: str, entries: Sequence[str] | None, now_ms: int) -> int:
        """Queue those again (None: all of them); how many."""
        ...

    def told_of(self, offer_id: str) -> Mapping[str, OfferTold]:
        """How the deliveries of an offer stand, by endpoint."""
        ...

    def give_up_all(self, endpoint_id: str, reason: str, now_ms: int) -> int:
        """Stop trying what waits."""
        ...


class Webhooks(NamedTuple):
    """All about webhooks."""

    endpoints: WebhookEndpoints
    queues: WebhookQueues
    check_url: Callable[[str], None]
    """Refuses a target that may not be one, with an InvalidInputError."""


class Erasures(Protocol):
    """Erasures of people."""

    def request(self, person: str) -> str:
        """Ask for one; its receipt."""
        ...

    def is_under_way(self, person: str) -> bool:
        """Whether the person is being erased."""
        ...

    def find(self, person: str, receipt: str) -> Erasure | None:
        """How far one has come."""
        ...


class PersonalData(Protocol):
    """All that is kept about people."""

    def export(self, person: str) -> Mapping[str, Sequence[Any]]:
        """About one of them, by the name of the key that it is in."""
        ...


class Consents(Protocol):
    """What people agreed to."""

    def history(self, person: str) -> Sequence[Said]:
        """Oldest first."""
        ...


class People(NamedTuple):
    """All about people's rights."""

    erasures: Erasures
    data: PersonalData
    consents: Consents


Checks = Callable[[], Mapping[str, str | None]]
"""Readiness by name: None where it is well, else what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """All ports. A resource whose port is None does not exist."""

    intake: Intake
    catalogue: Catalogue
    current: CurrentValues
    outputs: OutputsTail
    accounts: Accounts
    limits: RateLimiter
    now_ms: Callable[[], int]
    checks: Checks
    nearby: Nearby | None = None
    offers: RecentOffers | None = None
    coupons: Coupons | None = None
    questions: Questions | None = None
    webhooks: Webhooks | None = None
    people: People | None = None
