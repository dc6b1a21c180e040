"""How `bench jitter` scores what a rule says against the truth."""

import numpy as np

from geo_service.benchmarks import jitter
from geo_service.catalogue.documents import Fence
from geo_service.simulator.noise import Errors

FENCE = Fence(id="f", geometry={"type": "Point", "coordinates": [0.0, 0.0]}, radius_m=50.0)


def cases(*inside):
    """Phones that are out all the time, and when they are truly inside one fence."""
    mask = np.array([[letter == "x" for letter in line] for line in inside]).T
    phones = np.arange(len(inside))
    return jitter.Cases([FENCE], None, phones, np.zeros(len(inside), np.int64), mask, np.ones_like(mask))


def said(*lines):
    return np.array([[letter == "x" for letter in line] for line in lines]).T


def test_enters_misses_and_delays_are_counted_by_true_stay():
    truth = cases(".xxxxx..xxxxxx.", "xxxxxxxxxxxxxxx", "......xx.......")
    told = said("...xxx.........", "xxxxxx....xxxxx", ".......x..x....")
    found = jitter.score(truth, told)
    assert (found.stays, found.long_stays, found.missed) == (4, 3, 1)
    assert found.enters == 1 + 2 + 2
    assert sorted(found.delays.tolist()) == [0, 2]


def test_an_exit_is_late_by_the_pings_that_still_say_inside():
    truth = cases(".xxxxx....", "xxxxx.....", "xxxxx.....", "xxxxxxxxxx")
    told = said("..xxxxxx..", "xxxx......", "xxxxxxxxxx", "xxxxxxxxxx")
    # Out two pings late; out early, which is no lateness; never out; and one that never ends.
    assert jitter.score(truth, told).late_exits.tolist() == [2, 5, 0]
    assert jitter.score(truth, truth.inside).figures()["late_exits"] == 0


def test_a_stay_is_blind_when_no_fix_of_it_claims_half_the_fence_s_width():
    truth = cases("xxxxxx", "xxxxxx", "xx....")
    accuracy = np.full(truth.inside.shape, 500.0)
    nothing = np.zeros_like(accuracy)
    assert jitter.blind_share(truth, Errors(nothing, nothing, accuracy)) == 1.0
    accuracy[3, 0] = 40.0
    assert jitter.blind_share(truth, Errors(nothing, nothing, accuracy)) == 0.5
