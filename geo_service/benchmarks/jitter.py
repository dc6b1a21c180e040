"""How many false crossings a rule makes of jittery positions, how many stays it misses, and how late it is.

People of the simulated town walk, shop and pass by; each phone sends a fix every 30 s with the errors of a model of
`simulator/noise.py`; the truth is where the person is. Every fence of the town of 30 m and up is judged, by five rules:

- `strict`: inside the shape is inside. Through `Presence`, as in production.
- `buffer_15m`: leaving takes a fix 15 m beyond the edge.
- `two_in_a_row`: a change takes two fixes that agree.
- `accuracy_buffer`: leaving takes a fix that is further beyond the edge than its accuracy.
- `steady`: the Bayes filter of `geofences/steady.py`. Through `Presence`, as in production.

A true stay is a run of fixes during which the person is truly inside. `enters_per_stay` counts all enters, false ones and
repeated ones, by true stay; `missed` is the share of stays of 2 min and more (5 fixes) in which the rule never says
inside; `delay_pings` is the median over the others of the fixes from the first inside to the rule's word. `reliability`
holds, for steady, how often crossings of a given confidence were true. `late_exits` is what the quiet is paid with: how many pings
after the end of a true stay of 2 min the rule still says inside, on average. `blind` is the share of such stays in which no fix
claims to be better than half the fence's width: a phone that knows its radio cell only. No rule can place those.
"""

import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from geo_service.catalogue.documents import Fence
from geo_service.geofences.index import FenceIndex
from geo_service.geofences.presence import Presence
from geo_service.geofences.shapes import read_shape
from geo_service.geofences.steady import half_width_m
from geo_service.geofences.tables import Mode
from geo_service.pings.batch import PingBatch
from geo_service.simulator.noise import MODELS, Errors
from geo_service.simulator.plan import Plan, built_in
from geo_service.simulator.town import Town

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

BEGINS_MS = 1_780_300_800_000
"""A Monday at 8:00 UTC; shops fill from then on."""
PING_MS = 30_000
SMALLEST_M = 30.0
LONG_PINGS = 5
BINS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


class Walks(NamedTuple):
    """The truth: where each phone is at each ping, nan while it is at home; all arrays (pings, phones)."""

    plan: Plan
    devices: list[str]
    time_ms: NDArray[np.int64]
    lat: Floats
    lon: Floats


class Cases(NamedTuple):
    """Every phone with every fence, and the truth about each; `inside` and `out` are (pings, cases)."""

    fences: list[Fence]
    where: FenceIndex
    phone: NDArray[np.int64]
    slot: NDArray[np.int64]
    inside: Mask
    out: Mask
    """The phone is out, so it pings."""


class Score(NamedTuple):
    """Counts that can be added up over models."""

    stays: int
    enters: int
    long_stays: int
    missed: int
    delays: NDArray[np.int64]
    late_exits: NDArray[np.int64]

    def figures(self) -> dict[str, float]:
        """As the benchmark reports them."""
        return {
            "enters_per_stay": round(self.enters / self.stays, 3),
            "missed": round(self.missed / self.long_stays, 4),
            "delay_pings": float(np.median(self.delays)),
            "late_exits": round(float(np.mean(self.late_exits)), 2),
        }


class Crossings(NamedTuple):
    """Confidence of each crossing, and whether it was true."""

    confidence: Floats
    true: Mask


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")


def run(*, quick: bool, progress: Callable[[str], None] = _tell) -> dict[str, Any]:
    """Walk a town and judge it by every rule.

    Returns:
        `methods` by rule over all error models; the same in `by_errors` for each model; `reliability` by bin of confidence;
        `blind` by model.
    """
    walks = walk(phones=60 if quick else 250, hours=4.0 if quick else 10.0)
    cases = judge_truth(walks)
    progress(f"{len(walks.devices)} phones, {len(cases.fences)} fences, {_runs(cases)[0].size} true stays")
    scores: dict[str, dict[str, Score]] = {}
    crossings = []
    blind: dict[str, float] = {}
    for number, (name, model) in enumerate(MODELS.items()):
        errors = model(np.random.default_rng([7, number]), *walks.lat.shape)
        scores[name] = {}
        blind[name] = blind_share(cases, errors)
        for method, said in _methods(walks, cases, errors):
            if isinstance(said, Crossings):
                crossings.append(said)
            else:
                scores[name][method] = score(cases, said)
        told = ", ".join(f"{method} {each.figures()['enters_per_stay']}" for method, each in scores[name].items())
        progress(f"{name}: enters per stay: {told}")
    methods = next(iter(scores.values()))
    return {
        "methods": {method: _sum([by[method] for by in scores.values()]).figures() for method in methods},
        "by_errors": {name: {method: each.figures() for method, each in by.items()} for name, by in scores.items()},
        "reliability": reliability(crossings),
        "blind": blind,
        "stays": _sum([by["strict"] for by in scores.values()]).stays,
    }


def walk(phones: int, hours: float, seed: int = 5) -> Walks:
    """Let people live for some hours and note where they are every 30 s."""
    plan = built_in()
    town = Town(seed, plan, start_ms=BEGINS_MS, phones=phones, remembers=False)
    time_ms = BEGINS_MS + PING_MS * np.arange(1, round(hours * 120) + 1)
    lat, lon = (np.full((len(time_ms), phones), np.nan) for _ in range(2))
    columns: dict[str, int] = {}
    for step, now_ms in enumerate(time_ms.tolist()):
        town.step(now_ms)
        for device, person in town.people().items():
            column = columns.setdefault(device, len(columns))
            lat[step, column], lon[step, column] = person.lat, person.lon
    return Walks(plan, list(columns), time_ms, lat[:, : len(columns)], lon[:, : len(columns)])


def judge_truth(walks: Walks) -> Cases:
    """Find who is truly inside which fence when."""
    fences: list[Fence] = []
    index = FenceIndex()
    for fence in walks.plan.site.fence.values():
        shape, _ = read_shape(fence)
        if 2 * half_width_m(shape) >= SMALLEST_M:
            index.put(len(fences), shape)
            fences.append(msgspec.structs.replace(fence, dwell_s=None, hours=None, detect=("enter", "exit")))
    out = np.isfinite(walks.lat)
    pings, phones = np.nonzero(out)
    within = index.match(walks.lat[out], walks.lon[out])
    phone, slot = (each.ravel() for each in np.indices((len(walks.devices), len(fences))))
    inside = np.zeros((len(walks.time_ms), len(phone)), np.bool_)
    inside[pings[within.row], phones[within.row] * len(fences) + within.slot] = True
    return Cases(fences, index, phone, slot, inside, out[:, phone])


def _methods(walks: Walks, cases: Cases, errors: Errors) -> Iterator[tuple[str, Mask | Crossings]]:
    """What each rule says, (pings, cases); and for steady, its crossings."""
    lon_m, lat_m = walks.plan.plane.metres_per_degree
    lat, lon = (
        walks.lat + errors.north[:, : len(walks.devices)] / lat_m,
        walks.lon + errors.east[:, : len(walks.devices)] / lon_m,
    )
    accuracy = errors.accuracy[:, : len(walks.devices)]
    distance = np.full(cases.inside.shape, np.inf)
    ping, case = np.nonzero(cases.out)
    at = ping, cases.phone[case]
    distance[cases.out] = cases.where.distances(cases.slot[case].astype(np.int32), lat[at], lon[at])
    yield "strict", _presence("strict", walks, cases, (lat, lon, accuracy))[0]
    yield "buffer_15m", _with_buffer(distance, np.full_like(distance, 15.0), cases.out)
    yield "two_in_a_row", _two_in_a_row(distance <= 0, cases.out)
    yield "accuracy_buffer", _with_buffer(distance, accuracy[:, cases.phone], cases.out)
    said, crossings = _presence("steady", walks, cases, (lat, lon, accuracy))
    yield "steady", said
    yield "steady", crossings


def _presence(mode: Mode, walks: Walks, cases: Cases, fixes: tuple[Floats, Floats, Floats]) -> tuple[Mask, Crossings]:
    """What the engine says, ping by ping."""
    presence = Presence(mode)
    for fence in cases.fences:
        presence.put_fence(fence, BEGINS_MS)
    slots = {fence.id: slot for slot, fence in enumerate(cases.fences)}
    phones = {device: phone for phone, device in enumerate(walks.devices)}
    said, now = np.zeros_like(cases.inside), np.zeros(len(cases.phone), np.bool_)
    confidence, true = [], []
    for step, now_ms in enumerate(walks.time_ms.tolist()):
        out = np.flatnonzero(np.isfinite(walks.lat[step]))
        pings = _batch(walks, now_ms, out, [column[step, out] for column in fixes])
        for event in presence.advance(pings, now_ms).events:
            case = phones[event.device] * len(slots) + slots[event.fence]
            now[case] = event.type == "enter"
            if event.reason == "observed":
                confidence.append(event.confidence)
                true.append(cases.inside[step, case] == now[case])
        said[step] = now
    return said, Crossings(np.array(confidence), np.array(true, np.bool_))


def _batch(walks: Walks, now_ms: int, out: NDArray[np.intp], fixes: list[Floats]) -> PingBatch:
    unsaid = np.full(len(out), np.nan)
    lat, lon, accuracy = fixes
    times = np.full(len(out), now_ms)
    return PingBatch(
        [walks.devices[phone] for phone in out.tolist()],
        times,
        lat,
        lon,
        accuracy,
        unsaid,
        unsaid,
        np.zeros(len(out), np.uint8),
    )


def _with_buffer(distance: Floats, buffer_m: Floats, out: Mask) -> Mask:
    """In at the edge, out beyond the buffer."""
    said, now = np.zeros(distance.shape, np.bool_), np.zeros(distance.shape[1], np.bool_)
    for step in range(len(distance)):
        inside = np.where(now, distance[step] <= buffer_m[step], distance[step] <= 0)
        now = np.where(out[step], inside, now)
        said[step] = now
    return said


def _two_in_a_row(inside: Mask, out: Mask) -> Mask:
    said, now = np.zeros(inside.shape, np.bool_), np.zeros(inside.shape[1], np.bool_)
    other = np.zeros_like(now)
    for step in range(len(inside)):
        differs = inside[step] != now
        now = np.where(out[step] & differs & other, inside[step], now)
        other = np.where(out[step], differs & (inside[step] != now), other)
        said[step] = now
    return said


def _runs(cases: Cases) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First and one-past-last element of each true stay, where the pings of each case stand in one row, case by case."""
    inside, first = _rows(cases, cases.inside)
    begins = inside & (first | ~np.roll(inside, 1))
    ends = inside & (np.roll(first, -1) | ~np.roll(inside, -1))
    return np.flatnonzero(begins), np.flatnonzero(ends) + 1


def _rows(cases: Cases, said: Mask) -> tuple[Mask, Mask]:
    """What was said at the pings of each case, case by case; and which are a case's first."""
    out = cases.out.T
    case = np.nonzero(out)[0]
    return said.T[out], np.diff(case, prepend=-1) != 0


def score(cases: Cases, said: Mask) -> Score:
    """Compare what a rule said with the truth."""
    begins, ends = _runs(cases)
    flat, first = _rows(cases, said)
    enters = flat & (first | ~np.roll(flat, 1))
    so_far = np.concatenate(([0], np.cumsum(flat)))
    long_ = ends - begins >= LONG_PINGS
    hit = so_far[ends] > so_far[begins]
    said_at = np.flatnonzero(flat)
    next_at = said_at[np.minimum(np.searchsorted(said_at, begins), len(said_at) - 1)] if len(said_at) else begins
    return Score(
        len(begins),
        int(enters.sum()),
        int(long_.sum()),
        int((long_ & ~hit).sum()),
        (next_at - begins)[long_ & hit],
        _late_exits(flat, first, ends[long_ & hit]),
    )


def _late_exits(said: Mask, first: Mask, ends: NDArray[np.intp]) -> NDArray[np.int64]:
    """For each true stay that ends here with the rule saying inside: how many pings more it does."""
    over = np.append(np.flatnonzero(~said | first), len(said))
    ends = ends[said[ends - 1]]
    return over[np.searchsorted(over, ends)] - ends


def blind_share(cases: Cases, errors: Errors) -> float:
    """The share of long stays in which no fix claims to be better than half the fence's width."""
    begins, ends = _runs(cases)
    begins, ends = begins[ends - begins >= LONG_PINGS], ends[ends - begins >= LONG_PINGS]
    out = cases.out.T
    claimed_m = errors.accuracy[:, cases.phone].T[out]
    half_m = np.array([half_width_m(read_shape(fence)[0]) for fence in cases.fences])[
        cases.slot[np.nonzero(out)[0][begins]]
    ]
    best_m = np.array([claimed_m[begin:end].min() for begin, end in zip(begins, ends, strict=True)])
    return round(float(np.mean(best_m > half_m)), 4)


def _sum(scores: list[Score]) -> Score:
    stays, enters, long_stays, missed, delays, late = zip(*scores, strict=True)
    return Score(sum(stays), sum(enters), sum(long_stays), sum(missed), np.concatenate(delays), np.concatenate(late))


def reliability(crossings: list[Crossings]) -> list[dict[str, float]]:
    """By bin of confidence: how many crossings, their mean confidence, and the share that was true."""
    confidence = np.concatenate([each.confidence for each in crossings])
    true = np.concatenate([each.true for each in crossings])
    rows = []
    for low, high in pairwise(BINS):
        chosen = (confidence >= low) & ((confidence < high) | (high == BINS[-1]))
        if chosen.any():
            rows.append(
                {
                    "from": low,
                    "to": high,
                    "crossings": int(chosen.sum()),
                    "confidence": round(float(confidence[chosen].mean()), 3),
                    "true": round(float(true[chosen].mean()), 3),
                }
            )
    return rows
