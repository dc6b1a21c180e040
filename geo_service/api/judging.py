"""A document that somebody sends, judged as it would be on import: beside the documents it names."""

from collections.abc import Collection
from typing import NamedTuple

import msgspec

from geo_service.api.documents import Catalogue
from geo_service.api.problems import FieldError, ProblemError
from geo_service.catalogue.check import check_document
from geo_service.catalogue.documents import Campaign, Document, Fence, Policy, Sensitive, Sensor
from geo_service.catalogue.site import TYPES, Kind, Site, decode_document, fence_of_feature, sensitive_of_feature
from geo_service.catalogue.strays import strays
from geo_service.decoding import convert, decode_json
from geo_service.errors import InvalidInputError

_json = msgspec.json.Decoder(dict[str, object])
_PAGE = 1_000


class Sent(NamedTuple):
    """A document as it was sent."""

    document: Document
    ignored: list[FieldError]
    """What of it was ignored, and hardly meant to be."""


def read_document(kind: Kind, key: str, body: bytes) -> Sent:
    """The body as a document; its id may be left out, and must else be the path's. A fence may be a GeoJSON Feature.

    Raises:
        InvalidInputError: what is wrong, and in which field.
    """
    fields = decode_json(_json, body)
    if fields.setdefault("id", key) != key:
        raise InvalidInputError(f"is {str(fields['id'])[:64]!r} but the path says {key!r}", field="id")
    return Sent(_document(kind, fields), [_field_error(reason) for reason in strays(fields, TYPES[kind])])


def _document(kind: Kind, fields: dict[str, object]) -> Document:
    if kind == "fence" and fields.get("type") == "Feature":
        return fence_of_feature(fields)
    if kind == "sensitive" and fields.get("type") == "Feature":
        return sensitive_of_feature(fields)
    return convert(fields, TYPES[kind])


def judge(kind: Kind, key: str, document: Document, catalogue: Catalogue) -> list[FieldError]:
    """The warnings about a document.

    Raises:
        ProblemError: 400, with every error that was found.
    """
    found = check_document(_surroundings(kind, key, document, catalogue), kind, key)
    errors = [_field_error(problem.reason) for problem in found if problem.severity == "error"]
    if errors:
        first = errors[0]
        detail = f"{first.field}: {first.reason}" if first.field else first.reason
        raise ProblemError(400, detail, errors=errors)
    return [_field_error(problem.reason) for problem in found]


def _field_error(said: str) -> FieldError:
    field, colon, reason = said.partition(": ")
    return FieldError(reason, field) if colon else FieldError(said)


def _surroundings(kind: Kind, key: str, document: Document, catalogue: Catalogue) -> Site:
    """A site of the document and of what it is judged by."""
    site = Site()
    if isinstance(document, Fence):
        _load(site, catalogue, "store", [document.store] if document.store else [])
        _load_all(site, catalogue, "sensitive")
    elif isinstance(document, Sensitive):
        _load_all(site, catalogue, "fence")
    elif isinstance(document, Sensor):
        _load(site, catalogue, "store", [document.store])
        _load_all(site, catalogue, "sensor")  # no two may share a topic
    elif isinstance(document, Policy):
        _load_stores_of(site, catalogue, document)
    elif isinstance(document, Campaign):
        _load_stores_of(site, catalogue, document)
        _load_fences_of(site, catalogue)  # can any of them make it speak?
        skus = [*document.skus, *(sku for sku in (document.benefit.get("sku"),) if isinstance(sku, str))]
        if skus:
            any_product = [sku for sku, _ in catalogue.page("product", None, 1)]
            _load(site, catalogue, "product", [*skus, *any_product])
    site.of(kind)[key] = document
    return site


def _load_fences_of(site: Site, catalogue: Catalogue) -> None:
    """The fences of the stores that are there: of a hundred thousand only those are read as a whole."""
    after: str | None = None
    while page := catalogue.page("fence", after, _PAGE):
        for after, document in page:
            if owners_of(document).store in site.store:
                site.fence[after] = decode_document("fence", document)


def _load_stores_of(site: Site, catalogue: Catalogue, document: Campaign | Policy) -> None:
    if document.tags or not document.stores:
        _load_all(site, catalogue, "store")
    else:
        _load(site, catalogue, "store", document.stores)


def _load(site: Site, catalogue: Catalogue, kind: Kind, keys: list[str]) -> None:
    for key in keys:
        document = catalogue.get(kind, key)
        if document is not None:
            site.of(kind)[key] = decode_document(kind, document)


def _load_all(site: Site, catalogue: Catalogue, kind: Kind) -> None:
    after: str | None = None
    while page := catalogue.page(kind, after, _PAGE):
        for after, document in page:
            site.of(kind)[after] = decode_document(kind, document)


def require_stores(named: Collection[str], catalogue: Catalogue) -> None:
    """Refuse stores that do not exist, as the documents that name one are refused.

    Raises:
        InvalidInputError: the first of them, for the field `stores`.
    """
    missing, after = set(named), None
    while missing and (page := catalogue.page("store", after, _PAGE)):
        missing.difference_update(key for key, _ in page)
        after = page[-1][0]
    if missing:
        first = next(store for store in named if store in missing)
        raise InvalidInputError(f"there is no store {first!r}", field="stores")


def references_to(store: str, catalogue: Catalogue, limit: int = 5) -> list[str]:
    """What names this store, as `fence x`, up to `limit` of them."""
    found: list[str] = []
    for kind in ("fence", "sensor", "campaign", "stock"):
        after: str | None = None
        while page := catalogue.page(kind, after, _PAGE):
            for after, document in page:
                if names_store(_owners.decode(document), store):
                    found.append(f"{kind} {after}")
                    if len(found) == limit:
                        return found
    return found


class Owners(msgspec.Struct):
    """The stores that a document belongs to."""

    store: str | None = None
    stores: list[str] = []


_owners = msgspec.json.Decoder(Owners)
owners_of = _owners.decode


def names_store(owners: Owners, store: str) -> bool:
    """Whether the document belongs to this store by name."""
    return owners.store == store or store in owners.stores
