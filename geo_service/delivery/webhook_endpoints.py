"""Webhook endpoints: who wants to hear what, and in which form. Pure; the secrets are in `webhook_signing.py`."""

from typing import Annotated, get_args

import msgspec

from geo_service import outputs
from geo_service.errors import InvalidInputError
from geo_service.ids import require_id
from geo_service.offers.coupons import without_code
from geo_service.people.identity import without_identity

KINDS: frozenset[str] = frozenset(str(kind.__struct_config__.tag) for kind in get_args(outputs.AnyOutput))
"""Every kind of output."""
UNPLACED = frozenset(("rejected",))
"""They may name a device and belong to no store: for endpoints that hear of every store and every device."""
OVERLAP_MS = 24 * 3_600_000
"""After a rotation both secrets sign for so long."""


class EndpointBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody wants of an endpoint."""

    url: str
    kinds: Annotated[list[str], msgspec.Meta(min_length=1, max_length=50)]
    stores: Annotated[list[str], msgspec.Meta(max_length=10_000)] | None = None
    """None: all that the asker may see."""
    identities: bool = False
    """Whether outputs name devices; without it what names one is left out."""
    occupancy_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 60.0
    """Of one place, an occupancy is sent at most so often; always the newest."""
    enabled: bool = True
    note: Annotated[str, msgspec.Meta(max_length=200)] = ""


class Secret(msgspec.Struct, frozen=True):
    """One of the secrets that sign."""

    secret: str
    until_ms: int | None = None
    """None: until it is replaced."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as it is kept."""

    id: str
    url: str
    kinds: frozenset[str]
    stores: frozenset[str] | None
    identities: bool
    occupancy_s: float
    note: str
    created_ms: int
    secrets: list[Secret]
    """Newest first."""
    disabled: str | None = None
    """Why nothing is sent."""

    def secrets_at(self, now_ms: int) -> list[str]:
        """The secrets in force."""
        return [secret.secret for secret in self.secrets if secret.until_ms is None or now_ms < secret.until_ms]


class Head(msgspec.Struct, gc=False):
    """What routing needs of an output's JSON."""

    kind: str
    store: str | None = None
    zone: str | None = None
    device: str | None = None
    id: str | None = None


_head = msgspec.json.Decoder(Head)
head_of = _head.decode


def check_body(body: EndpointBody) -> EndpointBody:
    """Refuse what cannot be heard.

    Raises:
        InvalidInputError: a kind that is none, a store that is no id, or outputs that name devices and are not to.
    """
    for kind in body.kinds:
        if kind not in KINDS:
            raise InvalidInputError(f"{kind[:64]!r} is none of {', '.join(sorted(KINDS))}", field="kinds")
    for store in body.stores or ():
        require_id(store, "stores")
    unplaced = sorted(UNPLACED & set(body.kinds))
    if unplaced and (body.stores is not None or not body.identities):
        raise InvalidInputError(
            f"{unplaced[0]!r} belongs to no store and may name a device: it needs identities, and no choice of stores",
            field="kinds",
        )
    return body


def made(body: EndpointBody, endpoint_id: str, secret: str, now_ms: int) -> Endpoint:
    """A new endpoint."""
    return Endpoint(
        id=endpoint_id,
        url=body.url,
        kinds=frozenset(body.kinds),
        stores=None if body.stores is None else frozenset(body.stores),
        identities=body.identities,
        occupancy_s=body.occupancy_s,
        note=body.note,
        created_ms=now_ms,
        secrets=[Secret(secret)],
        disabled=None if body.enabled else "switched off",
    )


def replaced(endpoint: Endpoint, body: EndpointBody) -> Endpoint:
    """The endpoint as somebody wants it now; id and secrets stay."""
    wanted = made(body, endpoint.id, "", endpoint.created_ms)
    return msgspec.structs.replace(wanted, secrets=endpoint.secrets)


def rotated(endpoint: Endpoint, secret: str, now_ms: int) -> Endpoint:
    """With a new secret; the newest of those before signs beside it for a day, older ones no more."""
    before = [msgspec.structs.replace(endpoint.secrets[0], until_ms=now_ms + OVERLAP_MS)]
    return msgspec.structs.replace(endpoint, secrets=[Secret(secret), *before])


def hears(endpoint: Endpoint, head: Head) -> bool:
    """Whether an output is for this endpoint."""
    if endpoint.disabled is not None or head.kind not in endpoint.kinds:
        return False
    return endpoint.stores is None or head.store in endpoint.stores


def form(endpoint: Endpoint, line: bytes, head: Head) -> bytes:
    """The output's JSON as this endpoint may see it: a coupon's code is money, and the shopper's alone."""
    if head.kind == "offer":
        line = without_code(line)
    return line if endpoint.identities or head.device is None else without_identity(line, head.device)
