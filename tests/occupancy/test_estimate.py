import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from occupancy.estimate import GRID_LIMIT, Belief, kernel_of
from occupancy.place import Place

steps = st.lists(
    st.one_of(
        st.tuples(st.just("flow"), st.integers(0, 60), st.integers(0, 60), st.floats(-3, 3), st.floats(0, 40)),
        st.tuples(st.just("blur"), st.floats(-40, 40), st.floats(0, 900)),
        st.tuples(st.just("observe"), st.floats(0, 500), st.floats(0, 60), st.sampled_from([0.0, 0.2])),
        st.tuples(st.just("tilt"), st.floats(0, 0.5), st.floats(-5, 5)),
    ),
    max_size=30,
)


def follow(belief, history):
    for name, *args in history:
        getattr(belief, name)(*args)
    return belief


@settings(max_examples=150, deadline=None)
@given(steps)
def test_a_belief_stays_normalised_bounded_and_never_negative(history):
    belief = follow(Belief.exactly(0), history)
    assert belief.gauss is None
    assert belief.first >= 0
    assert abs(belief.offset) <= 0.5
    assert belief.weights.sum() == pytest.approx(1, abs=1e-5)
    assert (belief.weights >= 0).all()
    mean, variance = belief.moments()
    low, high = belief.interval()
    assert 0 <= low <= high <= GRID_LIMIT
    assert mean >= 0
    assert variance >= 0
    assert mean == belief.mean()


@settings(max_examples=60, deadline=None)
@given(steps, st.integers(0, 4000))
def test_the_bytes_of_a_belief_hold_all_of_it(history, start):
    belief = follow(Belief.exactly(start), history)
    again = Belief.load(belief.dump())
    assert again.dump() == belief.dump()
    assert (again.mean(), again.interval(), again.above(7)) == (belief.mean(), belief.interval(), belief.above(7))


@settings(max_examples=100, deadline=None)
@given(steps, st.integers(1, 30))
def test_people_coming_in_move_the_whole_belief_up(history, ins):
    belief = follow(Belief.exactly(3), history)
    belief.flow(40, 0, 0.0, 0.0)  # away from nobody, where a part of a person may be missing
    before, spread = belief.moments()
    belief.flow(ins, 0, 0.0, 0.0)
    after, spread_after = belief.moments()
    assert after == pytest.approx(before + ins, abs=1e-3 * (1 + before))
    assert spread_after == pytest.approx(spread, rel=1e-3, abs=1e-3)


@given(st.integers(0, 50), st.integers(0, 50))
def test_fewer_than_nobody_is_impossible_but_forgiven(inside, leavers):
    belief = Belief.exactly(inside)
    belief.flow(0, leavers, 0.0, 0.0)
    assert belief.mean() == max(inside - leavers, 0)


@settings(max_examples=100, deadline=None)
@given(st.floats(100, 200), st.floats(1, 400), st.floats(50, 300), st.floats(1, 30))
def test_a_recount_pulls_the_mean_towards_itself_and_narrows(mean, variance, people, error):
    belief = Belief.exactly(0)
    belief.blur(mean, variance)
    before, spread = belief.moments()
    assume(abs(people - before) > 1)
    belief.observe(people, error)
    after, spread_after = belief.moments()
    assert abs(after - people) < abs(before - people)
    if abs(people - before) < 2 * (spread**0.5 + error):
        assert spread_after < max(spread, error * error) * 1.05


def test_a_recount_far_outside_what_was_believed_wins():
    belief = Belief.exactly(10)
    belief.observe(150, 2.0)
    assert belief.mean() == pytest.approx(150, abs=1)


@settings(max_examples=100, deadline=None)
@given(st.floats(0, 2000))
def test_a_kernel_has_mean_nought_and_its_variance(variance):
    kernel = kernel_of(variance).astype(np.float64)
    reach = kernel.size // 2
    offsets = np.arange(-reach, reach + 1)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert kernel @ offsets == pytest.approx(0, abs=1e-3)
    assert kernel @ offsets**2 == pytest.approx(variance, rel=2e-2, abs=1e-6)


def test_shifts_by_parts_of_a_person_add_up_and_cost_no_spread():
    belief = Belief.exactly(100)
    for _ in range(1000):
        belief.flow(0, 0, 0.037, 0.0)
    mean, variance = belief.moments()
    assert mean == pytest.approx(137)
    assert variance == 0


crowd = st.lists(
    st.one_of(
        st.tuples(st.just("flow"), st.integers(0, 60), st.integers(0, 60), st.floats(-3, 3), st.floats(0, 20)),
        st.tuples(st.just("blur"), st.floats(-20, 20), st.floats(0, 400)),
        st.tuples(st.just("observe"), st.floats(-1.5, 1.5), st.floats(20, 90)),
        st.tuples(st.just("tilt"), st.floats(1e-5, 1e-2), st.just(0.0)),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(crowd, st.floats(300, 2500), st.integers(2500, 2700))
def test_grid_and_gaussian_agree_at_the_seam(monkeypatch, history, variance, people):
    monkeypatch.setattr("occupancy.estimate._BACK_TO_GRID", 0)
    grid = Belief.exactly(2600)
    grid.blur(0.0, variance)
    gauss = Belief.exactly(GRID_LIMIT + 1)
    gauss.gauss = grid.moments()
    for name, *args in history:
        mean, spread = gauss.moments()
        assume(2400 < mean < 2800)
        taken = args
        if name == "tilt":  # a push towards a number near what is believed
            taken = [args[0], args[0] * (mean + 20)]
        elif name == "observe":  # a reading so many standard errors away; with doubt a belief would be no Gaussian
            taken = [mean + args[0] * (spread + args[1] ** 2) ** 0.5, args[1], 0.0, 1e-12]
        getattr(grid, name)(*taken)
        getattr(gauss, name)(*taken)
    assume(grid.gauss is None)
    mean, variance = gauss.moments()
    assert grid.mean() == pytest.approx(mean, abs=0.5 + 0.1 * variance**0.5)
    assert grid.moments()[1] == pytest.approx(variance, rel=0.05, abs=2)
    assert grid.interval() == pytest.approx(gauss.interval(), abs=1 + 0.2 * variance**0.5)
    assert grid.above(people) == pytest.approx(gauss.above(people), abs=0.02)


@pytest.mark.parametrize("people", [2560, 2400])
def test_a_reading_that_fits_less_and_less_is_believed_more_and_more_on_either_side(people):
    grid, gauss = Belief.exactly(2600), Belief.exactly(GRID_LIMIT + 1)
    grid.blur(0.0, 400.0)
    gauss.gauss = (2600.0, 400.0)
    grid.observe(people, 10.0)
    gauss._observe_on_gauss(people, 10.0, 0.001)
    assert grid.mean() == pytest.approx(gauss.mean(), abs=1)
    assert gauss.mean() == pytest.approx(2568 if people == 2560 else people, abs=1)


@pytest.mark.parametrize("people", [2400, 2800, 3200, 5000])
def test_a_place_for_thousands_answers_alike_on_either_side_of_the_seam(people):
    place = Place(5000, 6000)
    place.recount(1000, people, 1.0)
    for second in range(2, 1202):
        place.count(second * 1000, second % 5, (second + 2) % 5, "door")
    estimate = place.estimate(1_201_000)
    assert estimate.mean == pytest.approx(people, abs=6)
    assert estimate.high - estimate.low == pytest.approx(254, abs=2)
    assert estimate.rate == estimate.mean / 5000


def test_a_crowd_beyond_the_grid_becomes_a_gaussian_and_comes_back():
    belief = Belief.exactly(2900)
    belief.blur(0.0, 400.0)
    belief.flow(1500, 0, 0.0, 10.0)
    assert belief.gauss is not None
    assert belief.mean() == pytest.approx(4400, abs=0.1)
    belief.flow(0, 2400, 0.0, 10.0)
    assert belief.gauss is None
    mean, variance = belief.moments()
    assert mean == pytest.approx(2000, abs=0.1)
    assert variance == pytest.approx(420, rel=0.02)


def test_a_billion_people_at_once_do_not_break_it():
    belief = Belief.exactly(0)
    belief.flow(1_000_000_000, 0, 0.0, 1e9)
    assert belief.mean() == pytest.approx(1e9)
    belief.flow(0, 1_000_000_000, 0.0, 1e9)
    assert 0 <= belief.mean() < 1e6
