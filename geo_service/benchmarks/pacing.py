"""What pacing by the occupancy to come is worth: `geo-service bench pacing`.

Made days of a store with a promotion (`simulator/promotion.py`) under six policies. Each simple policy is swept over its
settings and judged by the best mixture of them that has five minutes of overshoot a day: in hindsight, on the very days that
are reported. Ours is one pacer with one set of constants that starts knowing nothing, lives through a hundred days and is
reported from the twenty-first on, as it runs; nothing of it was tuned on the seeds that are reported.
"""

import sys
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from typing import Any, Final

import numpy as np

from geo_service.benchmarks.pacing_floor import Outcome
from geo_service.benchmarks.pacing_odds import ToldTheOdds
from geo_service.benchmarks.pacing_ours import Forecasts, Life, live
from geo_service.benchmarks.pacing_policies import all_knowing, sweep
from geo_service.simulator.promotion import Setting, make_days

PROMISED: Final = 5.0
SEEDS: Final = (1, 2, 3)
SIMPLE: Final = ("none", "on_off", "ramp", "pid")
KNOWING: Final = ("oracle", "perfect_forecast")
POLICIES: Final = (*SIMPLE, "ours", *KNOWING)
BASE_TARGETS: Final = (PROMISED, 10.0)
BASE: Final = Setting()
SCENARIOS: Final = {
    "base": BASE,
    "eta20": BASE.changed(eta=20.0),
    "eta5": BASE.changed(eta=5.0),
    "conversion_half": BASE.changed(conversion=0.125, demand=0.25),
    "conversion_high": BASE.changed(conversion=0.375, demand=0.75),
    "dwell_short": BASE.changed(dwell=17.5),
    "dwell_long": BASE.changed(dwell=35.0),
    "outage": BASE.changed(outage=True),
    "double": BASE.changed(demand=1.0),
    "small": BASE.changed(capacity=30),
}
_BINS: Final = (0.0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0001)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Size:
    """How much is simulated."""

    seeds: tuple[int, ...]
    learn: int
    count: int


FULL: Final = Size(SEEDS, 20, 80)
QUICK: Final = Size(SEEDS, 12, 10)


@dataclass(frozen=True)
class Figures:
    """One setting of one policy: means over days, and the 95th percentile of the days' peaks."""

    name: str
    visits: float
    over_minutes: float
    over_people_minutes: float
    peak: float
    toggles: float
    wrongly: float


def run(*, quick: bool, progress: Say | None = None) -> dict[str, object]:
    """The figures; `quick` answers the base case from a few days."""
    say = progress if progress is not None else _to_stderr
    size = QUICK if quick else FULL
    names = ["base"] if quick else list(SCENARIOS)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        ours: dict[str, Future[list[Life]]] = {}
        odds = None if quick else pool.submit(_told_the_odds, size)
        simple: dict[str, dict[str, list[Future[list[Figures]]]]] = {}
        for name in names:
            targets = BASE_TARGETS if name == "base" and not quick else (PROMISED,)
            ours[name] = pool.submit(_ours, name, size.seeds, targets, size)
            simple[name] = {
                policy: [pool.submit(_swept, name, policy, seed, size) for seed in size.seeds]
                for policy in (*SIMPLE, *KNOWING)
            }
        done: dict[str, dict[str, Any]] = {}
        for name in names:
            lives = ours[name].result()
            swept = {policy: [future.result() for future in futures] for policy, futures in simple[name].items()}
            done[name] = _scenario(lives, swept, done.get("base"))
            if name == "base" and odds is not None:
                done[name] |= _against_the_odds(done[name], _lived(odds.result()))
            say(f"pacing, {name}: {done[name]['visits']}, ours {done[name]['overshoot_min']['ours']} min over")
    return {"days": size.count, "seeds": len(size.seeds), "learned_days": size.learn, "scenarios": done}


# --- work for one process ------------------------------------------------------------------------------------------------


def _ours(name: str, seeds: tuple[int, ...], targets: tuple[float, ...], size: Size) -> list[Life]:
    return live(SCENARIOS[name], seeds, targets, learn=size.learn, count=size.count)


def _told_the_odds(size: Size) -> list[Life]:
    return live(BASE, size.seeds, (PROMISED,), learn=size.learn, count=size.count, policy=ToldTheOdds)


def _swept(name: str, policy: str, seed: int, size: Size) -> list[Figures]:
    """Every setting of a simple policy, or of the oracle, on one seed's days."""
    days = make_days(SCENARIOS[name], seed, size.learn, size.count)
    if policy in KNOWING:
        own, most = policy == "oracle", days.setting.capacity
        return [_figures(f"to {to}", all_knowing(days, to, her_own_fate=own)) for to in (most, most + 1)]
    return [_figures(tried, outcome) for tried, outcome in sweep(policy, days)]


def _figures(name: str, outcome: Outcome) -> Figures:
    over = float(outcome.over_minutes.mean())
    near = over <= 2 * PROMISED
    return Figures(
        name,
        float(outcome.visits.mean()),
        over,
        float(outcome.over_people_minutes.mean()),
        float(np.percentile(outcome.peak, 95)),
        outcome.toggles_an_hour() if near else 0.0,
        outcome.wrongly_denied(every=10) if near else 0.0,
    )


# --- what it comes to ----------------------------------------------------------------------------------------------------


def _scenario(lives: list[Life], swept: dict[str, list[list[Figures]]], base: dict[str, Any] | None) -> dict[str, Any]:
    pooled = {policy: _pooled(by_seed) for policy, by_seed in swept.items()}
    nobody = min(pooled["none"], key=lambda f: f.visits)
    invites_nobody = (nobody.over_minutes, nobody.visits)
    frontiers = {
        policy: frontier([invites_nobody, *((f.over_minutes, f.visits) for f in figures)])
        for policy, figures in pooled.items()
    }
    chosen = {policy: _nearest(figures) for policy, figures in pooled.items()}
    ours = {
        target: _lived([life for life in lives if life.target == target]) for target in {life.target for life in lives}
    }
    kept = ours[PROMISED]
    # Where people who come by themselves overfill the store for longer, no policy can keep it to the promise.
    equal = PROMISED if nobody.over_minutes < PROMISED else kept.over_minutes
    visits = {policy: at(points, equal) for policy, points in frontiers.items()}
    chosen["ours"] = kept
    frontiers["ours"] = sorted((figures.over_minutes, figures.visits) for figures in ours.values())
    visits["ours"] = _at_equal(equal, kept, frontiers["ours"], base)
    best = max(visits[policy] for policy in SIMPLE)
    promised = [life for life in lives if life.target == PROMISED]
    return {
        "visits": {policy: round(visits[policy], 1) for policy in POLICIES},
        "overshoot_min": {
            policy: round(kept.over_minutes if policy == "ours" else min(equal, frontiers[policy][-1][0]), 2)
            for policy in POLICIES
        },
        "promised_min": PROMISED,
        "compared_at_min": round(equal, 2),
        "inviting_nobody_min": round(nobody.over_minutes, 2),
        "visits_as_run": round(kept.visits, 1),
        "ahead_of_best_simple": round(visits["ours"] / best - 1, 4),
        "of_oracle": round(visits["ours"] / visits["oracle"], 4),
        "of_perfect_forecast": round(visits["ours"] / visits["perfect_forecast"], 4),
        "overshoot_people_min": {policy: round(chosen[policy].over_people_minutes, 1) for policy in POLICIES},
        "p95_peak": {policy: round(chosen[policy].peak, 1) for policy in POLICIES},
        "wrongly_denied": {policy: round(chosen[policy].wrongly, 3) for policy in POLICIES},
        "toggles_an_hour": {policy: round(chosen[policy].toggles, 2) for policy in POLICIES},
        "setting": {policy: chosen[policy].name for policy in POLICIES},
        "reliability": reliability([life.forecasts for life in promised]),
        "z": round(float(np.mean([life.z[-1] for life in promised])), 2),
        "frontier": {
            policy: [[round(over, 2), round(many, 1)] for over, many in points] for policy, points in frontiers.items()
        },
    }


def _against_the_odds(base: dict[str, Any], told: Figures) -> dict[str, Any]:
    """Beside one who is told the odds (`pacing_odds.py`): what is left to be learned, and what is chance."""
    visits = _at_equal(base["compared_at_min"], told, base["frontier"]["ours"], base)
    return {
        "told_the_odds": {"visits": round(visits, 1), "overshoot_min": round(told.over_minutes, 2)},
        "of_told_the_odds": round(base["visits"]["ours"] / visits, 4),
        "told_the_odds_of_oracle": round(visits / base["visits"]["oracle"], 4),
    }


def _pooled(by_seed: list[list[Figures]]) -> list[Figures]:
    """The same setting on all seeds."""
    return [
        Figures(same[0].name, **{name: float(np.mean([getattr(f, name) for f in same])) for name in _MEANS})
        for same in zip(*by_seed, strict=True)
    ]


_MEANS: Final = ("visits", "over_minutes", "over_people_minutes", "peak", "toggles", "wrongly")


def _nearest(figures: list[Figures]) -> Figures:
    """The setting whose overshoot comes nearest to the promise; of those within a minute the one with most visits."""
    near = [f for f in figures if abs(f.over_minutes - PROMISED) <= 1]
    if near:
        return max(near, key=lambda f: f.visits)
    return min(figures, key=lambda f: abs(f.over_minutes - PROMISED))


def _lived(lives: list[Life]) -> Figures:
    def mean(name: str) -> float:
        return float(np.mean([getattr(life, name) for life in lives]))

    peak = float(np.mean([np.percentile(life.peak, 95) for life in lives]))
    means = {name: mean(name) for name in _MEANS if name != "peak"}
    return Figures(f"target {lives[0].target:g} min", peak=peak, **means)


def _at_equal(equal: float, kept: Figures, own: list[tuple[float, float]], base: dict[str, Any] | None) -> float:
    """Visits at an overshoot: along the own frontier where there is one, else by the slope of the base case's."""
    points = own if len(own) > 1 else [(over, many) for over, many in base["frontier"]["ours"]] if base else []
    if len(points) < 2:
        return kept.visits
    overs, many = zip(*points, strict=True)
    slope = float(np.polyfit(overs, np.log(many), 1)[0])
    return kept.visits * float(np.exp(slope * (equal - kept.over_minutes)))


def frontier(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The upper concave hull of (overshoot, visits) from the left to the most visits: what mixing two settings can reach."""
    hull: list[tuple[float, float]] = []
    for over, many in sorted(points):
        if hull and many <= hull[-1][1]:
            continue
        while len(hull) >= 2 and _below(hull[-2], hull[-1], (over, many)):
            hull.pop()
        if hull and hull[-1][0] == over:
            hull.pop()
        hull.append((over, many))
    return hull


def _below(first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]) -> bool:
    return (middle[1] - first[1]) * (last[0] - first[0]) <= (last[1] - first[1]) * (middle[0] - first[0])


def at(hull: list[tuple[float, float]], over: float) -> float:
    """Visits at this overshoot."""
    overs, many = zip(*hull, strict=True)
    return float(np.interp(over, overs, many))


def reliability(told: list[Forecasts]) -> dict[str, Any]:
    """How often what was stated came true: by the probability of being over, and by the interval of four in five."""
    p_over = np.concatenate([np.array(forecasts.p_over) for forecasts in told])
    over = np.concatenate([np.array(forecasts.over) for forecasts in told])
    z = np.concatenate([np.array(forecasts.z) for forecasts in told])
    bins = []
    for low, high in pairwise(_BINS):
        inside = (p_over >= low) & (p_over < high)
        if inside.any():
            stated, came_true = float(p_over[inside].mean()), float(over[inside].mean())
            bins.append({"forecasts": int(inside.sum()), "stated": round(stated, 4), "came_true": round(came_true, 4)})
    return {
        "bins": bins,
        "within_80_percent": round(float((np.abs(z) <= 1.2816).mean()), 3),
        "above_95_percent": round(float((z > 1.6449).mean()), 4),
        "mean_z": round(float(z.mean()), 3),
        "sd_z": round(float(z.std()), 3),
    }


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201 - the figures go to stdout
