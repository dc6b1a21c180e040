"""How right the occupancy is, and what it costs: `geo-service bench occupancy`.

Made stores (`simulator/doors.py`) whose truth is known: days 1 to 15 are for learning, 16 to 45 are scored, every minute of
opening hours. Beside ours stand the simple methods that the field uses, all with a nightly reset. The seeds below were
never looked at while anything was tuned (that was done on 100 to 105).

The real door (CalIt2, UCI Machine Learning Repository) has no truth but one: the building is near-empty at midnight.
"""

import csv
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo_service.benchmarks.controls import CONTROLS, Control
from geo_service.simulator.doors import (
    CLOSES,
    DAY_MS,
    DOORS,
    FIRST_DAY_MS,
    MINUTE_MS,
    OPENS,
    Day,
    Habits,
    Store,
)
from occupancy.place import Place

HELD_OUT_SEEDS: Final = (7, 1729, 4242, 31337, 90210, 20260101)
LEARN_DAYS: Final = 15
COUNT_DAYS: Final = 30
QUICK_DAYS: Final = 4
RECOUNT_AT: Final = 14 * 60
CAMERA_EVERY: Final = 15
CASES: Final = {
    "1-2 %": Habits(miss_in=(0.01, 0.02), miss_out=(0.01, 0.02)),
    "4-7 % in, 3-6 % out": Habits(miss_in=(0.04, 0.07), miss_out=(0.03, 0.06)),
    "8 % in, 2 % out": Habits(miss_in=(0.08, 0.08), miss_out=(0.02, 0.02)),
    "10-12 % in, 15-18 % out": Habits(miss_in=(0.10, 0.12), miss_out=(0.15, 0.18)),
}
_CALIT2: Final = "footfall/calit2_door_in_out_30min_first63days.csv"

Floats = NDArray[np.float64]


class Told(NamedTuple):
    """What a place said at the end of each minute of opening hours."""

    mean: Floats
    low: Floats
    high: Floats


@dataclass
class Score:
    """Squares and hits of one case, gathered over days and seeds."""

    squares: dict[str, list[float]] = field(default_factory=dict)
    covered: list[float] = field(default_factory=list)

    def add(self, name: str, said: Floats, truth: Floats) -> None:
        """Take one day of one method in."""
        self.squares.setdefault(name, []).append(float(((said - truth) ** 2).mean()))

    def rmse(self, name: str) -> float:
        """Root mean square error over all that was taken in."""
        return round(float(np.sqrt(np.mean(self.squares[name]))), 2)


def run(*, quick: bool, progress: Callable[[str], None] | None = None) -> dict[str, object]:
    """The figures; `quick` takes two seeds and four days instead of six and thirty: names and speed, not how right it is."""
    say = progress if progress is not None else _to_stderr
    seeds = HELD_OUT_SEEDS[:2] if quick else HELD_OUT_SEEDS
    count_days = QUICK_DAYS if quick else COUNT_DAYS
    cases: list[dict[str, Any]] = []
    places: list[Place] = []
    for miss, habits in CASES.items():
        score = Score()
        places += [_score_store(seed, habits, count_days, score) for seed in seeds]
        simple = {name: score.rmse(name) for name in CONTROLS}
        case = {
            "miss": miss,
            "rmse": {"ours": score.rmse("ours"), **simple},
            "cover": round(float(np.mean(score.covered)), 3),
            "rmse_with_recount": score.rmse("recount"),
            "rmse_with_camera": score.rmse("camera"),
            "rmse_of_history": score.rmse("history"),
        }
        say(f"occupancy, doors that miss {miss}: {case['rmse']}, covers {case['cover']}")
        cases.append(case)
    return {
        "update_us": round(update_us(places[0]), 1),
        "core_share_of_2000_stores": round(core_share(places), 3),
        "bytes_per_store": max(len(place.dump()) for place in places),
        "cases": cases,
        "calit2": calit2(data_folder()),
        "seeds": list(seeds),
        "days": [LEARN_DAYS, count_days],
    }


def _score_store(seed: int, habits: Habits, count_days: int, score: Score) -> Place:
    """Run one store; after the days for learning it goes on three times: as it is, with a recount, with a camera."""
    store = Store(seed, habits)
    place = Place(110, 150)
    place.advance(FIRST_DAY_MS)
    place.is_open(FIRST_DAY_MS, False)
    place.expect(FIRST_DAY_MS, doors=DOORS)
    controls = {name: make() for name, make in CONTROLS.items()}
    for _ in range(LEARN_DAYS):
        day = store.day()
        live(place, day)
        _run_controls(controls, day)
    ways = {"ours": place, "recount": Place.load(place.dump()), "camera": Place.load(place.dump())}
    before: Day | None = None
    for _ in range(count_days):
        day = store.day()
        truth = day.inside[OPENS:CLOSES].astype(np.float64)
        for name, way in ways.items():
            told = live(way, day, recount_at=RECOUNT_AT if name == "recount" else None, camera=name == "camera")
            score.add(name, told.mean, truth)
            if name == "ours":
                score.covered.append(float(((told.low <= truth) & (truth <= told.high)).mean()))
        for name, said in _run_controls(controls, day).items():
            score.add(name, said[OPENS:CLOSES], truth)
        if before is not None:
            _score_history(place, before, score)
        before = day
    return place


def live(place: Place, day: Day, *, recount_at: int | None = None, camera: bool = False) -> Told:
    """Let a place live through a day: each door reports every minute, an hour before opening until an hour after closing."""
    told = Told(*np.zeros((3, CLOSES - OPENS)))
    ins, outs, silent = day.ins.tolist(), day.outs.tolist(), day.silent.tolist()
    for minute in range(OPENS - 60, CLOSES + 60):
        at_ms = day.starts_ms + minute * MINUTE_MS
        if minute in {OPENS, CLOSES}:
            place.is_open(at_ms, minute == OPENS)
        at_ms += MINUTE_MS
        for door, name in enumerate(DOORS):
            if not silent[minute][door]:
                place.count(at_ms, ins[minute][door], outs[minute][door], name)
        if minute == recount_at:
            place.recount(at_ms, max(round(int(day.inside[minute]) * (1 + day.recount_error)), 0))
        if OPENS <= minute < CLOSES:
            if camera and minute % CAMERA_EVERY == 0:
                place.observe(at_ms, float(day.camera[minute]), counter="camera")
            estimate = place.estimate(at_ms)
            at = minute - OPENS
            told.mean[at], told.low[at], told.high[at] = estimate.mean, estimate.low, estimate.high
    return told


def _run_controls(controls: dict[str, Control], day: Day) -> dict[str, Floats]:
    ins, outs = day.ins.sum(axis=1), day.outs.sum(axis=1)
    return {name: control.day(ins, outs) for name, control in controls.items()}


def _score_history(place: Place, day: Day, score: Score) -> None:
    """The day as the place wrote it down the night after, against the truth at the end of each of its steps."""
    history = place.history
    assert history is not None
    first = (day.starts_ms + OPENS * MINUTE_MS - history.starts_ms) // history.step_ms
    steps = range(first, min(first + (CLOSES - OPENS) * MINUTE_MS // history.step_ms, len(history.mean)))
    minutes = [(history.starts_ms + (step + 1) * history.step_ms - day.starts_ms) // MINUTE_MS - 1 for step in steps]
    score.add("history", history.mean[steps.start : steps.stop], day.inside[minutes].astype(np.float64))


def update_us(place: Place, updates: int = 4000) -> float:
    """CPU microseconds of a door message that counts somebody, one a second, in a store that has learned."""
    starts_ms = FIRST_DAY_MS + 200 * DAY_MS + OPENS * MINUTE_MS
    place = Place.load(place.dump())
    place.is_open(starts_ms, True)
    place.recount(starts_ms, 60)
    people = np.random.default_rng(1).integers(0, 2, updates)
    started = time.process_time()
    for at, ins in enumerate(people.tolist()):
        place.count(starts_ms + at * 1000, ins, 1 - ins, DOORS[at % 2])
    return (time.process_time() - started) / updates * 1e6


def core_share(places: list[Place], stores: int = 2000, seconds: int = 120) -> float:
    """Share of one core that so many learned stores take, each with a door message and an estimate a second, by some of them."""
    starts_ms = FIRST_DAY_MS + 200 * DAY_MS + OPENS * MINUTE_MS
    copies = [Place.load(place.dump()) for place in places]
    for place in copies:
        place.is_open(starts_ms, True)
        place.recount(starts_ms, 60)
    people = np.random.default_rng(2).integers(0, 2, (seconds, len(copies))).tolist()
    started = time.process_time()
    for second in range(seconds):
        at_ms = starts_ms + second * 1000
        for place, ins in zip(copies, people[second], strict=True):
            place.count(at_ms, ins, 1 - ins, DOORS[second % 2])
            place.estimate(at_ms)
    return (time.process_time() - started) / seconds / len(copies) * stores


# --- the real door -----------------------------------------------------------------------------------------------------


def data_folder() -> Path:
    """Where public data lies beside a checkout; absent elsewhere."""
    return Path(__file__).resolve().parents[2] / "../shared/data"


class HalfHour(NamedTuple):
    """Counts of one half-hour."""

    starts_ms: int
    ins: int
    outs: int


def calit2_counts(folder: Path) -> list[HalfHour]:
    """The door's 63 days, by the half-hour."""
    with (folder / _CALIT2).open(newline="") as file:
        return [
            HalfHour(
                int(datetime.fromisoformat(row["slot_start_local"]).replace(tzinfo=UTC).timestamp() * 1000),
                int(row["in_count"]),
                int(row["out_count"]),
            )
            for row in csv.DictReader(file)
        ]


def calit2(folder: Path) -> dict[str, object] | None:
    """Residuals at midnight against an empty building, and what our place says of the door; None without the data."""
    if not (folder / _CALIT2).exists():
        return None
    controls = {name: make() for name, make in CONTROLS.items()}
    place = Place(60, 100, reset_hour=3)
    residuals: dict[str, list[float]] = {name: [] for name in ("ours", *controls)}
    status = ""
    for day in _days(calit2_counts(folder)):
        place.is_open(day[0].starts_ms, False)
        for half_hour in day:
            if half_hour.starts_ms % DAY_MS == 6 * 3_600_000:
                place.is_open(half_hour.starts_ms, True)
            place.count(half_hour.starts_ms + 1_800_000, half_hour.ins, half_hour.outs, "door")
        midnight = place.estimate(day[0].starts_ms + DAY_MS)
        residuals["ours"].append(midnight.mean)
        status = midnight.status
        ins, outs = (np.array([counts[at] for counts in day]) for at in (1, 2))
        for name, control in controls.items():
            residuals[name].append(float(control.day(ins, outs)[-1]))
    errors = {name: np.array(values) for name, values in residuals.items()}
    return {
        "mae": {name: round(float(np.abs(error).mean()), 2) for name, error in errors.items()},
        "rmse": {name: round(float(np.sqrt((error**2).mean())), 2) for name, error in errors.items()},
        "status": status,
    }


def _days(counts: list[HalfHour]) -> Iterator[list[HalfHour]]:
    for start in range(0, len(counts), 48):
        yield counts[start : start + 48]


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201 - the figures go to stdout
