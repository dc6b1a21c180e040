"""Credentials in, a principal out; and the guards that ask it.

`Authorization: Bearer` (any key or device token) or `Basic` with the key as password (OwnTracks and sensors know no other
way), else the session cookie. The cookie is HttpOnly and SameSite=Strict, and a request that changes something under it
must come from our own page: Sec-Fetch-Site, else Origin against Host, as Go's `http.CrossOriginProtection` does.
"""

import asyncio
import base64
import binascii
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from geo_service.api.problems import ProblemError, forbidden, too_many
from geo_service.api.services import Accounts, Services
from geo_service.errors import UnreachableError
from geo_service.principals import Action, Principal

COOKIE = "geo_session"
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_MAX_CREDENTIAL = 512

Asked = Request[Principal | None, str | None, Any]
"""A request after the middleware below."""


class AccessMiddleware:
    """Finds out who is asking; refuses credentials that are wrong, lets a request without any pass (guards decide)."""

    def __init__(self, app: ASGIApp, services: Services, requests_per_minute: int) -> None:
        self.app = app
        self._services = services
        self._requests_per_minute = requests_per_minute

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set `scope["user"]` to the Principal or None, and `scope["auth"]` to the credential."""
        scope["user"], scope["auth"] = None, None
        if scope["path"].startswith("/v1/"):
            connection: ASGIConnection[Any, Any, Any, Any] = ASGIConnection(scope)
            found = await asyncio.to_thread(self._find, connection)
            if found is not None:
                scope["user"], scope["auth"] = found
        await self.app(scope, receive, send)

    def _find(self, connection: ASGIConnection[Any, Any, Any, Any]) -> tuple[Principal, str] | None:
        accounts = self._services.accounts
        credential = credential_of(connection.headers.get("authorization"))
        if credential is not None:
            principal = accounts.identify(credential)
            if principal is None:
                raise ProblemError(401, "this key or token is not known, or no longer valid")
        else:
            credential = connection.cookies.get(COOKIE)
            principal = accounts.resume(credential) if credential and len(credential) <= _MAX_CREDENTIAL else None
            if principal is None or credential is None:
                return None
            if connection.scope["method"] not in _SAFE:  # type: ignore[typeddict-item]
                require_same_origin(connection)
        wait_s = self._services.limits.take(
            f"http:{principal.kind}:{principal.id}", limit=self._requests_per_minute, window_s=60
        )
        if wait_s > 0:
            raise too_many(wait_s)
        return principal, credential


class Recheck:
    """Asks again whether the credentials of a request still hold: a stream outlives many a session."""

    def __init__(self, accounts: Accounts, request: Asked) -> None:
        self._accounts = accounts
        self._credential = request.auth or ""
        self._principal = request.user
        self._is_session = request.headers.get("authorization") is None

    async def __call__(self) -> bool:
        """Whether the same principal with the same rights is behind them. A server that does not answer ends nothing."""
        find = self._accounts.resume if self._is_session else self._accounts.identify
        try:
            return await asyncio.to_thread(find, self._credential) == self._principal
        except UnreachableError:
            return True


def credential_of(header: str | None) -> str | None:
    """The key or token in an Authorization header: Bearer, or the password of Basic.

    Raises:
        ProblemError: 401, the header is neither.
    """
    if header is None:
        return None
    scheme, _, value = header.partition(" ")
    value = value.strip()
    if scheme.lower() == "basic":
        value = _basic(value)[1]
    elif scheme.lower() != "bearer":
        raise ProblemError(401, "Authorization must be Bearer, or Basic with the key as password")
    if not 0 < len(value) <= _MAX_CREDENTIAL or not value.isascii() or not value.isprintable():
        raise ProblemError(401, "the Authorization header holds no key or token")
    return value


def basic_user(header: str | None) -> str | None:
    """The user name of a Basic header, where there is one."""
    scheme, _, value = (header or "").partition(" ")
    return _basic(value.strip())[0] or None if scheme.lower() == "basic" else None


def _basic(value: str) -> tuple[str, str]:
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise ProblemError(401, "the Basic credentials are not base64 of user:password") from error
    return user, password


def require_same_origin(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    """Refuse what another site's page made this browser send.

    Raises:
        ProblemError: 403, it came from elsewhere.
    """
    site = connection.headers.get("sec-fetch-site")
    if site is not None:
        if site not in {"same-origin", "none"}:
            raise forbidden("this request came from another site")
        return
    origin = connection.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != connection.headers.get("host"):
        raise forbidden("this request came from another site")


class Requires:
    """A guard: the asker must be known and allowed this action."""

    def __init__(self, action: Action) -> None:
        self.action = action

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        """Raise the 401 or 403."""
        principal: Principal | None = connection.scope["user"]
        if principal is None:
            raise ProblemError(401, "log in, or send a key: Authorization: Bearer …")
        if not principal.may(self.action):
            raise forbidden(f"{_named(principal)} may not {self.action.value!r}")


def _named(principal: Principal) -> str:
    return f"the role {principal.role}" if principal.role else f"this {principal.kind} key or token"


def asker(request: Asked) -> Principal:
    """Who is asking, behind a `Requires` guard."""
    principal = request.user
    if principal is None:
        raise ProblemError(401, "log in, or send a key: Authorization: Bearer …")
    return principal


def require_store(principal: Principal, store: str | None) -> None:
    """Refuse what is outside the asker's stores.

    Raises:
        ProblemError: 403.
    """
    if not principal.sees(store):
        raise forbidden(
            "this is outside the stores you may see" if store is None else f"not one of your stores: {store!r}"
        )
