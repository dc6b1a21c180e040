"""Steady presence against the other rules, on a small part of what `bench jitter` measures in full."""

import numpy as np
import pytest

from geo_service.benchmarks import jitter
from geo_service.simulator.noise import MODELS, RADIUS_PER_SIGMA


@pytest.fixture(scope="module")
def walked():
    walks = jitter.walk(phones=40, hours=1.5)
    return walks, jitter.judge_truth(walks)


def judged(walked, model):
    walks, cases = walked
    errors = MODELS[model](np.random.default_rng(3), *walks.lat.shape)
    figures, crossings = {}, None
    for method, said in jitter._methods(walks, cases, errors):
        if isinstance(said, jitter.Crossings):
            crossings = said
        else:
            figures[method] = jitter.score(cases, said).figures()
    return figures, crossings


@pytest.mark.parametrize("model", ["white", "urban", "mixed"])
def test_steady_makes_one_enter_a_stay_misses_few_and_is_not_late(walked, model):
    figures, crossings = judged(walked, model)
    steady, strict = figures["steady"], figures["strict"]
    assert steady["enters_per_stay"] <= 1.12
    assert strict["enters_per_stay"] > 1.25 * steady["enters_per_stay"]
    assert steady["missed"] <= 0.02
    assert steady["delay_pings"] <= 1
    sure = crossings.confidence >= 0.9
    assert crossings.true[sure].mean() >= 0.9
    assert crossings.true[~sure].mean() < crossings.true[sure].mean()


def test_without_errors_strict_is_the_truth(walked):
    walks, cases = walked
    nothing = np.zeros(walks.lat.shape)
    [(_, said), *_] = jitter._methods(walks, cases, jitter.Errors(nothing, nothing, nothing + 5))
    assert (said[cases.out] == cases.inside[cases.out]).all()


def test_reliability_counts_every_crossing_once():
    crossings = jitter.Crossings(np.array([0.5, 0.85, 0.9, 1.0]), np.array([False, True, True, True]))
    rows = jitter.reliability([crossings, crossings])
    assert [(row["from"], row["crossings"], row["true"]) for row in rows] == [
        (0.5, 2, 0.0), (0.8, 2, 1.0), (0.9, 2, 1.0), (0.95, 2, 1.0),
    ]  # fmt: skip


@pytest.mark.parametrize("model", ["white", "slow", "phones"])
def test_two_thirds_of_honest_fixes_lie_within_what_they_claim(model):
    errors = MODELS[model](np.random.default_rng(1), 400, 60)
    claimed = {"white": 12.0, "slow": 12.0}.get(model, errors.accuracy)
    assert np.mean(np.hypot(errors.east, errors.north) <= claimed) == pytest.approx(0.68, abs=0.02)
    assert pytest.approx(1.51, abs=0.005) == RADIUS_PER_SIGMA


def test_urban_fixes_are_thrown_and_deny_it():
    errors = MODELS["urban"](np.random.default_rng(1), 400, 60)
    off = np.hypot(errors.east, errors.north) > 50
    assert 0.04 < off.mean() < 0.12
    assert (errors.accuracy[off] < 30).mean() > 0.5
