"""A stream of outputs, written anew without the lines about somebody: Redis cannot change an entry in its place.

The copy grows beside the stream and takes its place in one step. Every id stays, the last one that was ever given too, so
readers go on where they were and the fold's proof of what it has written holds.
"""

from typing import Any

from geo_service.people.traces import Trace
from geo_service.storage.connection import Client
from geo_service.storage.keys import Keys
from geo_service.storage.scripts import Script

_CHUNK = 200
_COPIED_AT_LAST = 50
_KEPT_S = 600
"""A copy that was left behind by a crash goes by itself."""


def rewrite_outputs(client: Client, keys: Keys, partition: int, trace: Trace) -> int:
    """Returns how many lines were left out; where there are none, nothing is written."""
    source, copy = keys("outputs", partition=partition), keys("outputs_rewritten", partition=partition)
    if not _mentions(client, source, trace):
        return 0
    client.unlink(copy)
    swap, left_out, last = Script("outputs_swap"), 0, "0-0"
    while True:
        last, more = _copy(client, (source, copy), last, trace)
        left_out += more
        client.expire(copy, _KEPT_S)
        if swap.run(client, [source, copy], [last, _COPIED_AT_LAST]):
            return left_out


def _mentions(client: Client, source: str, trace: Trace) -> bool:
    start = "-"
    while rows := _rows(client, source, start):
        if any(trace.may_be_in(fields[b"d"]) and trace.without(fields[b"d"]) != fields[b"d"] for _, fields in rows):
            return True
        start = f"({rows[-1][0].decode()}"
    return False


def _copy(client: Client, streams: tuple[str, str], last: str, trace: Trace) -> tuple[str, int]:
    source, copy = streams
    left_out = 0
    while rows := _rows(client, source, f"({last}"):
        with client.pipeline(transaction=False) as pipe:
            for entry, fields in rows:
                blob: bytes = fields[b"d"]
                kept = trace.without(blob) if trace.may_be_in(blob) else blob
                left_out += _lines(blob) - _lines(kept)
                if kept:
                    pipe.xadd(copy, {"d": kept}, id=entry)
            pipe.execute()
        last = rows[-1][0].decode()
    return last, left_out


def _lines(blob: bytes) -> int:
    return blob.count(b"\n") + 1 if blob else 0


def _rows(client: Client, source: str, start: str) -> list[Any]:
    rows: Any = client.xrange(source, min=start, count=_CHUNK)
    return list(rows)
