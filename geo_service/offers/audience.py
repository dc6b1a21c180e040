"""Audience: a small tree of rules over what is known of a person.

```
{"rule": "all", "of": [
    {"rule": "segment", "any_of": ["members"]},
    {"rule": "visits", "at_least": 3},
    {"rule": "not", "of": {"rule": "last_visit", "within_s": 86400}}]}
```

Nothing at all means everybody. A phone whose location is simulated is nobody's audience unless the tree says so: a tree
with a `mock` rule decides for itself, and `"mock": true` beside the rule lets such phones in.
"""

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple, cast

import msgspec

from geo_service.catalogue.documents import Id, Store
from geo_service.decoding import convert
from geo_service.errors import InvalidInputError
from geo_service.geofences.earth import MEAN_M
from geo_service.offers.affinity import affinity
from geo_service.offers.facts import Facts
from geo_service.outputs import Crossing

_MOST_RULES = 200
_MOST_DEPTH = 16
_Number = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=315_360_000)]
_Metres = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Names = Annotated[list[Id], msgspec.Meta(min_length=1, max_length=100)]
Where = Literal["here", "anywhere"]


class _Rule(msgspec.Struct, frozen=True, tag_field="rule", forbid_unknown_fields=True, omit_defaults=True):
    """A part of the tree; a field that it does not know is a mistake, and would otherwise widen the audience silently."""


class All(_Rule, frozen=True, tag="all"):
    """Every one of them holds."""

    of: list["Rule"]


class Any_(_Rule, frozen=True, tag="any"):  # noqa: N801 - `Any` is taken
    """One of them holds."""

    of: Annotated[list["Rule"], msgspec.Meta(min_length=1)]


class Not(_Rule, frozen=True, tag="not"):
    """It does not hold."""

    of: "Rule"


class Segment(_Rule, frozen=True, tag="segment"):
    """The person is in one of these segments."""

    any_of: _Names


class Visits(_Rule, frozen=True, tag="visits"):
    """So many confirmed visits so far."""

    at_least: _Number | None = None
    at_most: _Number | None = None
    where: Where = "here"


class LastVisit(_Rule, frozen=True, tag="last_visit"):
    """How long the last confirmed visit is over. Never holds for somebody who never came."""

    within_s: _Seconds | None = None
    longer_ago_s: _Seconds | None = None
    where: Where = "here"


class Affinity(_Rule, frozen=True, tag="affinity"):
    """At least this affinity to a category, 0 to 1; of somebody unknown it is 0.2."""

    category: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    at_least: _Share


class Order(_Rule, frozen=True, tag="order"):
    """The person has an order in flight here: not ready yet, ready, either, or none."""

    is_: Literal["open", "ready", "any", "none"] = msgspec.field(name="is", default="any")


class Distance(_Rule, frozen=True, tag="distance"):
    """Metres from the store's point in the catalogue to where the phone was."""

    at_most_m: _Metres | None = None
    at_least_m: _Metres | None = None


class Language(_Rule, frozen=True, tag="language"):
    """The person's language is one of these (`fi` takes in `fi-FI`)."""

    any_of: _Names


class Mock(_Rule, frozen=True, tag="mock"):
    """The phone says that its location is simulated."""


Rule = All | Any_ | Not | Segment | Visits | LastVisit | Affinity | Order | Distance | Language | Mock


class Audience(NamedTuple):
    """A tree that was read, and what is to be known about it beforehand."""

    rule: Rule | None
    takes_mock: bool


class Person:
    """Who is asked about, where, and when."""

    __slots__ = ("_metres", "crossing", "facts", "now_ms", "segments", "store")

    def __init__(self, facts: Facts, crossing: Crossing, store: Store, now_ms: int) -> None:
        self.facts = facts
        self.crossing = crossing
        self.store = store
        self.now_ms = now_ms
        self.segments = frozenset(facts.segments)
        self._metres: int | None = None

    @property
    def metres(self) -> int | None:
        """To the store's point; None where nobody knows where the phone was."""
        crossing, store = self.crossing, self.store
        if self._metres is None and crossing.lat is not None and crossing.lon is not None:
            self._metres = round(metres_between(crossing.lat, crossing.lon, store.lat, store.lon))
        return self._metres


def read_audience(document: dict[str, Any]) -> Audience:
    """The tree of an `audience` document.

    Raises:
        InvalidInputError: `field` is the path to the part that is wrong, such as `audience.of[1].at_least`.
    """
    fields = dict(document)
    takes_mock = fields.pop("mock", False)
    if not isinstance(takes_mock, bool):
        raise InvalidInputError("must be true or false", field="audience.mock")
    if not fields:
        return Audience(None, takes_mock)
    try:
        rule: Rule = convert(fields, cast("type[Rule]", Rule))
    except InvalidInputError as error:
        raise InvalidInputError(error.reason, field=_at(error.field)) from error
    except RecursionError as error:
        raise InvalidInputError("is nested too deeply", field="audience") from error
    rules = list(_walk(rule, "audience", 0))
    if len(rules) > _MOST_RULES:
        raise InvalidInputError(f"has {len(rules)} rules; at most {_MOST_RULES} are read", field="audience")
    for place, part in rules:
        _require_bounds(part, place)
    return Audience(rule, takes_mock or any(isinstance(part, Mock) for _, part in rules))


def _at(field: str | None) -> str:
    return f"audience{'' if not field or field.startswith('[') else '.'}{field or ''}"


def _walk(rule: Any, place: str, depth: int) -> Any:
    if depth > _MOST_DEPTH:
        raise InvalidInputError(f"is nested more than {_MOST_DEPTH} deep", field=place)
    yield place, rule
    if isinstance(rule, Not):
        yield from _walk(rule.of, f"{place}.of", depth + 1)
    elif isinstance(rule, All | Any_):
        for number, part in enumerate(rule.of):
            yield from _walk(part, f"{place}.of[{number}]", depth + 1)


_BOUNDS: dict[object, tuple[str, str]] = {
    Visits: ("at_least", "at_most"),
    LastVisit: ("longer_ago_s", "within_s"),
    Distance: ("at_least_m", "at_most_m"),
}
"""The lower and the upper bound of rules that have them."""


def _require_bounds(rule: Any, place: str) -> None:
    """A rule that bounds nothing says nothing, and one that nothing can meet excludes everybody."""
    names = _BOUNDS.get(type(rule))
    if names is None:
        return
    if all(getattr(rule, name) is None for name in names):
        raise InvalidInputError(f"needs {names[0]} or {names[1]}", field=place)
    low, high = (getattr(rule, name) for name in names)
    if low is not None and high is not None and low > high:
        raise InvalidInputError(f"{names[0]} is above {names[1]}: nobody can meet that", field=place)


def why_not(audience: Audience, person: Person) -> str | None:
    """Why this person is not meant; None where they are."""
    if person.crossing.mock and not audience.takes_mock:
        return "the phone's location is simulated"
    return None if audience.rule is None else _why_not(audience.rule, person)


def _why_not(rule: Rule, person: Person) -> str | None:
    return _CHECKS[type(rule)](rule, person)


def _all(rule: All, person: Person) -> str | None:
    for part in rule.of:
        reason = _CHECKS[type(part)](part, person)
        if reason is not None:
            return reason
    return None


def _any(rule: Any_, person: Person) -> str | None:
    reasons = []
    for part in rule.of:
        reason = _CHECKS[type(part)](part, person)
        if reason is None:
            return None
        reasons.append(reason)
    return "none of: " + "; ".join(reasons)


def _not(rule: Not, person: Person) -> str | None:
    if _why_not(rule.of, person) is not None:
        return None
    return f"meant for others than {msgspec.json.encode(rule.of).decode()}"


def _segment(rule: Segment, person: Person) -> str | None:
    return f"in no segment of {', '.join(rule.any_of)}" if person.segments.isdisjoint(rule.any_of) else None


def _visits(rule: Visits, person: Person) -> str | None:
    facts = person.facts
    count = facts.visits_here if rule.where == "here" else facts.visits
    return _between("visits", count, rule.at_least, rule.at_most)


def _last_visit(rule: LastVisit, person: Person) -> str | None:
    facts = person.facts
    at_ms = facts.last_visit_here_ms if rule.where == "here" else facts.last_visit_ms
    if at_ms is None:
        return "never visited" + (" here" if rule.where == "here" else "")
    return _between("seconds since the last visit", (person.now_ms - at_ms) // 1000, rule.longer_ago_s, rule.within_s)


def _affinity(rule: Affinity, person: Person) -> str | None:
    share = affinity(person.facts.affinities, [rule.category])
    return None if share >= rule.at_least else f"affinity to {rule.category} is {share:.2f}, not {rule.at_least:g}"


def _order(rule: Order, person: Person) -> str | None:
    state = "ready" if person.facts.order == "became_ready" else person.facts.order
    holds = state != "none" if rule.is_ == "any" else state == rule.is_
    return None if holds else f"order in flight here: {state}"


def _distance(rule: Distance, person: Person) -> str | None:
    if person.metres is None:
        return "how far away the phone was is not known"
    return _between("metres to the store", person.metres, rule.at_least_m, rule.at_most_m)


def _language(rule: Language, person: Person) -> str | None:
    language = person.facts.language
    return None if speaks(language, rule.any_of) else f"language is {language or 'not known'}"


def _mock(_: Mock, person: Person) -> str | None:
    return None if person.crossing.mock else "the phone's location is not simulated"


def _between(what: str, value: float, low: float | None, high: float | None) -> str | None:
    if low is not None and value < low:
        return f"{what}: {value:g}, at least {low:g} wanted"
    if high is not None and value > high:
        return f"{what}: {value:g}, at most {high:g} wanted"
    return None


_CHECKS: dict[object, Callable[[Any, Person], str | None]] = {
    All: _all,
    Any_: _any,
    Not: _not,
    Segment: _segment,
    Visits: _visits,
    LastVisit: _last_visit,
    Affinity: _affinity,
    Order: _order,
    Distance: _distance,
    Language: _language,
    Mock: _mock,
}


def metres_between(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Great-circle distance of two places in degrees (the haversine formula; to 0.6 % on the ellipsoid)."""
    phi, other_phi = math.radians(lat), math.radians(other_lat)
    half = math.sin((other_phi - phi) / 2) ** 2
    half += math.cos(phi) * math.cos(other_phi) * math.sin(math.radians(other_lon - lon) / 2) ** 2
    return 2 * MEAN_M * math.asin(math.sqrt(min(1.0, half)))


def speaks(language: str | None, wanted: list[str]) -> bool:
    """Whether a language tag is one of these, or a regional form of one (RFC 4647, basic filtering)."""
    tag = (language or "").lower()
    return any(tag == name.lower() or tag.startswith(f"{name.lower()}-") for name in wanted)
