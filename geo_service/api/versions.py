"""ETag and If-Match: two people may edit one document without the later losing the earlier's change (RFC 9110, 13.1).

A document's tag is its version in the catalogue. Without a condition the last one to write wins.
"""

import re
from typing import Annotated, NamedTuple

from litestar.params import HeaderParameter

from geo_service.api.problems import ProblemError
from geo_service.errors import InvalidInputError, VersionConflictError

# A proxy that compresses marks a tag as weak; the version is the document's all the same.
_TAGS = re.compile(r'\s*(?:W/)?"([^"]*)"\s*(?:,|\Z)')
IfMatch = Annotated[
    str | None, HeaderParameter(name="If-Match", description="the `ETag` that was read: change only that version")
]
IfNoneMatch = Annotated[str | None, HeaderParameter(name="If-None-Match", description="`*`: create only")]
_NO_VERSION = -1
"""A tag that none of ours can be."""


def etag(version: int) -> str:
    """The tag of a version."""
    return f'"{version}"'


class Condition(NamedTuple):
    """What must be so for a change to be made."""

    if_match: str | None = None
    if_none_match: str | None = None

    def expected(self, kind: str, key: str, now: int) -> int | None:
        """The version that the document must have for the change; None: any. `now` is the one it has, 0 where there is none.

        Raises:
            ProblemError: 412, the condition cannot be met.
            InvalidInputError: it cannot be read.
        """
        if self.if_none_match is not None:
            if self.if_none_match.strip() != "*":
                raise InvalidInputError("may only be * here: it must not be there yet", field="If-None-Match")
            return 0
        if self.if_match is None:
            return None
        if self.if_match.strip() == "*":
            if now == 0:
                raise ProblemError(412, f"there is no {kind} {key!r}", kind="changed-meanwhile")
            return now
        versions = _versions(self.if_match)
        return now if now in versions else versions[0]


ALWAYS = Condition()


def _versions(text: str) -> list[int]:
    found, at = [], 0
    while at < len(text):
        match = _TAGS.match(text, at)
        if match is None:
            raise InvalidInputError('must be tags as an ETag gave them, such as "17", or *', field="If-Match")
        tag = match[1]
        found.append(int(tag) if tag.isascii() and tag.isdigit() and len(tag) < 16 and tag != "0" else _NO_VERSION)
        at = match.end()
    if not found:
        raise InvalidInputError("is empty", field="If-Match")
    return found


def conflict(error: VersionConflictError) -> ProblemError:
    """412, with the tag that it has now."""
    if error.found == 0:
        said = f"the {error.kind} {error.key!r} is not there, or no more"
    elif error.expected == 0:
        said = f"the {error.kind} {error.key!r} is there already"
    else:
        said = f"the {error.kind} {error.key!r} was changed meanwhile; read it again"
    headers = {"ETag": etag(error.found)} if error.found else None
    return ProblemError(412, said, headers=headers, kind="changed-meanwhile")
