import numpy as np
import pytest

from occupancy.dwell import MEDIANS_MINUTES, SPAN, Dwell


def day_of(median_minutes, *, people=1200, sigma=0.75, staff=0, seed=0, steps=150):
    """Arrivals over twelve hours and who is inside at the end of each step, from single stays."""
    random = np.random.default_rng(seed)
    comes = np.sort(random.uniform(0, 144 * 5, people))
    goes = comes + median_minutes * np.exp(random.normal(0, sigma, people))
    ends = (np.arange(steps) + 1) * 5
    arrivals = np.zeros(SPAN + steps)
    arrivals[SPAN:] = np.histogram(comes, bins=np.arange(steps + 1) * 5)[0]
    inside = (comes[None, :] <= ends[:, None]).sum(1) - (goes[None, :] <= ends[:, None]).sum(1) + staff
    return arrivals, inside.astype(float), np.arange(steps) // 6 + 18


@pytest.mark.parametrize("median", [6, 24, 70])
def test_a_few_days_tell_how_long_people_stay(median):
    dwell = Dwell()
    for seed in range(4):
        dwell.learn(*day_of(median, seed=seed), closes=True)
    assert MEDIANS_MINUTES[dwell.best // 5] == pytest.approx(median, rel=0.25)
    assert dwell.mean_ms / 60_000 == pytest.approx(median * np.exp(0.75**2 / 2), rel=0.25)


def test_the_stayers_follow_who_is_inside_without_drift():
    dwell = Dwell()
    for seed in range(5):
        dwell.learn(*day_of(24, seed=seed, staff=5), closes=True)
    arrivals, inside, half_hours = day_of(24, seed=99, staff=5)
    said = [dwell.stayers(arrivals[step + 1 : SPAN + step + 1], int(half_hours[step])) for step in range(20, 140)]
    assert np.sqrt(np.mean((np.array(said) - inside[20:140]) ** 2)) < 9
    assert abs(np.mean(said - inside[20:140])) < 4


def test_nothing_is_known_before_the_first_day_and_a_quiet_day_teaches_nothing():
    dwell = Dwell()
    assert not dwell.known
    dwell.learn(*day_of(24, people=10), closes=True)
    assert not dwell.known


def test_a_place_that_never_empties_learns_the_shape_of_the_day_alone():
    dwell = Dwell()
    for seed in range(5):
        arrivals, inside, half_hours = day_of(24, seed=seed)
        dwell.learn(arrivals, inside + 300, half_hours, closes=False)
    assert dwell.mean_ms / 60_000 == pytest.approx(24 * np.exp(0.75**2 / 2), rel=0.5)
    assert max(dwell.extra) < 30


def test_steps_of_which_nothing_is_known_are_left_out():
    whole, holed = Dwell(), Dwell()
    arrivals, inside, half_hours = day_of(24)
    whole.learn(arrivals, inside, half_hours, closes=True)
    inside[40:60] = np.nan
    holed.learn(arrivals, inside, half_hours, closes=True)
    assert holed.best == whole.best
    assert np.isfinite(holed.losses).all()
