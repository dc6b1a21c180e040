"""Names in history."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_service.ids import is_id
from geo_service.people.pseudonyms import name_in_history, pseudonym

MONDAY, TUESDAY = bytes(range(32)), bytes(range(1, 33))


@given(st.text(max_size=64))
def test_a_pseudonym_is_the_same_all_day_and_another_the_next(device):
    name = pseudonym(device, MONDAY)
    assert name == pseudonym(device, MONDAY) != pseudonym(device, TUESDAY)
    assert not is_id(name)
    assert len(name) == 17


@given(st.text(max_size=64), st.text(max_size=64))
def test_two_people_have_two_names(one, other):
    assert (pseudonym(one, MONDAY) == pseudonym(other, MONDAY)) == (one == other)


def test_only_who_agreed_to_analytics_keeps_their_id():
    assert name_in_history("phone-1", MONDAY, agrees=True) == "phone-1"
    assert name_in_history("phone-1", MONDAY, agrees=False) == pseudonym("phone-1", MONDAY)


def test_a_short_salt_is_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        pseudonym("phone-1", b"salt")
