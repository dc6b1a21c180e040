"""The picture of `docs/pacing.md`: each policy's frontier in the base case, from what `bench pacing` printed.

`geo-service bench pacing > pacing.json; python -m geo_service.benchmarks.pacing_picture pacing.json docs`
"""

import sys
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

import msgspec

from geo_service.benchmarks.svg import frame, graduation

WIDTH: Final = 760
HEIGHT: Final = 400
LEFT: Final = 56
RIGHT: Final = 190
TOP: Final = 44
BOTTOM: Final = 52
MOST_MINUTES: Final = 15
STYLES: Final = {
    "oracle": ("knows everybody's future", 'stroke="#111" stroke-width="1.4" stroke-dasharray="2 3"'),
    "perfect_forecast": ("a perfect forecast", 'stroke="#111" stroke-width="1.4" stroke-dasharray="6 3"'),
    "ours": ("paced by the occupancy to come", 'stroke="#1d4ed8" stroke-width="2.4"'),
    "ramp": ("ramp", 'stroke="#c2410c" stroke-width="1.6"'),
    "on_off": ("on and off", 'stroke="#b45309" stroke-width="1.6" stroke-dasharray="7 4"'),
    "pid": ("PID", 'stroke="#7c3aed" stroke-width="1.6" stroke-dasharray="3 3"'),
    "none": ("the same share always", 'stroke="#777" stroke-width="1.6"'),
}
Points = list[tuple[float, float]]


def main(results: Path, folder: Path) -> None:
    """Draw what the benchmark's JSON holds."""
    scenarios: dict[str, Any] = msgspec.json.decode(results.read_bytes())["scenarios"]
    (folder / "pacing-frontier.svg").write_text(chart(scenarios["base"]["frontier"]))


def chart(frontiers: dict[str, Points]) -> str:
    """Visits a day against overshoot, one line a policy."""
    curves = {name: clipped(frontiers[name]) for name in STYLES}
    most = max(many for points in curves.values() for _, many in points)
    top = -(-int(most) // 200) * 200
    title = "Visits that a promotion brings a day, by how long the store is too full"
    parts = [frame(title, width=WIDTH, height=HEIGHT, left=LEFT, baseline=22), *_axes(top)]
    labels = _labels({name: _y(points[-1][1], top) for name, points in curves.items()})
    for name, points in curves.items():
        label, style = STYLES[name]
        path = " ".join(f"{_x(over)},{_y(many, top)}" for over, many in points)
        parts.append(f'<polyline fill="none" {style} points="{path}"/>')
        if len(points) == 1 or name == "ours":
            parts += [f'<circle cx="{_x(over)}" cy="{_y(many, top)}" r="3.5" fill="#1d4ed8"/>' for over, many in points]
        end, lift = _x(points[-1][0]) + 8, 8 if name == "ours" else 0  # its line ends amid the others
        parts.append(f'<text x="{end}" y="{labels[name] + 4 - lift}" fill="#333">{escape(label)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def clipped(points: Points) -> Points:
    """The part of a line up to the right edge."""
    kept: Points = []
    for over, many in points:
        if over > MOST_MINUTES:
            if kept:
                before, last = kept[-1]
                share = (MOST_MINUTES - before) / (over - before)
                kept.append((MOST_MINUTES, last + share * (many - last)))
            break
        kept.append((over, many))
    return kept


def _labels(ends: dict[str, float]) -> dict[str, float]:
    """Heights of the labels, moved apart where lines end close together."""
    placed: dict[str, float] = {}
    lowest = 0.0
    for name in sorted(ends, key=lambda each: ends[each]):
        lowest = placed[name] = max(ends[name], lowest + 15)
    return placed


def _axes(top: int) -> list[str]:
    parts = []
    for many in range(0, top + 1, 200):
        parts += graduation(many, _y(many, top), left=LEFT, right=WIDTH - RIGHT)
    parts += [
        f'<text x="{_x(over)}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" fill="#555">{over}</text>'
        for over in range(0, MOST_MINUTES + 1, 5)
    ]
    x = _x(5)
    parts.append(f'<line x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#999" stroke-dasharray="4 4"/>')
    parts.append(f'<text x="{x + 4}" y="{HEIGHT - BOTTOM - 6}" fill="#555">promised</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle" fill="#555">'
        "minutes a day with more people than the comfort capacity</text>"
    )
    return parts


def _x(over: float) -> float:
    return round(LEFT + over / MOST_MINUTES * (WIDTH - LEFT - RIGHT), 1)


def _y(many: float, top: int) -> float:
    return round(HEIGHT - BOTTOM - many / top * (HEIGHT - TOP - BOTTOM), 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
