"""Fields that a document does not have: they are ignored, as agreed, and whoever mistyped one is told.

Of campaigns and policies every such field is told of, since a cap or an audience that is ignored costs money; of the rest
only what is nearly the name of another, since they often come out of other systems with fields of their own.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Any

import msgspec
from msgspec import inspect

from geo_service.catalogue.documents import Campaign, Document, Policy

_CLOSE = 0.8
_FEW = 10
"""So many names are listed where none is close."""
_STRICT = (Campaign, Policy)
_MARKED = ("_", "$", "//")
"""How people mark what is for people only."""


def strays(item: Any, type_: type[Document]) -> Iterator[str]:
    """`field: why`, for each field that is ignored and was hardly meant to be. `item`: the document as it was sent."""
    if not isinstance(item, Mapping):
        return
    strict = issubclass(type_, _STRICT)
    properties = item.get("properties")
    if item.get("type") == "Feature" and isinstance(properties, Mapping):
        yield from _strays(properties, _info(type_), "", strict=strict)
    elif item.get("type") != "Feature":
        yield from _strays(item, _info(type_), "", strict=strict)


def misspelt(name: str, known: tuple[str, ...], place: str, *, strict: bool) -> str | None:
    """What to say of a field that is none of those known; None where it may well have been meant."""
    hint = _hint(name[:64], known, strict=strict)
    return None if hint is None else f"{place}{name[:64]}: is unknown and ignored{hint}"


@lru_cache(4096)
def _hint(name: str, known: tuple[str, ...], *, strict: bool) -> str | None:
    """Comparing names is slow, and a column that is unknown is so in each of thousands of rows."""
    if name.startswith(_MARKED):
        return None
    meant = get_close_matches(name.lower(), known, 1, _CLOSE)
    if not meant and not strict:
        return None
    others = f"; there are {', '.join(known)}" if len(known) <= _FEW else ""
    return f"; is {meant[0]} meant?" if meant else others


@cache
def _info(type_: type[Document]) -> inspect.StructType:
    info = inspect.type_info(type_)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{type_} is no Struct")
    return info


def _strays(item: Mapping[str, Any], info: inspect.StructType, place: str, *, strict: bool) -> Iterator[str]:
    fields = {field.encode_name: field.type for field in info.fields}
    for name, value in item.items():
        if name in fields:
            yield from _inside(value, fields[name], f"{place}{name}", strict=strict)
        elif (said := misspelt(name, tuple(fields), place, strict=strict)) is not None:
            yield said


def _inside(value: Any, type_: inspect.Type, place: str, *, strict: bool) -> Iterator[str]:
    """What is astray within the value of a field."""
    if isinstance(type_, inspect.UnionType):
        for one in type_.types:
            yield from _inside(value, one, place, strict=strict)
    elif isinstance(type_, inspect.StructType) and isinstance(value, Mapping):
        yield from _strays(value, type_, f"{place}.", strict=strict)
    elif isinstance(type_, inspect.DictType) and isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _inside(inner, type_.value_type, f"{place}.{key}", strict=strict)


def strays_of_struct(item: Mapping[str, Any], type_: type[msgspec.Struct], place: str) -> Iterator[str]:
    """The same of a part that a campaign's document leaves open, such as its benefit."""
    tag = type_.__struct_config__.tag_field
    known = (*((tag,) if tag else ()), *(field.encode_name for field in msgspec.structs.fields(type_)))
    for name in item:
        said = None if name in known else misspelt(name, known, place, strict=True)
        if said is not None:
            yield said
