"""Benefits: what an offer gives. Percentage, amount, gift, or only words.

```
{"type": "percentage", "value": 20}                       20 % off
{"type": "amount", "value": 500, "currency": "EUR"}       5.00 off; costs 500 of the budget unless `cost` says otherwise
{"type": "gift", "sku": "bun", "cost": 90}                something given away
{"type": "text"}                                          words only: no coupon goes with it
```
`kind` for `type`, `percent` for `percentage`, and the kind's own name for `value` are understood too.
"""

from typing import Annotated, Any, cast

import msgspec

from geo_service.catalogue.documents import Count
from geo_service.decoding import convert
from geo_service.errors import InvalidInputError

Currency = Annotated[str, msgspec.Meta(pattern=r"\A[A-Z]{3}\Z", description="ISO 4217")]


class _Benefit(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """What any benefit may say beside."""

    cost: Count | None = None
    """What one costs, in minor units, of the campaign's budget."""
    currency: Currency | None = None
    """Of `cost`."""
    text: Annotated[str, msgspec.Meta(max_length=2000)] | None = None


class Percentage(_Benefit, frozen=True, kw_only=True, tag="percentage"):
    """So much off the price."""

    value: Annotated[float, msgspec.Meta(gt=0, le=100)]
    at_most: Count | None = None
    """Minor units that it takes off at the most."""


class Amount(_Benefit, frozen=True, kw_only=True, tag="amount"):
    """Money off."""

    value: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
    currency: Currency
    min_basket: Count | None = None


class Gift(_Benefit, frozen=True, kw_only=True, tag="gift"):
    """Something given away."""

    sku: str | None = None


class Text(_Benefit, frozen=True, kw_only=True, tag="text"):
    """Words, and nothing to redeem."""


Benefit = Percentage | Amount | Gift | Text
_NAMES = {"percent": "percentage", "free_text": "text"}
_VALUES = {"percentage": ("percentage", "percent"), "amount": ("amount",)}
_TYPES = ("percentage", "amount", "gift", "text")


def read_benefit(document: dict[str, Any]) -> Benefit | None:
    """The benefit that a campaign's document means; None where it says none.

    Raises:
        InvalidInputError: which field is wrong (`benefit.value`), and why.
    """
    if not document:
        return None
    fields = spelt_out(document)
    name = fields.get("type")
    if not isinstance(name, str):
        raise InvalidInputError(f"is missing; one of {', '.join(_TYPES)}", field="benefit.type")
    if name not in _TYPES:
        raise InvalidInputError(f"{name[:40]!r} is none of {', '.join(_TYPES)}", field="benefit.type")
    try:
        return convert(fields, cast("type[Benefit]", Benefit))
    except InvalidInputError as error:
        raise InvalidInputError(error.reason, field=f"benefit.{error.field}" if error.field else "benefit") from error


def spelt_out(document: dict[str, Any]) -> dict[str, Any]:
    """The document with `type` and `value` for their other spellings."""
    fields = dict(document)
    if fields.get("type") is None and "kind" in fields:
        fields["type"] = fields.pop("kind")
    name = fields.get("type")
    if isinstance(name, str):
        fields["type"] = name = _NAMES.get(name, name)
        for spelling in _VALUES.get(name, ()):
            if spelling in fields and "value" not in fields:
                fields["value"] = fields.pop(spelling)
    return fields


def cost_of(benefit: Benefit | None) -> int:
    """What one offer can cost, in minor units: its `cost`, or the amount of money it is; 0 where neither is said."""
    if benefit is None:
        return 0
    if benefit.cost is not None:
        return benefit.cost
    return benefit.value if isinstance(benefit, Amount) else 0
