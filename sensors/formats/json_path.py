"""JSON paths: the part of RFC 9535 that names one place, `$.a.b[0]['odd name']`, with `[-1]` for the last."""

import re
from functools import lru_cache
from typing import Any, NamedTuple

from sensors.errors import ReadingError
from sensors.formats.fields import shown

_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_:-]*)|\[(-?[0-9]{1,6})\]|\['([^']{1,100})'\]|\[\"([^\"]{1,100})\"\]")
_MAX_LENGTH = 200


class JsonPath(NamedTuple):
    """Member names and list indices, in order."""

    steps: tuple[str | int, ...]

    @classmethod
    def parse(cls, text: Any, where: str) -> "JsonPath":
        """The path that a text writes; the leading `$` may be left out.

        Raises:
            ReadingError: it is none; names `where` it stands.
        """
        if not isinstance(text, str) or not 0 < len(text) <= _MAX_LENGTH:
            raise ReadingError(f"{where}: must be a JSON path such as $.counts[0].in")
        return _parse(text, where)

    def find(self, value: Any) -> Any:
        """The value at this path, None where there is none."""
        for step in self.steps:
            if isinstance(step, str):
                value = value.get(step) if isinstance(value, dict) else None
            else:
                inside = isinstance(value, list) and -len(value) <= step < len(value)
                value = value[step] if inside else None
            if value is None:
                return None
        return value


@lru_cache(maxsize=1024)
def _parse(text: str, where: str) -> JsonPath:
    rest = text.removeprefix("$")
    if rest[:1] not in {"", ".", "["}:
        rest = f".{rest}"
    steps: list[str | int] = []
    at = 0
    while at < len(rest):
        found = _STEP.match(rest, at)
        if found is None:
            raise ReadingError(f"{where}: {shown(text)} is not a JSON path such as $.counts[0].in")
        name, index, *quoted = found.groups()
        steps.append(int(index) if index is not None else name or quoted[0] or quoted[1])
        at = found.end()
    return JsonPath(tuple(steps))
