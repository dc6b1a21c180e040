"""A real door, one of a building's eight: what its counts leave inside at midnight, and that we see it is not the whole."""

import pytest

from geo_service.benchmarks.occupancy import calit2, calit2_counts, data_folder
from occupancy.place import Place

pytestmark = pytest.mark.skipif(
    not (data_folder() / "footfall/calit2_door_in_out_30min_first63days.csv").exists(),
    reason="the CalIt2 door counts are not here",
)


@pytest.fixture(scope="module")
def figures():
    return calit2(data_folder())


def test_what_is_left_at_midnight_is_less_than_any_simple_method_leaves(figures):
    for errors in (figures["mae"], figures["rmse"]):
        assert errors["ours"] < min(errors[name] for name in ("raw", "clamp", "ratio", "kalman"))


def test_it_says_by_itself_that_people_use_doors_that_nobody_counts(figures):
    assert figures["status"] == "uncalibrated"


def test_never_fewer_than_nobody_and_every_count_is_kept():
    place, ins = Place(60, 100, reset_hour=0), 0
    for half_hour in calit2_counts(data_folder()):
        place.count(half_hour.starts_ms + 1_799_000, half_hour.ins, half_hour.outs, "door")
        estimate = place.estimate(half_hour.starts_ms + 1_799_000)
        ins = half_hour.ins if half_hour.starts_ms % 86_400_000 == 0 else ins + half_hour.ins
        assert estimate.in_total == ins
        assert 0 <= estimate.low <= estimate.mean <= estimate.high
