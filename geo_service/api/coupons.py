"""Coupons at the till: locked while a basket is rung up, redeemed once, taken back; each refusal is a problem of its own type."""

import asyncio
import hashlib
import io
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import segno
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, JSONBody, SkipValidation

from geo_service.api.access import Asked, Requires, asker, require_store
from geo_service.api.problems import ProblemError
from geo_service.api.services import Services
from geo_service.catalogue.documents import Campaign, CouponTerms, Id, Store
from geo_service.catalogue.site import decode_document
from geo_service.errors import InvalidInputError
from geo_service.offers.campaigns import concerns
from geo_service.offers.coupons import LONGEST_LOCK_S, Once, Outcome, Till, plain_code, written_code
from geo_service.principals import Action, Principal
from sensors.instants import instant, millis

Ports = NamedDependency[SkipValidation[Services]]
Key = Annotated[str | None, HeaderParameter(name="Idempotency-Key", min_length=1, max_length=200)]
MOST = 500
_Amount = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
_Channel = Literal["store", "online"]

REFUSALS: dict[str, tuple[int, str, str]] = {
    "unknown": (404, "coupon-unknown", "there is no such coupon"),
    "expired": (410, "coupon-expired", "this coupon has expired"),
    "too_early": (422, "coupon-too-early", "this coupon had not been issued at that time"),
    "redeemed": (409, "coupon-redeemed", "this coupon was redeemed before"),
    "void": (410, "coupon-void", "this coupon was made void"),
    "locked": (409, "coupon-locked", "another till holds this coupon; ask again"),
    "wrong_store": (422, "coupon-wrong-store", "this coupon is not good in this store"),
    "wrong_channel": (422, "coupon-wrong-channel", "this coupon is not good in this channel"),
    "over_quota": (409, "coupon-over-quota", "as many of this campaign's coupons as there are were redeemed"),
    "not_redeemed": (409, "coupon-not-redeemed", "this coupon is not redeemed, so there is nothing to take back"),
    "key_reused": (409, "idempotency-key-reused", "this Idempotency-Key was used with another body"),
}
"""By the word of an outcome: status, type and detail of its problem."""


class Redeem(msgspec.Struct, frozen=True):
    """A coupon at a till."""

    store: Id
    channel: _Channel = "store"
    amount: _Amount | None = None
    """Of the basket, in minor units."""
    lock: str | None = None
    """What `/lock` answered."""
    skus: Annotated[list[str], msgspec.Meta(max_length=100)] = []
    """What was bought: it adds to the shopper's interests."""


class Offline(Redeem, frozen=True, kw_only=True):
    """A coupon that a till redeemed while it had no connection."""

    code: str
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    """Its Idempotency-Key."""
    time: datetime | float
    """When it was redeemed; whether it had expired is judged by this."""


class Lock(msgspec.Struct, frozen=True):
    """A till that wants to hold a coupon."""

    store: Id
    channel: _Channel = "store"
    ttl_s: Annotated[float, msgspec.Meta(ge=1, le=LONGEST_LOCK_S)] = 120


class Unlock(msgspec.Struct, frozen=True):
    """A till that lets go."""

    lock: str


class Rollback(msgspec.Struct, frozen=True):
    """A till that takes a redemption back."""

    store: Id


class Coupon(msgspec.Struct, frozen=True, omit_defaults=True):
    """A coupon as it stands."""

    state: str
    offer: str
    campaign: str
    store: str
    """Where it was offered."""
    expires: datetime
    benefit: Any = None
    redeemed_at: str | None = None
    """The store where it was redeemed."""
    redeemed: datetime | None = None
    lock: str | None = None


def coupon_of(outcome: Outcome) -> Coupon:
    """What is shown of an outcome."""
    kept = outcome.coupon
    is_redeemed = kept["state"] == "redeemed"
    return Coupon(
        state=kept["state"],
        offer=kept["offer"],
        campaign=kept["campaign"],
        store=kept["store"],
        expires=instant(int(kept["expires_ms"])),
        benefit=msgspec.json.decode(kept.get("benefit") or "null"),
        redeemed_at=kept.get("at") if is_redeemed else None,
        redeemed=instant(int(kept["redeemed_ms"])) if is_redeemed and "redeemed_ms" in kept else None,
        lock=kept["holder"] if outcome.word == "held" else None,
    )


def refused(outcome: Outcome) -> ProblemError | None:
    """The problem of an outcome; None where it is none."""
    known = REFUSALS.get(outcome.word)
    if known is None:
        return None
    status, kind, detail = known
    headers = {"Retry-After": str(max(1, -(-outcome.wait_ms // 1000)))} if outcome.word == "locked" else {}
    return ProblemError(status, detail, headers=headers, kind=kind)


class Desk:
    """What the routes share: the campaign's terms, the asker's rights, and telling the log."""

    def __init__(self, services: Services, principal: Principal) -> None:
        if services.coupons is None:
            raise ProblemError(503, "coupons are not kept here")
        self.services, self.coupons, self.principal = services, services.coupons, principal

    def till(self, code: str, body: Redeem | Lock, time_ms: int = 0) -> Till:
        """The till with the terms of the coupon's campaign; of one that is gone, with those from when it was issued."""
        require_store(self.principal, body.store)
        kept = self.coupons.find(code).coupon
        document = self.services.catalogue.get("campaign", kept["campaign"]) if "campaign" in kept else None
        document = document or kept.get("terms", "").encode()
        campaign: Campaign | None = decode_document("campaign", document) if document else None
        terms = CouponTerms() if campaign is None else campaign.coupon
        return Till(
            at=body.store,
            channel=body.channel,
            time_ms=time_ms,
            amount=-1 if not isinstance(body, Redeem) or body.amount is None else body.amount,
            lock=(body.lock or "") if isinstance(body, Redeem) else "",
            channels=terms.channel,
            everywhere=campaign is not None and terms.stores == "campaign" and self._is_of(campaign, body.store),
            quota=None if campaign is None else campaign.caps.redemptions,
        )

    def _is_of(self, campaign: Campaign, store: str) -> bool:
        document = self.services.catalogue.get("store", store)
        if document is None:
            return False
        found: Store = decode_document("store", document)
        return concerns(campaign, found)

    def once(self, what: str, key: str | None, body: object) -> Once | None:
        """The idempotency key as this asker's own, and the digest of what was asked with it."""
        if key is None:
            return None
        asked = msgspec.json.encode([what, body], order="sorted")
        return Once(self.own(key), hashlib.sha256(asked).hexdigest())

    def own(self, key: str) -> str:
        """The idempotency key as this asker's own: two credentials never share one."""
        return hashlib.sha256(f"{self.principal.kind}\n{self.principal.id}\n{key}".encode()).hexdigest()

    def redeem(self, code: str, body: Redeem, key: str | None, time_ms: int = 0) -> Outcome:
        """Redeem; what was bought with it adds to the shopper's interests."""
        plain = plain_code(code)
        once = self.once("redeem", key, [plain, body])
        outcome = self.coupons.redeem(code, self.till(code, body, time_ms), once)
        self.coupons.tell()
        if outcome.word == "done" and body.skus and not outcome.is_repeat:
            bought = [{"type": "bought", "sku": sku} for sku in body.skus]
            device = outcome.coupon["device"]
            self.services.intake.take("http:/v1/behaviour", msgspec.json.encode(bought), device=device)
        return outcome


async def _answered(work: Callable[[], Outcome]) -> Coupon:
    outcome = await asyncio.to_thread(work)
    problem = refused(outcome)
    if problem is not None:
        raise problem
    return coupon_of(outcome)


@get("/coupons/{code:str}", guards=[Requires(Action.REDEEM)], summary="How a coupon stands")
async def get_coupon(request: Asked, services: Ports, code: FromPath[str]) -> Coupon:
    """Its state: issued, locked, redeemed, rolled_back, void or expired."""
    desk = Desk(services, asker(request))
    found = await _answered(lambda: desk.coupons.find(code))
    require_store(desk.principal, found.store)
    return found


@get("/coupons/{code:str}/qr.svg", guards=[Requires(Action.PING)], summary="A coupon's QR code")
async def get_qr(request: Asked, services: Ports, code: FromPath[str]) -> Response[bytes]:
    """The code as an SVG for a till's scanner. A device gets its own coupons' only."""
    desk = Desk(services, asker(request))
    found = await asyncio.to_thread(desk.coupons.find, code)
    if found.word == "unknown" or (desk.principal.kind == "device" and found.coupon["device"] != desk.principal.id):
        raise ProblemError(404, REFUSALS["unknown"][2], kind="coupon-unknown")
    shown = written_code(plain_code(code))
    image = io.BytesIO()
    segno.make_qr(shown, error="m").save(image, kind="svg", scale=8, xmldecl=False)
    return Response(image.getvalue(), media_type="image/svg+xml")


@post("/coupons/{code:str}/lock", guards=[Requires(Action.REDEEM)], status_code=200, summary="Hold a coupon")
async def post_lock(
    request: Asked, services: Ports, code: FromPath[str], data: JSONBody[Lock], key: Key = None
) -> Coupon:
    """While a basket is rung up. The answer's `lock` goes into `redeem`; after `ttl_s` the coupon is free again.

    With an `Idempotency-Key` who did not hear the answer may ask again, and gets the same hold.
    """
    desk = Desk(services, asker(request))
    asks = "" if key is None else desk.own(key)
    return await _answered(lambda: desk.coupons.lock(code, desk.till(code, data)._replace(asks=asks), data.ttl_s))


@post("/coupons/{code:str}/unlock", guards=[Requires(Action.REDEEM)], status_code=200, summary="Let go of a coupon")
async def post_unlock(request: Asked, services: Ports, code: FromPath[str], data: JSONBody[Unlock]) -> Coupon:
    """Before its time is up; a lock that is over already changes nothing."""
    desk = Desk(services, asker(request))
    return await _answered(lambda: desk.coupons.unlock(code, data.lock))


@post("/coupons/{code:str}/redeem", guards=[Requires(Action.REDEEM)], status_code=200, summary="Redeem a coupon")
async def post_redeem(
    request: Asked, services: Ports, code: FromPath[str], data: JSONBody[Redeem], key: Key = None
) -> Coupon:
    """Once and for all. With an `Idempotency-Key` the same request gets the same answer for a day, and another body 409."""
    desk = Desk(services, asker(request))
    return await _answered(lambda: desk.redeem(code, data, key))


@post("/coupons/{code:str}/rollback", guards=[Requires(Action.REDEEM)], status_code=200, summary="Take it back")
async def post_rollback(
    request: Asked, services: Ports, code: FromPath[str], data: JSONBody[Rollback], key: Key = None
) -> Coupon:
    """By the store where it was redeemed. The coupon may be redeemed again, and its campaign's quota is asked again."""
    desk = Desk(services, asker(request))
    require_store(desk.principal, data.store)

    def work() -> Outcome:
        outcome = desk.coupons.rollback(code, data.store, desk.once("rollback", key, [plain_code(code), data]))
        desk.coupons.tell()
        return outcome

    return await _answered(work)


@post("/coupons/{code:str}/void", guards=[Requires(Action.CONFIGURE)], status_code=200, summary="Make a coupon void")
async def post_void(request: Asked, services: Ports, code: FromPath[str], key: Key = None) -> Coupon:
    """It cannot be redeemed any more; one that was redeemed is left as it is, with 409."""
    desk = Desk(services, asker(request))

    def work() -> Outcome:
        found = desk.coupons.find(code)
        if found.coupon.get("store"):
            require_store(desk.principal, found.coupon["store"])
        outcome = desk.coupons.void(code, desk.once("void", key, plain_code(code)))
        desk.coupons.tell()
        return outcome

    return await _answered(work)


class Settled(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one coupon of a batch."""

    index: int
    key: str
    status: int
    coupon: Coupon | None = None
    type: str | None = None
    detail: str | None = None


class Batch(msgspec.Struct, frozen=True):
    """What became of all of them."""

    redeemed: int
    conflicts: int
    results: list[Settled]


@post(
    "/coupons/redeem", guards=[Requires(Action.REDEEM)], status_code=200, summary="Redeem what a till redeemed offline"
)
async def post_batch(
    request: Asked,
    services: Ports,
    data: JSONBody[Annotated[list[Offline], msgspec.Meta(min_length=1, max_length=MOST)]],
) -> Batch:
    """In the order of their times, each under its own `key`, so that the whole may be sent again. A coupon that somebody else has redeemed
    meanwhile, or that was not good there and then, is a conflict: told with its type, for the retailer to settle.
    """
    desk = Desk(services, asker(request))
    for body in data:
        require_store(desk.principal, body.store)

    def work() -> Batch:
        settled = {index: _settled(desk, index, data[index]) for index in _by_time(data)}
        results = [settled[index] for index in range(len(data))]
        redeemed = sum(result.status == 200 for result in results)
        return Batch(redeemed, len(results) - redeemed, results)

    return await asyncio.to_thread(work)


def _by_time(data: Sequence[Offline]) -> list[int]:
    """The places in the order in which it happened; those without a readable time, which are refused, go last."""

    def when(index: int) -> tuple[bool, int]:
        try:
            return False, _millis(data[index].time)
        except InvalidInputError:
            return True, 0

    return sorted(range(len(data)), key=when)


def _settled(desk: Desk, index: int, body: Offline) -> Settled:
    try:
        outcome = desk.redeem(body.code, body, body.key, _millis(body.time))
    except InvalidInputError as error:
        return Settled(index, body.key, 400, detail=str(error))
    problem = refused(outcome)
    if problem is not None:
        return Settled(index, body.key, problem.status, type=problem.type, detail=str(problem))
    return Settled(index, body.key, 200, coupon_of(outcome))


def _millis(time: datetime | float) -> int:
    try:
        return max(1, millis(time))
    except ValueError as error:
        raise InvalidInputError(str(error), field="time") from error


def router(services: Services) -> Router | None:
    """The routes, where there are coupons."""
    if services.coupons is None:
        return None
    handlers = [get_coupon, get_qr, post_lock, post_unlock, post_redeem, post_rollback, post_void, post_batch]
    return Router("/", route_handlers=handlers, tags=["coupons"])
