"""A person's login: a session in a cookie that no script can read and no other site can send."""

import asyncio

import msgspec
from litestar import Response, Router, delete, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import JSONBody, SkipValidation

from geo_service.api.access import COOKIE, Asked, asker, require_same_origin
from geo_service.api.problems import ProblemError, too_many
from geo_service.api.services import Services
from geo_service.principals import Principal, Role, Session

Ports = NamedDependency[SkipValidation[Services]]
_LOGINS_PER_NAME = 10
_LOGINS_PER_PLACE = 50
_WINDOW_S = 300.0
_MAX_FIELD = 256


class Login(msgspec.Struct, frozen=True):
    """Who, and the proof."""

    name: str
    password: str


class Person(msgspec.Struct, frozen=True):
    """Who is logged in."""

    name: str
    role: Role | None
    stores: list[str] | None
    """null: every store."""


def _person(principal: Principal) -> Person:
    return Person(principal.id, principal.role, None if principal.stores is None else sorted(principal.stores))


def _cookie(request: Asked, value: str, max_age: int) -> Cookie:
    return Cookie(
        key=COOKIE,
        value=value,
        max_age=max_age,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


@post("/session", status_code=201, summary="Log in")
async def post_session(request: Asked, services: Ports, data: JSONBody[Login]) -> Response[Person]:
    """Sets the session cookie. Wrong names and wrong passwords are told apart by nobody."""
    require_same_origin(request)
    where = request.client.host if request.client else "unknown"

    def log_in() -> Session | None:
        if len(data.name) > _MAX_FIELD or len(data.password) > _MAX_FIELD:
            return None
        for key, limit in ((f"login:{where}", _LOGINS_PER_PLACE), (f"login:{where}:{data.name}", _LOGINS_PER_NAME)):
            wait_s = services.limits.take(key, limit=limit, window_s=_WINDOW_S)
            if wait_s > 0:
                raise too_many(wait_s)
        return services.accounts.log_in(data.name, data.password)

    session = await asyncio.to_thread(log_in)
    if session is None:
        raise ProblemError(401, "the name or the password is wrong")
    return Response(_person(session.principal), cookies=[_cookie(request, session.token, session.lifetime_s)])


@get("/session", summary="Who is logged in")
async def get_session(request: Asked) -> Person:
    """401 where nobody is, or the request came with a key."""
    principal = asker(request)
    if principal.kind != "person":
        raise ProblemError(401, "this is a key, not a person's session")
    return _person(principal)


@delete("/session", status_code=204, summary="Log out")
async def delete_session(request: Asked, services: Ports) -> Response[None]:
    """Ends the session here and in every tab that shares it."""
    principal = request.user
    if principal is not None and principal.kind == "person" and request.auth is not None:
        await asyncio.to_thread(services.accounts.log_out, request.auth)
    return Response(None, status_code=204, cookies=[_cookie(request, "", 0)])


def router() -> Router:
    """The routes; open to all, each says itself who may pass."""
    return Router("/", route_handlers=[post_session, get_session, delete_session], tags=["session"])
