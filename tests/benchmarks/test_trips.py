"""What `bench trips` compares: the service's word, the same without its ratio, and distance over speed."""

import numpy as np
import pytest

from geo_service.benchmarks import trips as bench
from geo_service.geofences.trips import Track, Trips


def straight(mps, seconds=360):
    """A fix every 5 s along the equator, towards the east."""
    return [(1_000.0 + at, mps * at, 0.0) for at in range(0, seconds + 1, 5)]


def test_a_steady_walk_is_foreseen_by_all_three():
    found = dict(bench.follow(Trips(), "t", straight(1.5)))
    assert sorted(found) == [60, 120, 180, 240, 300]
    assert all(max(error) < 8 for error in found.values())


def test_the_ratio_is_learned_from_the_trips_before():
    trips = Trips()
    first = dict(bench.follow(trips, "t0", straight(0.9)))
    for number in range(1, 80):
        last = dict(bench.follow(trips, f"t{number}", straight(0.9)))
    assert trips.ratio["walk"] != 1
    assert last[240].corrected_s < first[240].corrected_s
    assert last[240].plain_s == first[240].plain_s


def test_the_naive_rule_knows_the_last_minute_only():
    track = Track()
    for second in range(0, 121, 15):
        track.add(second * 1000, 1_000.0 - second, 15.0 if second > 60 else 150.0)
    assert bench._naive_s(track) == pytest.approx(880 / 1)
    track = Track()
    track.add(0, 90.0, 0.0)
    assert bench._naive_s(track) == 90 / bench.SLOWEST_MPS


def test_without_its_data_it_says_what_is_missing(tmp_path):
    with pytest.raises(Exception, match="is not there"):
        bench.run(quick=True, data=tmp_path / "none.csv.gz")


@pytest.mark.skipif(not bench._DATA.exists(), reason="the couriers' stretches are not there")
def test_on_real_stretches_the_service_is_nearer_than_distance_over_speed():
    modes = bench.run(quick=True, progress=lambda _: None)["modes"]
    for figures in modes.values():
        ours, naive = (np.array(list(figures[key].values())) for key in ("median_error_s", "naive_s"))
        assert (ours[1:] < naive[1:]).all()
