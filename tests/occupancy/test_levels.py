from hypothesis import given
from hypothesis import strategies as st

from occupancy.levels import HYSTERESIS, LEVELS, RISES_AT, next_level


def test_each_threshold_is_reached_from_below_and_left_a_little_lower():
    level = "quiet"
    seen = []
    for rate in (0.39, 0.40, 0.36, 0.34, 0.75, 0.71, 0.95, 0.91, 0.89, 2.0, 0.0):
        level = next_level(level, rate)
        seen.append(level)
    assert seen == ["quiet", "normal", "normal", "quiet", "busy", "busy", "full", "full", "busy", "full", "quiet"]


@given(st.sampled_from(LEVELS), st.floats(0, 3))
def test_the_same_rate_twice_changes_nothing_more(level, rate):
    once = next_level(level, rate)
    assert next_level(once, rate) == once


@given(st.sampled_from(LEVELS), st.floats(0, 3))
def test_a_level_is_never_further_from_its_thresholds_than_the_hysteresis(level, rate):
    index = LEVELS.index(next_level(level, rate))
    assert index == 0 or rate >= RISES_AT[index - 1] - HYSTERESIS
    assert index == len(RISES_AT) or rate < RISES_AT[index]
