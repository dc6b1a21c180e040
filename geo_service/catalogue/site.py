"""A site: everything a retailer configures, read from a folder, judged as a whole, written back.

Reading never stops at the first fault: a site of thousands of rows is mended from one list of problems.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from geo_service.catalogue.documents import (
    Campaign,
    Document,
    Fence,
    Policy,
    Problem,
    Product,
    Sensitive,
    Sensor,
    StockLevel,
    Store,
)
from geo_service.catalogue.strays import strays
from geo_service.decoding import convert
from geo_service.errors import InvalidInputError

Shaped = TypeVar("Shaped", Fence, Sensitive)
Kind = Literal["store", "fence", "sensitive", "sensor", "campaign", "policy", "product", "stock"]
TYPES: dict[Kind, type[Document]] = {
    "store": Store,
    "fence": Fence,
    "sensitive": Sensitive,
    "sensor": Sensor,
    "campaign": Campaign,
    "policy": Policy,
    "product": Product,
    "stock": StockLevel,
}
FILES: dict[Kind, str] = {
    "store": "stores.json",
    "fence": "fences.geojson",
    "sensitive": "sensitive.geojson",
    "sensor": "sensors.json",
    "campaign": "campaigns.json",
    "policy": "policies.json",
    "product": "products.json",
    "stock": "stock.json",
}
GEOJSON: frozenset[Kind] = frozenset(("fence", "sensitive"))
"""Kinds whose files are GeoJSON."""


def key_of(kind: Kind, document: Document) -> str:
    """The id under which a document of this kind is kept; stock has one per store and product."""
    if kind == "stock":
        return f"{document.store}/{document.sku}"  # type: ignore[attr-defined]
    return str(document.sku if kind == "product" else document.id)  # type: ignore[attr-defined]


class Site(msgspec.Struct):
    """The documents, by kind and id, in the order of the files."""

    store: dict[str, Store] = {}
    fence: dict[str, Fence] = {}
    sensitive: dict[str, Sensitive] = {}
    sensor: dict[str, Sensor] = {}
    campaign: dict[str, Campaign] = {}
    policy: dict[str, Policy] = {}
    product: dict[str, Product] = {}
    stock: dict[str, StockLevel] = {}

    def of(self, kind: Kind) -> dict[str, Any]:
        """The documents of one kind by id."""
        documents: dict[str, Any] = getattr(self, kind)
        return documents

    def documents(self) -> Iterator[tuple[Kind, str, Document]]:
        """All, stores first, so that whatever names a store comes after it."""
        for kind in TYPES:
            for key, document in self.of(kind).items():
                yield kind, key, document


def encode_document(document: Document) -> bytes:
    """Canonical JSON: equal documents are equal bytes."""
    return msgspec.json.encode(document, order="sorted")


_DECODERS: dict[Kind, msgspec.json.Decoder[Any]] = {kind: msgspec.json.Decoder(type_) for kind, type_ in TYPES.items()}


def decode_document(kind: Kind, data: bytes) -> Any:
    """The Struct of `encode_document`'s bytes."""
    return _DECODERS[kind].decode(data)


def fence_of_feature(feature: Any) -> Fence:
    """A GeoJSON Feature as a fence; see `document_of_feature`."""
    return document_of_feature(feature, Fence)


def sensitive_of_feature(feature: Any) -> Sensitive:
    """A GeoJSON Feature as a sensitive place; see `document_of_feature`."""
    return document_of_feature(feature, Sensitive)


def document_of_feature(feature: Any, type_: type[Shaped]) -> Shaped:
    """A GeoJSON Feature as a document: id and properties beside the geometry as written.

    Raises:
        InvalidInputError: not a Feature, or properties that do not fit.
    """
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        raise InvalidInputError("is not a GeoJSON Feature")
    properties = feature.get("properties") or {}
    if not isinstance(properties, dict):
        raise InvalidInputError("must be an object", field="properties")
    fields = {name: value for name, value in properties.items() if name in type_.__struct_fields__}
    fields["id"] = feature.get("id", properties.get("id"))
    fields["geometry"] = feature.get("geometry")
    if fields["geometry"] is None:
        raise InvalidInputError("is missing or null", field="geometry")
    return convert(fields, type_)


def feature_of_fence(fence: Fence | Sensitive) -> dict[str, Any]:
    """The GeoJSON Feature that `document_of_feature` reads back."""
    fields = msgspec.to_builtins(fence)
    geometry, fence_id = fields.pop("geometry"), fields.pop("id")
    return {"type": "Feature", "id": fence_id, "geometry": geometry, "properties": fields}


def read_site(folder: Path) -> tuple[Site, list[Problem]]:
    """Read a folder: what could be read, and every problem found on the way.

    Raises:
        InvalidInputError: the folder is none, or holds no site at all.
    """
    if not folder.is_dir():
        raise InvalidInputError(f"{folder} is not a folder")
    if not any((folder / name).is_file() for name in FILES.values()):
        raise InvalidInputError(f"{folder} holds no site: none of {', '.join(FILES.values())} is there")
    site = Site()
    problems: list[Problem] = []
    for kind, name in FILES.items():
        path = folder / name
        if not path.is_file():
            continue
        build: Callable[[Any], Document] = _converter(kind)
        for index, item in enumerate(_items(path, kind, problems)):
            try:
                document = build(item)
            except InvalidInputError as error:
                reason = f"{error}{_hint(item)}"
                problems.append(Problem(severity="error", file=name, id=_name_of(item, index), reason=reason))
                continue
            key = key_of(kind, document)
            if key in site.of(kind):
                reason = "appears twice; the first one counts"
                problems.append(Problem(severity="error", file=name, id=key, reason=reason))
                continue
            site.of(kind)[key] = document
            found = strays(item, TYPES[kind])
            problems += [Problem(severity="warning", file=name, id=key, reason=reason) for reason in found]
    return site, problems


def _converter(kind: Kind) -> Callable[[Any], Document]:
    of_feature = {"fence": fence_of_feature, "sensitive": sensitive_of_feature}
    return of_feature.get(kind) or (lambda item: convert(item, TYPES[kind]))


def _items(path: Path, kind: Kind, problems: list[Problem]) -> list[Any]:
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        problems.append(Problem(severity="error", file=path.name, id="", reason=f"is not JSON: {error}"[:200]))
        return []
    if kind in GEOJSON:
        document = document.get("features") if isinstance(document, dict) else None
    if not isinstance(document, list):
        reason = "must be a FeatureCollection with features" if kind in GEOJSON else "must be a list"
        problems.append(Problem(severity="error", file=path.name, id="", reason=reason))
        return []
    return document


def _name_of(item: Any, index: int) -> str:
    """The id of something that did not decode, or its place in the file."""
    if isinstance(item, dict):
        name = item.get("id", item.get("sku"))
        if isinstance(name, str | int):
            return str(name)
    return f"[{index}]"


def _hint(item: Any) -> str:
    """What was probably meant, where that is plain."""
    if isinstance(item, dict):
        lat, lon = item.get("lat"), item.get("lon")
        if isinstance(lat, int | float) and isinstance(lon, int | float) and 90 < abs(lat) <= 180 and abs(lon) <= 90:
            return "; are lat and lon swapped?"
    return ""


def write_site(site: Site, folder: Path) -> None:
    """Write a site as `read_site` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, name in FILES.items():
        documents = list(site.of(kind).values())
        if kind in GEOJSON:
            content: Any = {"type": "FeatureCollection", "features": [feature_of_fence(fence) for fence in documents]}
        else:
            content = [msgspec.to_builtins(document) for document in documents]
        (folder / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
