"""A place in all partitions' outputs as one short token: the id of an event in the stream.

```
"1" + base64url( count, then per partition: partition, milliseconds, sequence )      each a base-128 integer
```
Milliseconds are the distance below the newest, so that a partition takes four or five bytes.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping

from geo_service.errors import InvalidInputError
from geo_service.flow.entries import EntryId

_VERSION = "1"
_MAX_TOKEN = 4096


def encode_positions(positions: Mapping[int, EntryId]) -> str:
    """The token."""
    newest = max((position.ms for position in positions.values()), default=0)
    out = bytearray()
    for value in (newest, len(positions)):
        _write(out, value)
    for partition, position in sorted(positions.items()):
        for value in (partition, newest - position.ms, position.seq):
            _write(out, value)
    return _VERSION + base64.urlsafe_b64encode(out).decode().rstrip("=")


def decode_positions(token: str) -> dict[int, EntryId]:
    """What `encode_positions` was given.

    Raises:
        InvalidInputError: it is no such token.
    """
    refusal = InvalidInputError("is not an event id of this service", field="Last-Event-ID")
    if not token.startswith(_VERSION) or len(token) > _MAX_TOKEN or not token.isascii():
        raise refusal
    text = token[1:]
    try:
        values = _read(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        newest, count = next(values), next(values)
        found = {}
        for _ in range(count):
            partition, behind, seq = next(values), next(values), next(values)
            found[partition] = EntryId(newest - behind, seq)
    except (binascii.Error, StopIteration) as error:
        raise refusal from error
    if any(position.ms < 0 for position in found.values()) or next(values, None) is not None:
        raise refusal
    return found


def _write(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _read(data: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
        else:
            yield value
            value = shift = 0
