import pytest
from hypothesis import given
from hypothesis import strategies as st

from occupancy.weak import OUTSIDE_PPM, from_co2, from_stillness


def test_fresh_air_means_nobody_and_a_full_rooms_air_means_its_comfort_capacity():
    assert from_co2(OUTSIDE_PPM, 80).people == 0
    assert from_co2(1100.0, 80).people == pytest.approx(80)
    assert from_co2(2000.0, 80, full_ppm=2000.0).people == pytest.approx(80)


@given(st.floats(300, 5000), st.floats(300, 5000), st.integers(1, 3000))
def test_worse_air_means_more_people_and_the_error_stays_large(one, other, comfort):
    fewer, more = from_co2(min(one, other), comfort), from_co2(max(one, other), comfort)
    assert fewer.people <= more.people
    assert more.error >= 0.5 * more.people
    assert min(fewer.error, more.error) >= 2


@pytest.mark.parametrize("ppm", [0.0, -5.0, float("nan"), float("inf"), 200_000.0])
def test_what_is_no_concentration_is_refused(ppm):
    with pytest.raises(ValueError, match="no concentration"):
        from_co2(ppm, 80)


def test_a_full_room_has_more_than_fresh_air():
    with pytest.raises(ValueError, match="a full room"):
        from_co2(900.0, 80, full_ppm=400.0)


def test_no_movement_means_few_in_a_large_room_too():
    assert from_stillness(200) == (0.0, 50.0)
    assert from_stillness(1).error == 2.0
