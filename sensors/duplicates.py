"""Messages that come twice: brokers redeliver what was not acknowledged in time.

The sender's own marks tell a repeat from a second person: message id, sequence number, uptime, window. A message without
any mark is never a repeat. Where the window is the only mark and the device's clock stands still, repeats are what a busy
door looks like; they are held back, and counted once the clock has plainly stopped.
"""

from hashlib import blake2b

import msgspec

from sensors.readings import Reading

_REMEMBERED = 256
# This many readings with one and the same time, over this long, are a stopped clock and not redeliveries.
_STOPPED_READINGS = 4
_STOPPED_MS = 150_000


class Repeats(msgspec.Struct):
    """The newest messages of one line, and whether its clock moves."""

    seen: list[int] = []
    to_ms: int | None = None
    same_since_ms: int = 0
    same_readings: int = 0
    held_ins: int = 0
    held_outs: int = 0

    def take(self, reading: Reading) -> tuple[int, int]:
        """The ins and outs of a delta that have not been taken yet: none of a repeat's."""
        self._watch_clock(reading)
        marks = (reading.key, reading.seq, reading.uptime_s, reading.from_ms, reading.to_ms)
        if all(mark is None for mark in marks):
            return reading.ins, reading.outs
        digest = blake2b(repr((marks, reading.ins, reading.outs)).encode(), digest_size=8)
        identity = int.from_bytes(digest.digest(), "big")
        if identity not in self.seen:
            self.seen.append(identity)
            del self.seen[:-_REMEMBERED]
            return reading.ins, reading.outs
        if marks[:3] != (None, None, None):
            return 0, 0
        self.held_ins += reading.ins
        self.held_outs += reading.outs
        if self.same_readings < _STOPPED_READINGS or reading.received_ms - self.same_since_ms < _STOPPED_MS:
            return 0, 0
        released = self.held_ins, self.held_outs
        self.held_ins = self.held_outs = 0
        return released

    def _watch_clock(self, reading: Reading) -> None:
        if reading.to_ms is None or reading.to_ms != self.to_ms:
            self.to_ms, self.same_since_ms, self.same_readings = reading.to_ms, reading.received_ms, 0
            self.held_ins = self.held_outs = 0
        self.same_readings += 1
