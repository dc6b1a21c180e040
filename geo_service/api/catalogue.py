"""The catalogue: stores, fences, sensors and campaigns, read and changed one by one.

Every change goes through the log: it counts from its entry on, for every worker alike.
"""

import asyncio
from typing import Annotated, Any, NamedTuple

import msgspec
from litestar import Response, Router, delete, get, put
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, QueryParameter, RawBody, SkipValidation

from geo_service.api.access import Asked, Requires, asker
from geo_service.api.bodies import json_body
from geo_service.api.documents import StoredDocument
from geo_service.api.judging import judge, owners_of, read_document, references_to
from geo_service.api.problems import FieldError, Problem, ProblemError, forbidden, not_found
from geo_service.api.services import Services
from geo_service.api.versions import ALWAYS, Condition, IfMatch, IfNoneMatch, conflict, etag
from geo_service.catalogue.site import GEOJSON, Kind, decode_document, encode_document, feature_of_fence
from geo_service.errors import VersionConflictError
from geo_service.flow.sensing import status_name
from geo_service.ids import is_id, require_id
from geo_service.principals import Action, Principal

Ports = NamedDependency[SkipValidation[Services]]
_PAGE = 200


class Resource(NamedTuple):
    """One kind of document in the API."""

    path: str
    kind: Kind
    example: dict[str, Any]


RESOURCES = (
    Resource(
        "stores",
        "store",
        {
            "name": "Harbour Street",
            "timezone": "Europe/Helsinki",
            "lat": 60.17,
            "lon": 24.94,
            "hours": {"mon": [["09:00", "21:00"]]},
            "capacity": {"comfort": 80, "legal": 120},
        },
    ),
    Resource(
        "fences",
        "fence",
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [24.94, 60.17]},
            "properties": {"radius_m": 60, "store": "harbour", "role": "store"},
        },
    ),
    Resource(
        "sensitive-places",
        "sensitive",
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [24.95, 60.17]},
            "properties": {"radius_m": 80, "name": "Clinic"},
        },
    ),
    Resource("sensors", "sensor", {"store": "harbour", "format": "native", "role": "door"}),
    Resource(
        "campaigns",
        "campaign",
        {"name": "Coffee", "stores": ["harbour"], "trigger": {"role": "near", "type": "enter"}},
    ),
    Resource("policies", "policy", {"stores": ["harbour"], "quiet": {"sun": [["00:00", "10:00"]]}}),
)


class Page(msgspec.Struct, frozen=True):
    """Some documents, and how to get the next."""

    items: list[dict[str, Any]]
    next: str | None
    """The `cursor` of the next page; null at the end."""


class Saved(msgspec.Struct, frozen=True):
    """A document is in force."""

    id: str
    warnings: list[FieldError]
    """What is odd about it, though it was taken."""


def may_read(principal: Principal, kind: Kind, key: str, document: bytes) -> bool:
    """Whether a document is within the asker's stores; a campaign for no store in particular concerns everybody."""
    if principal.stores is None or kind == "store":
        return principal.sees(key)
    owners = owners_of(document)
    if kind in {"campaign", "policy"}:
        return not owners.stores or any(principal.sees(store) for store in owners.stores)
    return principal.sees(owners.store)


def may_write(principal: Principal, kind: Kind, key: str, document: bytes) -> bool:
    """Whether all that the document concerns is within the asker's stores."""
    if principal.stores is None or kind == "store":
        return principal.sees(key)
    owners = owners_of(document)
    if kind in {"campaign", "policy"}:
        return bool(owners.stores) and all(principal.sees(store) for store in owners.stores)
    return principal.sees(owners.store)


def rendered(kind: Kind, document: bytes) -> bytes:
    """A document as the API shows it: as a site's file holds it, fences as GeoJSON Features."""
    return msgspec.json.encode(feature_of_fence(decode_document(kind, document))) if kind in GEOJSON else document


def find(services: Services, principal: Principal, kind: Kind, key: str) -> StoredDocument:
    """A document that the asker may see.

    Raises:
        ProblemError: 404, or 403 where it belongs to other stores.
    """
    stored = services.catalogue.find(kind, key) if is_id(key) else None
    if stored is None:
        raise not_found(kind, key)
    if not may_read(principal, kind, key, stored.document):
        raise forbidden(f"the {kind} {key!r} is outside your stores")
    return stored


def page_of(
    services: Services, principal: Principal, kind: Kind, cursor: str | None, limit: int
) -> tuple[list[bytes], str | None]:
    """The documents after a cursor that the asker may see, and the next cursor."""
    found: list[tuple[str, bytes]] = []
    after = cursor
    while len(found) <= limit:
        page = services.catalogue.page(kind, after, max(_PAGE, limit + 1))
        if not page:
            break
        found += [(key, document) for key, document in page if may_read(principal, kind, key, document)]
        after = page[-1][0]
    shown = found[:limit]
    following = shown[-1][0] if len(found) > limit else None
    return told(services, kind, [(key, rendered(kind, document)) for key, document in shown]), following


def told(services: Services, kind: Kind, documents: list[tuple[str, bytes]]) -> list[bytes]:
    """Documents with what is known of the things themselves: of a sensor its `status` (null: none yet)."""
    if kind != "sensor":
        return [document for _, document in documents]
    statuses = services.current.named([status_name(key) for key, _ in documents])
    return [
        document[:-1] + b',"status":' + statuses.get(status_name(key), b"null") + b"}" for key, document in documents
    ]


class Done(NamedTuple):
    """What came of writing a document."""

    saved: Saved
    is_new: bool
    version: int


def save(
    services: Services, principal: Principal, kind: Kind, key: str, body: bytes, condition: Condition = ALWAYS
) -> Done:
    """Judge and write a document.

    Raises:
        ProblemError: 400, 403, or 412 where it is not as the condition says.
        InvalidInputError: it cannot be read.
    """
    require_id(key, "id")
    document, ignored = read_document(kind, key, body)
    encoded = encode_document(document)
    before = services.catalogue.find(kind, key)
    versions = [encoded] if before is None else [before.document, encoded]
    if not all(may_write(principal, kind, key, version) for version in versions):
        raise forbidden(f"the {kind} {key!r} is outside your stores")
    expected = condition.expected(kind, key, before.version if before else 0)
    warnings = ignored + judge(kind, key, document, services.catalogue)
    try:
        written = services.catalogue.put(kind, key, encoded, expected=expected)
    except VersionConflictError as error:
        raise conflict(error) from error
    return Done(Saved(key, warnings), written.is_new, written.version)


def remove(services: Services, principal: Principal, kind: Kind, key: str, condition: Condition = ALWAYS) -> None:
    """Remove a document.

    Raises:
        ProblemError: 404, 403, 409 where others name it, or 412 where it is not as the condition says.
    """
    stored = find(services, principal, kind, key)
    if not may_write(principal, kind, key, stored.document):
        raise forbidden(f"the {kind} {key!r} is not only your stores'")
    expected = condition.expected(kind, key, stored.version)
    if kind == "store" and (names := references_to(key, services.catalogue)):
        raise ProblemError(409, f"the store is still named by {', '.join(names)}; remove or change those first")
    try:
        if not services.catalogue.remove(kind, key, expected=expected):
            raise not_found(kind, key)
    except VersionConflictError as error:
        raise conflict(error) from error


def _json(body: bytes, kind: Kind, version: int) -> Response[bytes]:
    media_type = "application/geo+json" if kind in GEOJSON else "application/json"
    return Response(body, media_type=media_type, headers={"ETag": etag(version)})


_CHANGED = ResponseSpec(Problem, description="the document is not of the version that `If-Match` names")


def _to_read(resource: Resource) -> list[Any]:
    kind = resource.kind
    plural, one = f"/{resource.path}", f"/{resource.path}/{{key:str}}"

    @get(
        plural,
        guards=[Requires(Action.READ)],
        summary=f"List {resource.path}",
        operation_id=f"list_{resource.path.replace('-', '_')}",
        responses={200: ResponseSpec(Page, description="a page, by id")},
    )
    async def get_page(
        request: Asked,
        services: Ports,
        cursor: Annotated[str | None, QueryParameter(max_length=200)] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
    ) -> Response[bytes]:
        items, following = await asyncio.to_thread(page_of, services, asker(request), kind, cursor, limit)
        body = b'{"items":[' + b",".join(items) + b'],"next":' + msgspec.json.encode(following) + b"}"
        return Response(body, media_type="application/json")

    @get(one, guards=[Requires(Action.READ)], summary=f"One {kind}", operation_id=f"get_{kind}")
    async def get_one(request: Asked, services: Ports, key: FromPath[str]) -> Response[bytes]:
        """With an `ETag`, for `If-Match` when it is written back."""

        def read() -> tuple[bytes, int]:
            stored = find(services, asker(request), kind, key)
            return told(services, kind, [(key, rendered(kind, stored.document))])[0], stored.version

        body, version = await asyncio.to_thread(read)
        return _json(body, kind, version)

    return [get_page, get_one]


def _to_write(resource: Resource) -> list[Any]:
    kind, one = resource.kind, f"/{resource.path}/{{key:str}}"

    @put(
        one,
        guards=[Requires(Action.CONFIGURE)],
        summary=f"Create or replace a {kind}",
        operation_id=f"put_{kind}",
        operation_class=json_body(f"The {kind} as a site's files hold it.", resource.example),
        responses={
            201: ResponseSpec(Saved, description="created"),
            400: ResponseSpec(Problem, description="refused; `errors` names each field"),
            412: _CHANGED,
        },
    )
    async def put_one(
        request: Asked,
        services: Ports,
        key: FromPath[str],
        body: RawBody,
        if_match: IfMatch = None,
        if_none_match: IfNoneMatch = None,
    ) -> Response[Saved]:
        """`If-Match` with the `ETag` that was read refuses to overwrite what somebody else has changed since (412);
        `If-None-Match: *` creates only. Without either, the last one to write wins.
        """
        condition = Condition(if_match, if_none_match)
        done = await asyncio.to_thread(save, services, asker(request), kind, key, body, condition)
        return Response(done.saved, status_code=201 if done.is_new else 200, headers={"ETag": etag(done.version)})

    @delete(
        one,
        guards=[Requires(Action.CONFIGURE)],
        summary=f"Remove a {kind}",
        operation_id=f"delete_{kind}",
        responses={412: _CHANGED},
    )
    async def delete_one(request: Asked, services: Ports, key: FromPath[str], if_match: IfMatch = None) -> None:
        """`If-Match` as when it is written."""
        await asyncio.to_thread(remove, services, asker(request), kind, key, Condition(if_match))

    return [put_one, delete_one]


def router() -> Router:
    """The routes of every kind."""
    handlers = [handler for resource in RESOURCES for handler in (*_to_read(resource), *_to_write(resource))]
    return Router("/", route_handlers=handlers, tags=["catalogue"])
