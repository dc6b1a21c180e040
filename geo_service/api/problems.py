"""How an error looks: RFC 9457 problem details, one shape for all.

`{"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "…", "errors": [{"index", "field", "reason"}]}`.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from geo_service.errors import InvalidInputError, UnreachableError

MEDIA_TYPE = "application/problem+json"
_log = structlog.get_logger(__name__)


class FieldError(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong with what was sent."""

    reason: str
    field: str | None = None
    index: int | None = None
    """Place in the list that was sent."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    """`urn:geo-service:…` where a program may want to tell this from others of its status."""
    title: str
    status: int
    detail: str | None = None
    errors: list[FieldError] = []


class ProblemError(Exception):
    """An answer that is a problem."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: dict[str, str] | None = None,
        kind: str | None = None,
    ) -> None:
        """`kind`: the last part of the problem's type, where it has one of its own."""
        self.status = status
        self.type = "about:blank" if kind is None else f"urn:geo-service:{kind}"
        self.detail = detail
        self.errors = list(errors)
        self.headers = headers or {}
        super().__init__(detail)


def forbidden(detail: str) -> ProblemError:
    """403: known, and not allowed."""
    return ProblemError(HTTPStatus.FORBIDDEN, detail)


def not_found(noun: str, key: str) -> ProblemError:
    """404: there is no such thing, or none that the asker may know of."""
    return ProblemError(HTTPStatus.NOT_FOUND, f"there is no {noun} {key!r}")


def too_many(retry_after_s: float) -> ProblemError:
    """429, with the time after which to try again."""
    seconds = max(1, round(retry_after_s + 0.5))
    return ProblemError(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"too many requests; try again in {seconds} s",
        headers={"Retry-After": str(seconds)},
    )


def _answer(
    status: int,
    detail: str | None,
    errors: list[FieldError] | None = None,
    headers: dict[str, str] | None = None,
    type_: str = "about:blank",
) -> Response[Problem]:
    body = Problem(type=type_, title=HTTPStatus(status).phrase, status=status, detail=detail, errors=errors or [])
    extra = dict(headers or {})
    if status == HTTPStatus.UNAUTHORIZED:
        extra.setdefault("WWW-Authenticate", 'Bearer realm="geo-service"')
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers=extra)


def _problem(_: Request[Any, Any, Any], error: ProblemError) -> Response[Problem]:
    return _answer(error.status, error.detail, error.errors, error.headers, error.type)


def _invalid(_: Request[Any, Any, Any], error: InvalidInputError) -> Response[Problem]:
    return _answer(HTTPStatus.BAD_REQUEST, str(error), [FieldError(error.reason, error.field)])


def _route(request: Request[Any, Any, Any]) -> str:
    """The path as the route is declared: what was asked for may be a coupon's code or a person's id, and logs are kept."""
    return str(request.scope.get("path_template") or "unknown")


def _unreachable(request: Request[Any, Any, Any], error: UnreachableError) -> Response[Problem]:
    _log.warning("server unreachable", route=_route(request), server=error.server, reason=error.reason)
    return _answer(
        HTTPStatus.SERVICE_UNAVAILABLE, f"{error.server} does not answer; try again", headers={"Retry-After": "5"}
    )


def _http(_: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    errors: list[FieldError] = []
    if isinstance(error.extra, list):
        errors = [
            FieldError(str(item.get("message", "is wrong")), item.get("key"))
            for item in error.extra
            if isinstance(item, dict)
        ]
    detail = error.detail if error.detail != HTTPStatus(error.status_code).phrase else None
    return _answer(error.status_code, detail, errors, error.headers)


def _unforeseen(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    _log.error("request failed", route=_route(request), method=request.method, exc_info=error)
    return _answer(HTTPStatus.INTERNAL_SERVER_ERROR, "an error of ours; it has been logged")


HANDLERS: dict[Any, Any] = {
    ProblemError: _problem,
    InvalidInputError: _invalid,
    UnreachableError: _unreachable,
    HTTPException: _http,
    Exception: _unforeseen,
}
"""For `Litestar(exception_handlers=…)`."""
