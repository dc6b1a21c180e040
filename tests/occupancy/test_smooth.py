import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occupancy.smooth import Known, pack, smooth


def test_an_error_found_at_the_end_is_shared_out_by_where_it_could_have_arisen():
    change, noise = np.array([10.0, 10, 0, -5]), np.array([1.0, 1, 0, 2])
    smoothed = smooth(change, noise, {}, Known(0, 1e-6), Known(11, 1e-6))
    assert smoothed.mean == pytest.approx([9, 18, 18, 11], abs=0.01)


def test_an_evening_known_to_be_empty_corrects_a_count_that_drifts():
    random = np.random.default_rng(1)
    truth = np.concatenate([np.linspace(0, 60, 72), np.linspace(60, 0, 72)])
    change = np.diff(truth, prepend=0) + 0.25 + random.normal(0, 0.3, 144)
    raw = np.cumsum(change)
    smoothed = smooth(change, np.full(144, 0.3), {}, Known(0, 0.1), Known(0, 1))
    assert abs(smoothed.mean[-1]) < 1 < raw[-1] / 30
    assert np.abs(smoothed.mean - truth).mean() < np.abs(raw - truth).mean() / 5


def test_a_recount_corrects_what_came_before_it_too():
    change, noise = np.full(20, 1.0), np.full(20, 1.0)
    smoothed = smooth(change, noise, {9: Known(20, 0.01)}, Known(0, 0.01), None)
    assert smoothed.mean[9] == pytest.approx(20, abs=0.1)
    assert smoothed.mean[4] == pytest.approx(10, abs=0.2)
    assert smoothed.mean[19] == pytest.approx(30, abs=0.1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-30, 30), st.floats(0, 20)), min_size=1, max_size=40),
    st.dictionaries(st.integers(0, 39), st.tuples(st.floats(0, 100), st.floats(0.1, 500)), max_size=5),
    st.booleans(),
)
def test_looking_back_never_knows_less_and_never_says_fewer_than_nobody(steps, seen, emptied):
    change, noise = (np.array(column) for column in zip(*steps, strict=True))
    readings = {at: Known(*known) for at, known in seen.items()}
    end = Known(0, 1) if emptied else None
    smoothed = smooth(change, noise, readings, Known(3, 2), end)
    forward = smooth(change, noise, {}, Known(3, 2), None)
    assert (smoothed.mean >= 0).all()
    assert (smoothed.variance >= 0).all()
    assert (smoothed.variance <= forward.variance * (1 + 1e-9) + 1e-9).all()


def test_a_day_packs_into_tenths_of_a_person():
    smoothed = smooth(np.array([10.0, 7, -3]), np.full(3, 4.0), {}, Known(0, 1), None)
    history = pack(1_000, 300_000, smoothed).unpack()
    assert (history.starts_ms, history.step_ms) == (1_000, 300_000)
    assert history.mean == pytest.approx(smoothed.mean, abs=0.051)
    assert (history.low <= history.mean).all()
    assert (history.high >= history.mean).all()


def test_a_day_of_nothing_has_an_empty_history():
    empty = np.zeros(0)
    assert pack(0, 1, smooth(empty, empty, {}, Known(0, 1), Known(0, 1))).unpack().mean.size == 0
