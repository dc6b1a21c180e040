"""What is kept and told ahead of the places of one partition: each day as it was said, the next hours, the typical week.

Values stand under a name of their own and are written whole, so that the same entries folded again leave the same values.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from functools import partial
from itertools import islice
from typing import Any, Final, Self

import msgspec

from geo_service.catalogue.documents import Store
from geo_service.catalogue.site import Site
from geo_service.flow.diary import (
    KEPT_DAYS,
    STEP_MS,
    Diary,
    Recounted,
    day_name,
    day_of,
    names_between,
    pack_smoothed,
    smoothed_name,
)
from geo_service.flow.outlook import outlook_name, outlook_of, week_name, week_of
from occupancy.local_time import LocalTime
from occupancy.place import Place

WRITTEN_AT_ONCE: Final = 64
"""Days of so many places are written with one entry: thousands end a step in the same instant, and pings must not wait."""
_SECOND_MS: Final = 1000

PlaceKey = tuple[str, str]
"""`(store, zone)`; zone "" is the store as a whole."""


class _Kept(msgspec.Struct):
    """What is remembered of one place."""

    step_ends_ms: int
    diary: Diary
    smoothed_ms: int = 0
    """Begin of the newest day of which the smoothed one is kept."""


class Chronicle:
    """The days of the places. `site` belongs to the partition and is only read."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._kept: dict[PlaceKey, _Kept] = {}
        self._unwritten: dict[PlaceKey, None] = {}
        self._unwritten_due_ms: int | None = None
        self._values: dict[str, bytes | None] = {}

    def begin(self, key: PlaceKey, now_ms: int) -> None:
        """A place is new."""
        store = self._site.store[key[0]]
        diary = Diary.begin(now_ms, _day_ends_ms(store, now_ms), _day(store, now_ms))
        self._kept[key] = _Kept(now_ms - now_ms % STEP_MS + STEP_MS, diary)

    def remove(self, key: PlaceKey) -> None:
        """A place is gone, and with it all that was kept of it."""
        diary = self._kept.pop(key).diary
        self._unwritten.pop(key, None)
        self._drop(names_between(*key, diary.oldest, date.fromisoformat(diary.on).toordinal() + 1))
        self._drop([outlook_name(*key), week_name(*key)])

    def clock_changed(self, key: PlaceKey, now_ms: int) -> None:
        """The place's timezone or reset hour may be another."""
        self._kept[key].diary.ends_ms = _day_ends_ms(self._site.store[key[0]], now_ms)

    def recounted(self, key: PlaceKey, recount: Recounted, now_ms: int) -> None:
        """Somebody counted by eye."""
        self._kept[key].diary.recounted(recount)
        self._write_soon(key, now_ms)

    def step_ends_ms(self, key: PlaceKey) -> int:
        """When the place's present step is over."""
        return self._kept[key].step_ends_ms

    def note(self, key: PlaceKey, place: Place, now_ms: int) -> None:
        """Keep what the place said at the end of each step that is over by now, however rarely somebody looks.

        To be called before the place itself is brought to `now_ms`.
        """
        kept = self._kept[key]
        if now_ms < kept.step_ends_ms:
            return
        while kept.step_ends_ms <= now_ms:
            ends_ms = kept.step_ends_ms
            kept.diary.note(ends_ms, place.estimate(ends_ms - 1))
            kept.step_ends_ms = ends_ms + STEP_MS
            if ends_ms >= kept.diary.ends_ms:
                self._turn_page(key, ends_ms)
        self._write_soon(key, now_ms)
        history = place.history
        if history is not None and history.starts_ms != kept.smoothed_ms:
            store = self._site.store[key[0]]
            kept.smoothed_ms = history.starts_ms
            on = _day(store, history.starts_ms).isoformat()
            self._values[smoothed_name(*key, on)] = pack_smoothed(history)
            self._values[week_name(*key)] = week_of(place, now_ms, store.timezone)

    def _turn_page(self, key: PlaceKey, at_ms: int) -> None:
        """A day is over; the oldest ones that are kept go."""
        store, kept = self._site.store[key[0]], self._kept[key]
        diary, today = kept.diary, _day(store, at_ms)
        diary.ends_ms = _day_ends_ms(store, at_ms)
        if today.isoformat() == diary.on:
            return  # the reset hour was moved: this day takes longer
        self._values[day_name(*key, diary.on)] = diary.pack()
        oldest = max(diary.oldest, today.toordinal() - KEPT_DAYS)
        self._drop(names_between(*key, diary.oldest, oldest))
        kept.diary = Diary.begin(at_ms, diary.ends_ms, today, oldest)

    def _drop(self, names: Iterable[str]) -> None:
        self._values |= dict.fromkeys(names)

    def _write_soon(self, key: PlaceKey, now_ms: int) -> None:
        self._unwritten[key] = None
        self._unwritten_due_ms = min(self._unwritten_due_ms or now_ms, now_ms)

    @property
    def due_ms(self) -> int | None:
        """When values wait to be taken."""
        return self._unwritten_due_ms

    def values(
        self, places: Mapping[PlaceKey, Place], is_open: Callable[[str, int], bool], now_ms: int
    ) -> dict[str, bytes | None]:
        """The values that are to be written with this entry, by name; None: it is gone.

        `is_open(store, at_ms)` says when a store is open, dated closures and all.
        """
        for key in list(islice(self._unwritten, WRITTEN_AT_ONCE)):
            del self._unwritten[key]
            diary = self._kept[key].diary
            self._values[day_name(*key, diary.on)] = diary.pack()
            self._values[outlook_name(*key)] = outlook_of(places[key], partial(is_open, key[0]), now_ms)
        self._unwritten_due_ms = now_ms + _SECOND_MS if self._unwritten else None
        values, self._values = self._values, {}
        return values

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """Everything but the site. Values are taken with each entry, so none waits here."""
        return {
            "kept": [[*key, _encode(kept)] for key, kept in self._kept.items()],
            "unwritten": [list(key) for key in self._unwritten],
        }

    @classmethod
    def load(cls, dumped: Mapping[str, Any], site: Site, now_ms: int) -> Self:
        """What `dump` wrote, as of `now_ms`."""
        chronicle = cls(site)
        chronicle._kept = {(store, zone): _decode(kept) for store, zone, kept in dumped["kept"]}
        for store, zone in dumped["unwritten"]:
            chronicle._write_soon((store, zone), now_ms + _SECOND_MS)
        return chronicle


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Kept).decode


def _day(store: Store, at_ms: int) -> date:
    return day_of(at_ms, store.timezone, store.reset_hour)


def _day_ends_ms(store: Store, at_ms: int) -> int:
    return LocalTime(store.timezone).next_reset_ms(at_ms, store.reset_hour)
