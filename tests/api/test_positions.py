"""The id of an event: a place in all partitions, in a few characters."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_service.api.positions import decode_positions, encode_positions
from geo_service.errors import InvalidInputError
from geo_service.flow.entries import EntryId

positions = st.dictionaries(
    st.integers(0, 4096), st.builds(EntryId, st.integers(0, 2**48), st.integers(0, 2**40)), max_size=20
)


@given(positions)
def test_what_was_encoded_is_decoded(found):
    assert decode_positions(encode_positions(found)) == found


def test_sixteen_partitions_that_are_up_to_date_take_under_two_hundred_characters():
    found = {partition: EntryId(1_772_366_400_000 + partition * 900, partition) for partition in range(16)}
    assert len(encode_positions(found)) < 130


@given(st.one_of(st.text(max_size=40), st.binary(max_size=40).map(lambda data: "1" + data.hex())))
def test_anything_else_is_refused_or_read_but_never_a_crash(token):
    with suppress(InvalidInputError):
        assert all(position.ms >= 0 for position in decode_positions(token).values())


@pytest.mark.parametrize("token", ["", "0AA", "1", "1AA==AA", "1" + "A" * 5000, "1\n"])
def test_a_token_of_no_kind_is_refused(token):
    with pytest.raises(InvalidInputError):
        decode_positions(token)
