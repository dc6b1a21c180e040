"""Pedestrians of a shopping street, hour by hour over seven years."""

from datetime import UTC, datetime

import numpy as np
import pytest

from geo_service.benchmarks import forecast
from geo_service.benchmarks.occupancy import data_folder

FILE = data_folder() / "footfall/auckland_hourly_counts.csv.gz"
pytestmark = pytest.mark.skipif(not FILE.exists(), reason="the Auckland pedestrian counts are not here")


@pytest.fixture(scope="module")
def counts():
    return forecast.read_counts(FILE)


def hour_of(counts, *when):
    return int(datetime(*when, tzinfo=UTC).timestamp() * 1000 - counts.first_ms) // forecast.HOUR_MS


def test_every_hour_has_its_place_though_clocks_change_and_hours_are_missing(counts):
    assert counts.people.shape == (21, 61_368)
    queen_street = counts.people[counts.names.index("30 Queen Street")]
    # 2019-01-01 06:00 in Auckland, the first row of the file
    assert counts.first_ms == datetime(2018, 12, 31, 17, tzinfo=UTC).timestamp() * 1000
    assert queen_street[0] == 184
    # clocks went back on 2025-04-06 at 03:00: the second 02:00 is not in the file
    assert np.isnan(counts.people[:, hour_of(counts, 2025, 4, 5, 14)]).all()
    assert np.isfinite(queen_street[hour_of(counts, 2025, 4, 5, 13)])


def test_a_counter_that_says_nothing_for_half_a_day_is_a_gap(counts):
    quay = counts.people[counts.names.index("107 Quay Street")]
    dead = quay[hour_of(counts, 2020, 1, 1) : hour_of(counts, 2022, 1, 1)]
    assert np.isnan(dead).all()
    assert np.isfinite(counts.people).mean() > 0.9


def test_the_forecast_beats_last_week_by_a_fifth_and_its_interval_holds_nine_in_ten():
    figures = forecast.run(quick=True, progress=lambda line: None)
    assert figures["mae_day_ahead"] < 0.8 * figures["naive_day_ahead"]
    assert figures["mae_hour_ahead"] < 0.8 * figures["naive_hour_ahead"]
    assert 0.88 <= figures["cover"] <= 0.92
