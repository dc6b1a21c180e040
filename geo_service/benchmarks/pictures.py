"""The two pictures of `docs/occupancy.md`, drawn from a made store: `python -m geo_service.benchmarks.pictures docs`.

The store is one of those that were tuned on (seed 100), on a day after three weeks of learning.
"""

import sys
from pathlib import Path
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from geo_service.benchmarks.controls import Raw
from geo_service.benchmarks.occupancy import CASES, Told, live
from geo_service.benchmarks.svg import frame, graduation
from geo_service.simulator.doors import CLOSES, DOORS, FIRST_DAY_MS, OPENS, Day, Store
from occupancy.place import Place

SEED: Final = 100
LEARN_DAYS: Final = 22
SILENT: Final = (12 * 60 + 30, 14 * 60 + 30)
RECOUNT: Final = 16 * 60

WIDTH: Final = 760
HEIGHT: Final = 330
LEFT: Final = 44
RIGHT: Final = 16
TOP: Final = 44
BOTTOM: Final = 30
EVERY: Final = 5
"""Minutes between two points of a line."""

Floats = NDArray[np.float64]


class Line(NamedTuple):
    """One line of a chart, by the minute of opening hours."""

    label: str
    people: Floats
    style: str


class Mark(NamedTuple):
    """Something that happened, from one minute of the day to another."""

    label: str
    starts: int
    ends: int


def main(folder: Path) -> None:
    """Write both pictures."""
    store = Store(SEED, CASES["4-7 % in, 3-6 % out"])
    place = Place(110, 150)
    place.advance(FIRST_DAY_MS)
    place.is_open(FIRST_DAY_MS, False)
    place.expect(FIRST_DAY_MS, doors=DOORS)
    for _ in range(LEARN_DAYS):
        live(place, store.day())
    learned, day = place.dump(), store.day()
    (folder / "occupancy-day.svg").write_text(a_day(Place.load(learned), day))
    (folder / "occupancy-silence.svg").write_text(a_silence(Place.load(learned), day))


def a_day(place: Place, day: Day) -> str:
    """Truth, in minus out, and ours with its interval."""
    told = live(place, day)
    raw = Raw().day(day.ins.sum(axis=1), day.outs.sum(axis=1))[OPENS:CLOSES]
    lines = [
        Line(
            "people inside, in truth", day.inside[OPENS:CLOSES].astype(np.float64), 'stroke="#111" stroke-width="1.6"'
        ),
        Line("in minus out", raw, 'stroke="#c2410c" stroke-width="1.4" stroke-dasharray="5 4"'),
        Line("our estimate", told.mean, 'stroke="#1d4ed8" stroke-width="1.6"'),
    ]
    return chart("A day of a made store whose doors miss 4 to 7 % in and 3 to 6 % out", told, lines, [])


def a_silence(place: Place, day: Day) -> str:
    """The same day, on which one door is silent for two hours and somebody counts by eye later."""
    silent = day.silent.copy()
    silent[SILENT[0] : SILENT[1], 0] = True
    broken = Day(**{**vars(day), "silent": silent})
    told = live(place, broken, recount_at=RECOUNT)
    lines = [
        Line(
            "people inside, in truth", day.inside[OPENS:CLOSES].astype(np.float64), 'stroke="#111" stroke-width="1.6"'
        ),
        Line("our estimate", told.mean, 'stroke="#1d4ed8" stroke-width="1.6"'),
    ]
    marks = [Mark("one door silent", *SILENT), Mark("counted by eye", RECOUNT, RECOUNT)]
    return chart("The same day, had one door fallen silent", told, lines, marks)


def chart(title: str, told: Told, lines: list[Line], marks: list[Mark]) -> str:
    """An SVG chart of opening hours: the interval as an area, the lines over it, the marks behind."""
    most = max(float(told.high.max()), *(float(line.people.max()) for line in lines))
    top = int(np.ceil(most / 20) * 20)
    least = min(0.0, *(float(line.people.min()) for line in lines))
    bottom = int(np.floor(least / 20) * 20)
    parts = [
        frame(title, width=WIDTH, height=HEIGHT, left=LEFT, baseline=18),
        *(_mark(mark) for mark in marks),
        *_axes(bottom, top),
    ]
    parts.append(_area(told, bottom, top))
    parts += [f'<polyline fill="none" {line.style} points="{_points(line.people, bottom, top)}"/>' for line in lines]
    parts += _legend(lines)
    return "\n".join([*parts, "</svg>", ""])


def _x(minute: float) -> float:
    return round(LEFT + (minute - OPENS) / (CLOSES - OPENS) * (WIDTH - LEFT - RIGHT), 1)


def _y(people: float, bottom: int, top: int) -> float:
    return round(HEIGHT - BOTTOM - (people - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM), 1)


def _points(people: Floats, bottom: int, top: int) -> str:
    kept = range(0, people.size, EVERY)
    return " ".join(f"{_x(OPENS + at + 1)},{_y(float(people[at]), bottom, top)}" for at in kept)


def _area(told: Told, bottom: int, top: int) -> str:
    forth = _points(told.high, bottom, top).split()
    back = _points(told.low, bottom, top).split()[::-1]
    return f'<polygon fill="#1d4ed8" fill-opacity="0.18" points="{" ".join([*forth, *back])}"/>'


def _axes(bottom: int, top: int) -> list[str]:
    parts = []
    for people in range(bottom, top + 1, 20):
        y = _y(people, bottom, top)
        colour = "#999" if people == 0 else "#e5e5e5"
        parts += graduation(people, y, left=LEFT, right=WIDTH - RIGHT, colour=colour)
    parts += [
        f'<text x="{_x(hour * 60)}" y="{HEIGHT - 10}" text-anchor="middle" fill="#555">{hour}:00</text>'
        for hour in range(OPENS // 60, CLOSES // 60 + 1, 2)
    ]
    return parts


def _mark(mark: Mark) -> str:
    start, width = _x(mark.starts), max(_x(mark.ends) - _x(mark.starts), 1.5)
    return (
        f'<rect x="{start}" y="{TOP}" width="{width}" height="{HEIGHT - TOP - BOTTOM}" fill="#f59e0b" '
        f'fill-opacity="{0.16 if mark.ends > mark.starts else 0.9}"/>\n'
        f'<text x="{start + 4}" y="{TOP + 12}" fill="#92400e">{escape(mark.label)}</text>'
    )


def _legend(lines: list[Line]) -> list[str]:
    parts, x = [], LEFT
    for line in lines:
        parts.append(f'<line x1="{x}" x2="{x + 22}" y1="32" y2="32" {line.style}/>')
        parts.append(f'<text x="{x + 27}" y="36" fill="#333">{escape(line.label)}</text>')
        x += 60 + 6 * len(line.label)
    parts.append(f'<rect x="{x}" y="26" width="22" height="12" fill="#1d4ed8" fill-opacity="0.18"/>')
    parts.append(f'<text x="{x + 27}" y="36" fill="#333">nine times in ten within</text>')
    return parts


if __name__ == "__main__":
    main(Path(sys.argv[1]))
