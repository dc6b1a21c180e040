"""What phones and sensors send over HTTP: the same bodies as over MQTT, into the same log.

A 202 means what a broker's acknowledgement means: it is in the log.
"""

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import Response, Router, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, HeaderParameter, RawBody, SkipValidation

from geo_service.api.access import Asked, Requires, asker, basic_user, require_store
from geo_service.api.bodies import json_body
from geo_service.api.problems import FieldError, Problem, ProblemError, forbidden, not_found
from geo_service.api.services import Accepted, Services
from geo_service.catalogue.site import decode_document
from geo_service.ids import is_id, require_id
from geo_service.principals import Action, Principal

MAX_PINGS = 500
Ports = NamedDependency[SkipValidation[Services]]
_REFUSED = {400: ResponseSpec(Problem, description="nothing of it could be used; `errors` says why")}


class Taken(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a body."""

    accepted: int
    """Pings or readings that are in the log."""
    rejected: list[FieldError]
    dropped: int = 0
    """Pings that were understood and not kept: their person does not agree, or nobody may be followed there."""


class _Named(msgspec.Struct, gc=False):
    device: Any = None


class _Message(msgspec.Struct, gc=False, rename={"type": "_type"}):
    type: str


_message = msgspec.json.Decoder(_Message)
_devices = msgspec.json.Decoder(list[_Named] | _Named)


def answer(taken: Accepted) -> Taken:
    """The reply to a body of which something was taken.

    Raises:
        ProblemError: 400, nothing was.
    """
    errors = [FieldError(problem.reason, problem.field, problem.index) for problem in taken.problems]
    if taken.accepted == 0 and errors:
        first = errors[0]
        said = f"{first.field}: {first.reason}" if first.field else first.reason
        raise ProblemError(400, said if len(errors) == 1 else f"{said} (and {len(errors) - 1} more)", errors=errors)
    return Taken(taken.accepted, errors, taken.dropped)


async def take_of_store(services: Services, store: str, about: str, payload: bytes) -> Taken:
    """Put into the log what somebody says of a store.

    Raises:
        ProblemError: 404, there is no such store; 400, it cannot be used.
    """

    def take() -> Accepted:
        if services.catalogue.get("store", store) is None:
            raise not_found("store", store)
        return services.intake.take(f"http:/v1/stores/{store}/{about}", payload)

    return answer(await asyncio.to_thread(take))


def require_own_pings(body: bytes, device: str) -> None:
    """Refuse a device's token under another device's pings: all of the body, before any of it is taken.

    Raises:
        ProblemError: 403. A body that cannot be read passes: the border says better what is wrong with it.
    """
    try:
        found = _devices.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    for index, ping in enumerate(found if isinstance(found, list) else [found]):
        if ping.device is not None and ping.device != device:
            reason = f"this token speaks for {device!r} only"
            raise ProblemError(403, reason, errors=[FieldError(reason, "device", index)])


@post(
    "/pings",
    guards=[Requires(Action.PING)],
    status_code=202,
    summary="Send location pings",
    responses=_REFUSED,
    operation_class=json_body(
        f"One ping, or a list of up to {MAX_PINGS}. With a device's token, `device` may be left out.",
        {"device": "phone-1", "time": "2026-03-01T12:00:00Z", "lat": 60.17, "lon": 24.94, "accuracy_m": 8},
    ),
)
async def post_pings(request: Asked, body: RawBody, services: Ports) -> Taken:
    """202 once they are in the log. A list is taken ping by ping; `rejected` names those that were not, and why."""
    principal = asker(request)
    device = principal.id if principal.kind == "device" else None
    if device is not None:
        require_own_pings(body, device)
    return answer(await asyncio.to_thread(services.intake.take, "http:/v1/pings", body, device=device))


@post(
    "/owntracks",
    guards=[Requires(Action.PING)],
    status_code=200,
    summary="OwnTracks in HTTP mode",
    responses=_REFUSED,
    operation_class=json_body(
        "An OwnTracks message as the app sends it; an empty body is ignored.",
        {"_type": "location", "lat": 60.17, "lon": 24.94, "tst": 1772366400, "acc": 8},
    ),
)
async def post_owntracks(
    request: Asked,
    body: RawBody,
    services: Ports,
    u: FromQuery[str | None] = None,
    d: FromQuery[str | None] = None,
    limit_u: Annotated[str | None, HeaderParameter(name="X-Limit-U")] = None,
    limit_d: Annotated[str | None, HeaderParameter(name="X-Limit-D")] = None,
) -> Response[list[dict[str, Any]]]:
    """The reply is the list of messages for the phone; the device's id is `{user}.{device}`.

    A phone keeps sending what was not answered with 200, and sends nothing else meanwhile. So an OwnTracks message that
    cannot be used is answered with 200 too, the reason in `X-Rejected`; it is counted and reported as any other.
    """
    user = limit_u or u or basic_user(request.headers.get("authorization"))
    device = owntracks_device(asker(request), user, limit_d or d)
    if not body.strip():
        return Response([])
    taken = await asyncio.to_thread(services.intake.take, "http:/v1/owntracks", body, device=device)
    if not taken.problems or not _would_wedge_the_phone(body):
        answer(taken)
        return Response([])
    problem = taken.problems[0]
    reason = f"{problem.field}: {problem.reason}" if problem.field else problem.reason
    return Response([], headers={"X-Rejected": " ".join(reason.encode("ascii", "replace").decode().split())})


def _would_wedge_the_phone(body: bytes) -> bool:
    """Whether this is OwnTracks speaking, and not in a way that a person must mend (a passphrase set in the app)."""
    try:
        said = _message.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return said.type != "encrypted"


def owntracks_device(principal: Principal, user: str | None, name: str | None) -> str:
    """Whose fix this is: `{user}.{device}`; a device's token must be that device's, or leave it to the token.

    Raises:
        InvalidInputError: nobody said whose.
        ProblemError: 403, another device's token.
    """
    said = f"{user}.{name}" if user and name else name
    if principal.kind == "device":
        if said is not None and principal.id not in {said, name}:
            raise forbidden(f"this token speaks for {principal.id!r} only, not {said!r}")
        return principal.id
    if not (user and name):
        raise ProblemError(400, "say whose it is: X-Limit-U and X-Limit-D, or ?u=…&d=…")
    return require_id(f"{user}.{name}", "X-Limit-U, X-Limit-D")


@post(
    "/sensors/{key:str}",
    guards=[Requires(Action.SENSE)],
    status_code=202,
    summary="Send a sensor's readings",
    responses=_REFUSED,
    operation_class=json_body("The sensor's own format, as its document in the catalogue says.", {"in": 3, "out": 1}),
)
async def post_sensor(request: Asked, body: RawBody, services: Ports, key: FromPath[str]) -> Taken:
    """202 once they are in the log."""

    def take() -> Accepted:
        document = services.catalogue.get("sensor", key) if is_id(key) else None
        if document is None:
            raise not_found("sensor", key)
        require_store(asker(request), decode_document("sensor", document).store)
        return services.intake.take(f"http:/v1/sensors/{key}", body)

    return answer(await asyncio.to_thread(take))


def router() -> Router:
    """The routes."""
    return Router("/", route_handlers=[post_pings, post_owntracks, post_sensor], tags=["phones and sensors"])
