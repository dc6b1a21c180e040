"""The occupancy benchmark: its figures have the names that were promised, and are taken where they say."""

import numpy as np
import pytest

from geo_service.benchmarks import occupancy
from geo_service.benchmarks.controls import CONTROLS

TUNED_ON = set(range(100, 106))
CASE = "8 % in, 2 % out"


@pytest.fixture(scope="module")
def figures():
    """One store that was tuned on, two days of learning: not how right it is, but what is said of that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(occupancy, "HELD_OUT_SEEDS", (100,))
        patch.setattr(occupancy, "LEARN_DAYS", 2)
        patch.setattr(occupancy, "CASES", {CASE: occupancy.CASES[CASE]})
        return occupancy.run(quick=True, progress=lambda line: None)


def test_the_figures_have_their_names(figures):
    assert figures.keys() >= {"update_us", "bytes_per_store", "cases", "calit2"}
    (case,) = figures["cases"]
    assert case["miss"] == CASE
    assert case.keys() >= {"rmse", "cover", "rmse_with_recount", "rmse_with_camera"}
    assert case["rmse"].keys() == {"ours", "raw", "clamp", "ratio", "kalman"}
    assert figures["calit2"] is None or figures["calit2"].keys() == {"mae", "rmse", "status"}


def test_ours_is_nearer_than_any_simple_method_and_a_store_stays_small(figures):
    rmse = figures["cases"][0]["rmse"]
    assert rmse["ours"] < min(rmse[name] for name in CONTROLS)
    assert figures["bytes_per_store"] < 20_000


def test_no_seed_that_is_scored_was_tuned_on():
    assert len(occupancy.HELD_OUT_SEEDS) >= 6
    assert not TUNED_ON & set(occupancy.HELD_OUT_SEEDS)


def test_an_error_is_the_root_of_the_mean_square():
    score = occupancy.Score()
    score.add("ours", np.array([1.0, 5.0]), np.array([4.0, 1.0]))
    assert score.rmse("ours") == 3.54
