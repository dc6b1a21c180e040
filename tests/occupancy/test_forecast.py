from datetime import date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occupancy.forecast import HourlyForecast
from occupancy.local_time import HOUR_MS

ZONE = "Europe/Helsinki"
MONDAY = int(datetime(2025, 1, 6, tzinfo=ZoneInfo(ZONE)).timestamp() * 1000)


def local_hour(starts_ms):
    local = datetime.fromtimestamp(starts_ms / 1000, ZoneInfo(ZONE))
    return local.weekday(), local.hour


def usual(starts_ms):
    """Visitors of a made street: none at night, most on Saturday afternoons."""
    weekday, hour = local_hour(starts_ms)
    return max(0.0, 200 * np.sin(np.pi * (hour - 7) / 14)) * (1.5 if weekday == 5 else 1.0) if 7 <= hour < 21 else 2.0


def street(weeks, *, seed=0, **more):
    forecast, random = HourlyForecast(ZONE, **more), np.random.default_rng(seed)
    for hour in range(weeks * 168):
        starts_ms = MONDAY + hour * HOUR_MS
        forecast.learn(starts_ms, float(random.poisson(usual(starts_ms))))
    return forecast, MONDAY + weeks * 168 * HOUR_MS


def test_a_few_weeks_teach_the_hours_of_the_week():
    forecast, _ = street(5)
    for expected in forecast.ahead(168):
        assert expected.mean == pytest.approx(usual(expected.starts_ms), rel=0.3, abs=6)
        assert expected.low <= expected.mean <= expected.high


def test_hours_keep_their_place_when_clocks_change():
    forecast, _ = street(16)  # past 2025-03-30
    noon = next(expected for expected in forecast.ahead(24) if local_hour(expected.starts_ms)[1] == 14)
    assert noon.mean == pytest.approx(usual(noon.starts_ms), rel=0.2)


def test_a_busy_day_lifts_the_next_hours_and_less_so_tomorrow():
    forecast, at_ms = street(5)
    quiet = {expected.starts_ms: expected.mean for expected in forecast.ahead(30)}
    for hour in range(12):
        forecast.learn(at_ms + hour * HOUR_MS, 2 * usual(at_ms + hour * HOUR_MS))
    lift = [expected.mean / quiet[expected.starts_ms] for expected in forecast.ahead(18) if expected.starts_ms in quiet]
    assert lift[0] > 1.6
    assert 1.0 < lift[15] < lift[0]


def test_a_holiday_is_like_a_sunday_and_teaches_nothing_of_its_weekday():
    holiday = date(2025, 2, 5)  # a Wednesday
    forecast, random = HourlyForecast(ZONE, [holiday]), np.random.default_rng(1)
    for hour in range((date(2025, 2, 5) - date(2025, 1, 6)).days * 24):
        starts_ms = MONDAY + hour * HOUR_MS
        forecast.learn(starts_ms, 10.0 if local_hour(starts_ms)[0] == 6 else float(random.poisson(100)))
    assert max(expected.mean for expected in forecast.ahead(20)) < 40


def test_gaps_teach_nothing_and_break_nothing():
    forecast, at_ms = street(4)
    before = [expected.mean for expected in forecast.typical_week(MONDAY)]
    for hour in range(50):
        forecast.learn(at_ms + hour * HOUR_MS, None)
    forecast.learn(at_ms + 400 * HOUR_MS, usual(at_ms + 400 * HOUR_MS))
    after = [expected.mean for expected in forecast.typical_week(MONDAY)]
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


def test_the_interval_holds_nine_in_ten():
    forecast, at_ms = street(10)
    random, hits = np.random.default_rng(7), []
    for hour in range(600):
        figure = float(random.poisson(usual(at_ms + hour * HOUR_MS)))
        expected = forecast.hour_ahead(1)
        hits.append(expected.low <= figure <= expected.high)
        forecast.learn(at_ms + hour * HOUR_MS, figure)
    assert 0.85 < np.mean(hits) < 0.96


def test_an_hour_that_was_never_seen_is_not_guessed():
    forecast = HourlyForecast(ZONE)
    assert forecast.ahead(4) == []
    assert forecast.hour_ahead(1) is None
    forecast.learn(MONDAY, 5.0)
    assert forecast.ahead(4) == []


@pytest.mark.parametrize("figure", [-1.0, float("nan"), float("inf")])
def test_what_is_no_figure_is_refused(figure):
    with pytest.raises(ValueError, match="not a figure"):
        HourlyForecast().learn(0, figure)


def test_time_does_not_run_backwards():
    forecast, at_ms = street(1)
    with pytest.raises(ValueError, match="not after"):
        forecast.learn(at_ms - HOUR_MS, 1.0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 200), st.one_of(st.none(), st.floats(0, 1e6))), max_size=60))
def test_its_bytes_hold_everything(history):
    forecast, at_ms = HourlyForecast(ZONE), MONDAY
    for hours, figure in history:
        at_ms += hours * HOUR_MS
        forecast.learn(at_ms, figure)
    again = HourlyForecast.load(forecast.dump(), ZONE)
    assert again.dump() == forecast.dump()
    assert again.ahead(48) == forecast.ahead(48)
    assert all(0 <= expected.low <= expected.mean <= expected.high for expected in again.ahead(48))
