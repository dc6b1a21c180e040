"""The made store behind the occupancy benchmark: its truth is true, and its doors err as they are told to."""

import numpy as np
import pytest

from geo_service.simulator.doors import CLOSES, OPENS, Habits, Store


def days(count, *, seed=1, **habits):
    store = Store(seed, Habits(**habits))
    return [store.day() for _ in range(count)]


def test_one_seed_is_one_store_and_another_is_another():
    first, again, other = days(3), days(3), days(3, seed=2)
    for one, same in zip(first, again, strict=True):
        assert (one.inside == same.inside).all()
        assert (one.ins == same.ins).all()
        assert (one.camera == same.camera).all()
    assert (first[0].ins != other[0].ins).any()


def test_doors_that_miss_nobody_add_up_to_the_truth():
    for day in days(3, miss_in=(0, 0), miss_out=(0, 0), outages_a_day=0.0):
        assert (np.cumsum((day.ins - day.outs).sum(axis=1)) == day.inside).all()
        assert (day.inside >= 0).all()
        assert day.inside[-1] == 0


@pytest.mark.parametrize(("miss_in", "miss_out"), [(0.08, 0.02), (0.11, 0.17)])
def test_each_door_misses_its_share(miss_in, miss_out):
    habits = {"miss_in": (miss_in, miss_in), "miss_out": (miss_out, miss_out), "outages_a_day": 0.0}
    seen, truth = days(20, **habits), days(20, miss_in=(0, 0), miss_out=(0, 0), outages_a_day=0.0)
    ins, outs = (sum(getattr(day, way).sum() for day in seen) for way in ("ins", "outs"))
    people = sum(day.ins.sum() for day in truth)
    # The same seed draws other people once the doors draw other misses; the totals are near all the same.
    assert ins / people == pytest.approx(1 - miss_in, abs=0.06)
    assert ins / outs == pytest.approx((1 - miss_in) / (1 - miss_out), abs=0.01)


def test_a_store_is_as_full_as_the_benchmark_says():
    inside = np.array([day.inside[OPENS:CLOSES] for seed in range(6) for day in days(14, seed=seed)])
    assert inside.mean() == pytest.approx(50, abs=6)
    assert inside.max(axis=1).mean() == pytest.approx(100, abs=12)


def test_a_silent_door_says_nothing_at_all():
    day = next(day for day in days(200, outages_a_day=0.1) if day.silent.any())
    assert day.ins[day.silent].sum() == day.outs[day.silent].sum() == 0
    assert 20 <= day.silent.sum() <= 240


def test_a_camera_is_off_by_its_error_and_never_sees_fewer_than_nobody():
    made = days(20, camera_error=0.2)
    inside = np.concatenate([day.inside for day in made])
    camera = np.concatenate([day.camera for day in made])
    busy = inside > 40
    ratio = camera[busy] / inside[busy]
    assert ratio.mean() == pytest.approx(1, abs=0.01)
    assert ratio.std() == pytest.approx(0.2, abs=0.02)
    assert (camera >= 0).all()
