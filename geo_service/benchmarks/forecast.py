"""How right the forecast of hourly counts is: `geo-service bench forecast`.

Pedestrians by the hour on a shopping street (Auckland, 2019 to 2025). The years from 2024 on are held out: nothing was
tuned on them. Every hour is forecast with what was known a day before, and an hour before, and compared with the
seasonal-naive forecast, the same hour a week earlier. Errors are averaged over each location, then over locations.
"""

import csv
import gzip
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from geo_service.benchmarks.occupancy import data_folder
from occupancy.forecast import HourlyForecast

HELD_OUT_FROM: Final = 2024
QUICK_FROM: Final = 2022
TIMEZONE: Final = "Pacific/Auckland"
HOUR_MS: Final = 3_600_000
_FILE: Final = "footfall/auckland_hourly_counts.csv.gz"
_WEEK: Final = 168
_GAP_HOURS: Final = 12
"""A counter that says 0 for half a day is broken: streets are never empty for so long."""
_LEADS: Final = {"hour": 1, "day": 24}
_HOLIDAYS: Final = """
2019-01-01 2019-01-02 2019-01-28 2019-02-06 2019-04-19 2019-04-22 2019-04-25 2019-06-03 2019-10-28 2019-12-25 2019-12-26
2020-01-01 2020-01-02 2020-01-27 2020-02-06 2020-04-10 2020-04-13 2020-04-27 2020-06-01 2020-10-26 2020-12-25 2020-12-28
2021-01-01 2021-01-04 2021-02-01 2021-02-08 2021-04-02 2021-04-05 2021-04-26 2021-06-07 2021-10-25 2021-12-27 2021-12-28
2022-01-03 2022-01-04 2022-01-31 2022-02-07 2022-04-15 2022-04-18 2022-04-25 2022-06-06 2022-06-24 2022-09-26 2022-10-24
2022-12-26 2022-12-27 2023-01-02 2023-01-03 2023-01-30 2023-02-06 2023-04-07 2023-04-10 2023-04-25 2023-06-05 2023-07-14
2023-10-23 2023-12-25 2023-12-26 2024-01-01 2024-01-02 2024-01-29 2024-02-06 2024-03-29 2024-04-01 2024-04-25 2024-06-03
2024-06-28 2024-10-28 2024-12-25 2024-12-26 2025-01-01 2025-01-02 2025-01-27 2025-02-06 2025-04-18 2025-04-21 2025-04-25
2025-06-02 2025-06-20 2025-10-27 2025-12-25 2025-12-26
"""

Floats = NDArray[np.float64]


class Counts(NamedTuple):
    """Hourly counts by location; nan = not known. Column t is the hour that begins at `first_ms` + t hours."""

    first_ms: int
    names: list[str]
    people: Floats
    """Shape (locations, hours)."""


class Errors(NamedTuple):
    """Of one location: mean absolute error of ours and of the naive forecast, and the share that the interval held."""

    ours: float
    naive: float
    cover: float


def run(*, quick: bool, progress: Callable[[str], None] | None = None) -> dict[str, object]:
    """The figures, all None without the data; `quick` takes every fourth location and learns from 2022 on only."""
    say = progress if progress is not None else _to_stderr
    path = data_folder() / _FILE
    if not path.exists():
        say(f"forecast: no {_FILE}")
        return dict.fromkeys(("mae_day_ahead", "mae_hour_ahead", "naive_day_ahead", "naive_hour_ahead", "cover"))
    counts = read_counts(path)
    gathered: dict[str, list[Errors]] = {name: [] for name in _LEADS}
    for at, location in enumerate(counts.names):
        if quick and at % 4:
            continue
        for name, errors in _score(counts, at, QUICK_FROM if quick else 0).items():
            gathered[name].append(errors)
            say(f"forecast, {location}, {name} ahead: {errors.ours:.1f} against {errors.naive:.1f}")
    means = {name: np.mean(errors, axis=0) for name, errors in gathered.items()}
    return {
        "mae_day_ahead": round(float(means["day"][0]), 2),
        "mae_hour_ahead": round(float(means["hour"][0]), 2),
        "naive_day_ahead": round(float(means["day"][1]), 2),
        "naive_hour_ahead": round(float(means["hour"][1]), 2),
        "cover": round(float((means["day"][2] + means["hour"][2]) / 2), 3),
        "cover_day_ahead": round(float(means["day"][2]), 3),
        "cover_hour_ahead": round(float(means["hour"][2]), 3),
        "locations": len(gathered["day"]),
    }


def read_counts(path: Path) -> Counts:
    """The file as hours since its first: each date's block runs from 6:00 to 5:59 of the next day.

    An hour that the clock skipped in spring is dropped, one that came twice in autumn is counted as its first. A run of
    zeros of half a day and more is a gap.
    """
    zone = ZoneInfo(TIMEZONE)
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    names = list(rows[0])[3:]
    by_hour: dict[int, list[float]] = {}
    for row in rows:
        hour = int(row["hour"].split(":")[0])
        day = date.fromisoformat(row["date"]) + timedelta(days=1 if hour < 6 else 0)
        starts = datetime(day.year, day.month, day.day, hour, tzinfo=zone).astimezone(UTC)
        if starts.astimezone(zone).hour == hour:
            by_hour[int(starts.timestamp()) // 3600] = [float(row[name]) if row[name] else np.nan for name in names]
    first = min(by_hour)
    people = np.full((len(names), max(by_hour) - first + 1), np.nan)
    for hour, values in by_hour.items():
        people[:, hour - first] = values
    for series in people:
        _drop_gaps(series)
    return Counts(first * HOUR_MS, names, people)


def _drop_gaps(series: Floats) -> None:
    zero = np.concatenate([[0], (np.nan_to_num(series) == 0).astype(np.int8), [0]])
    edges = np.flatnonzero(np.diff(zero))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if stop - start >= _GAP_HOURS:
            series[start:stop] = np.nan


def _score(counts: Counts, location: int, learn_from: int) -> dict[str, Errors]:
    people = counts.people[location]
    zone = ZoneInfo(TIMEZONE)
    started, held_out = (
        int(datetime(year, 1, 1, tzinfo=zone).timestamp() * 1000) if year else counts.first_ms
        for year in (learn_from, HELD_OUT_FROM)
    )
    forecast = HourlyForecast(TIMEZONE, [date.fromisoformat(day) for day in _HOLIDAYS.split()])
    said = {name: np.full((3, people.size), np.nan) for name in _LEADS}
    for at in range((started - counts.first_ms) // HOUR_MS, people.size):
        known = people[at]
        forecast.learn(counts.first_ms + at * HOUR_MS, None if np.isnan(known) else float(known))
        for name, lead in _LEADS.items():
            if at + lead < people.size:
                expected = forecast.hour_ahead(lead)
                if expected is not None:
                    said[name][:, at + lead] = expected[1:]
    naive = _last_week(counts, location)
    first = (held_out - counts.first_ms) // HOUR_MS
    use = np.isfinite(people) & np.isfinite(naive) & (np.arange(people.size) >= first)
    truth = people[use]
    return {
        name: Errors(
            float(np.abs(mean[use] - truth).mean()),
            float(np.abs(naive[use] - truth).mean()),
            float(((low[use] <= truth) & (truth <= high[use])).mean()),
        )
        for name, (mean, low, high) in said.items()
    }


def _last_week(counts: Counts, location: int) -> Floats:
    """The count at the same hour on the clock a week before: one hour nearer or further where clocks changed between."""
    zone = ZoneInfo(TIMEZONE)
    people = counts.people[location]
    hours = [datetime.fromtimestamp((counts.first_ms + at * HOUR_MS) / 1000, zone).hour for at in range(people.size)]
    naive = np.full(people.size, np.nan)
    for at in range(_WEEK + 1, people.size):
        back = next((at - _WEEK + shift for shift in (0, -1, 1) if hours[at - _WEEK + shift] == hours[at]), None)
        if back is not None:
            naive[at] = people[back]
    return naive


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201 - the figures go to stdout
