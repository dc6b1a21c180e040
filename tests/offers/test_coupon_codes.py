"""Codes: the same for the same secret and offer, nothing to anybody else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_service.catalogue.documents import Campaign, Caps, CouponTerms, Text
from geo_service.catalogue.site import decode_document, encode_document
from geo_service.errors import InvalidInputError
from geo_service.offers.coupons import (
    code_of,
    fingerprint,
    lasting_terms,
    plain_code,
    with_code,
    without_code,
    written_code,
)

SECRET = b"a secret of the test"


@given(st.text(min_size=1), st.binary(min_size=1, max_size=40))
def test_a_code_can_be_read_aloud_and_typed_back(offer, secret):
    code = code_of(secret, offer)
    assert len(code) == 19
    assert plain_code(code) == code.replace("-", "")
    assert written_code(plain_code(code)) == code
    assert plain_code(code.lower().replace("-", " ")) == plain_code(code)
    assert code == code_of(secret, offer)


def test_codes_differ_by_offer_and_by_secret_and_tell_nothing_of_each_other():
    codes = {code_of(SECRET, f"0-1-0.{number}") for number in range(10_000)}
    assert len(codes) == 10_000
    assert code_of(SECRET, "o") != code_of(b"another", "o")
    letters = "".join(code.replace("-", "") for code in codes)
    assert max(letters.count(letter) for letter in set(letters)) < 1.1 * len(letters) / 32


def test_letters_that_look_like_digits_are_taken_for_them():
    assert plain_code("OIL0-IL10-oil0-0000") == "0110111001100000"


@pytest.mark.parametrize("said", ["", "7Q4K", "7Q4K-9XWM-02RT-HB5U", "7Q4K-9XWM-02RT-HB5N-1", "ä" * 16, "0" * 100])
def test_what_is_no_code_is_refused(said):
    with pytest.raises(InvalidInputError, match="no coupon code"):
        plain_code(said)


def test_a_fingerprint_hides_the_code():
    code = code_of(SECRET, "o")
    kept = fingerprint(SECRET, code)
    assert kept == fingerprint(SECRET, code.lower())
    assert kept != fingerprint(b"another", code)
    assert code.replace("-", "").lower() not in kept


def test_an_offer_without_its_code_gets_the_same_one_again():
    sent = {"id": "o", "decision": "sent", "code": code_of(SECRET, "o"), "evidence": {}}
    line = json.dumps(sent, separators=(",", ":")).encode()
    bare = without_code(line)
    assert json.loads(bare)["code"] is None
    assert with_code(SECRET, bare) == line


@pytest.mark.parametrize(
    "changes",
    [
        {"decision": "withheld"},
        {"evidence": {"benefit": {"type": "text"}}},
        {"evidence": {"benefit": {"kind": "free_text"}}},
    ],
)
def test_an_offer_that_has_no_coupon_gets_no_code(changes):
    line = json.dumps({"id": "o", "decision": "sent", "code": None, "evidence": {}} | changes).encode()
    assert with_code(SECRET, line) == line


def test_of_a_campaign_that_is_gone_its_coupons_keep_what_the_till_asks():
    campaign = Campaign(
        id="bread",
        name="Bread",
        stores=["s1"],
        tags=["city"],
        coupon=CouponTerms(channel="any", stores="campaign"),
        caps=Caps(redemptions=10, total=20),
        texts={"en": Text(title="Warm bread", body="x" * 1000)},
    )
    kept = lasting_terms(encode_document(campaign))
    assert len(kept) < 200
    assert decode_document("campaign", kept) == Campaign(
        id="bread", name="", stores=["s1"], tags=["city"], coupon=campaign.coupon, caps=Caps(redemptions=10)
    )
