"""Doors and counters of one place: how often each speaks, when its silence means something, who passed it unseen."""

import math
from typing import Final

import msgspec

MINUTE_MS: Final = 60_000
SILENT_AFTER_MS: Final = 15 * MINUTE_MS
"""A source that speaks of crossings only, and says nothing for this long in opening hours, is silent."""
_REGULAR_UP_TO_MS: Final = 120 * MINUTE_MS
_SLACK_MS: Final = 5_000
_GAPS_TO_KNOW: Final = 8
_RATE_MEMORY_MS: Final = 30 * MINUTE_MS


class Source(msgspec.Struct):
    """One door or counter. `heard`: it has spoken since it was named."""

    last_ms: int
    heard: bool = False
    usual_gap_ms: float = 0.0
    """Mean pause between two messages in opening hours, of the last twenty or so; 0 = not known yet."""
    longest_gap_ms: float = 0.0
    """The longest pause, slowly forgotten."""
    regular: bool = False
    """It reports by the clock: what it says is of all the time since it last spoke."""
    gaps: int = 0
    """How many pauses it has learned from, up to a few."""
    quiet_after_ms: int = MINUTE_MS
    """From here on its silence is more and more believed to be a fault."""
    silent_after_ms: int = SILENT_AFTER_MS
    """From here on it is wholly believed to be one."""
    settled_ms: int = 0
    """Who passed unseen before this instant is part of the belief already."""
    unseen_ins: float = 0.0
    """Of the present silence, and part of the belief already; the same for `unseen_outs`."""
    unseen_outs: float = 0.0
    ins_per_ms: float = 0.0
    """Lately; the same for `outs_per_ms`."""
    outs_per_ms: float = 0.0
    in_share: float = 0.0
    """Of all who came in through any door, over the last weeks; 0 = not known yet. The same for `out_share`."""
    out_share: float = 0.0
    ins_today: int = 0
    outs_today: int = 0

    def spoke(self, at_ms: int, since_ms: int) -> None:
        """Learn the pause since `since_ms`; one long outage does not make it deaf to the next."""
        if self.heard and at_ms > since_ms:
            gap, usual = float(at_ms - since_ms), self.usual_gap_ms
            if usual:
                gap = min(gap, 2 * self.longest_gap_ms)
            self.usual_gap_ms = usual + 0.1 * (gap - usual) if usual else gap
            self.longest_gap_ms = max(gap, 0.98 * self.longest_gap_ms)
            self.gaps = min(self.gaps + 1, _GAPS_TO_KNOW)
            if self.gaps == _GAPS_TO_KNOW:
                self._set_patience()
        self.heard, self.last_ms = True, at_ms

    def _set_patience(self) -> None:
        """Two missed messages of one that reports by the clock; else a pause that chance does not explain, or 15 minutes.

        Fifteen mean pauses without a crossing have a chance of e⁻¹⁵ if people come independently.
        """
        longest = int(self.longest_gap_ms)
        self.regular = longest <= 1.6 * self.usual_gap_ms
        if self.regular:
            self.quiet_after_ms = max(MINUTE_MS, longest + _SLACK_MS)
            silent = min(2 * longest + _SLACK_MS, _REGULAR_UP_TO_MS)
        else:
            self.quiet_after_ms = MINUTE_MS
            silent = min(max(2 * longest, int(15 * self.usual_gap_ms)) + _SLACK_MS, SILENT_AFTER_MS)
        self.silent_after_ms = max(silent, self.quiet_after_ms)

    def counted(self, ins: int, outs: int, kept: float) -> None:
        """Move the recent rates; `kept` says how much of the old ones stays."""
        self.ins_per_ms = self.ins_per_ms * kept + ins / _RATE_MEMORY_MS
        self.outs_per_ms = self.outs_per_ms * kept + outs / _RATE_MEMORY_MS
        self.ins_today += ins
        self.outs_today += outs

    def broken(self, silence_ms: int) -> float:
        """How far its silence is believed to be a fault."""
        if silence_ms >= self.silent_after_ms:
            return 1.0
        quiet = self.quiet_after_ms
        return max(silence_ms - quiet + 1, 0) / (self.silent_after_ms - quiet + 1)


def fade(pause_ms: int) -> float:
    """How much of the recent rates a pause leaves."""
    return math.exp(-pause_ms / _RATE_MEMORY_MS)


def look_every_ms(silence_ms: int) -> int:
    """How often a silence is looked at: often at first, rarely once it has told all."""
    if silence_ms < 120 * MINUTE_MS:
        return MINUTE_MS
    return 15 * MINUTE_MS if silence_ms < 24 * 60 * MINUTE_MS else 60 * MINUTE_MS
