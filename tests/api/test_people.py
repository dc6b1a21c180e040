"""Consent and forgetting."""

import json

import pytest


def test_consent_goes_to_the_border(client, fakes, bearer):
    body = {"location": True, "offers": False}
    assert client.put("/v1/people/phone-1/consent", json=body, headers=bearer("sk_all")).status_code == 202
    topic, payload, _ = fakes.intake.taken[0]
    assert (topic, json.loads(payload)) == ("http:/v1/people/phone-1/consent", body)


@pytest.mark.parametrize("body", [{"weather": True}, {"offers": "yes"}, []])
def test_a_purpose_that_is_none_is_refused(client, fakes, bearer, body):
    assert client.put("/v1/people/phone-1/consent", json=body, headers=bearer("sk_all")).status_code == 400
    assert fakes.intake.taken == []


def test_forgetting_goes_to_the_log_and_ends_token_and_offers(client, fakes, bearer):
    fakes.accounts.devices = {"phone-1"}
    fakes.offers.offers = {"phone-1": [b"{}"]}
    assert client.delete("/v1/people/phone-1", headers=bearer("sk_all")).status_code == 202
    assert fakes.intake.taken[0][:2] == ("http:/v1/people/phone-1", b"")
    assert fakes.accounts.devices == set()
    assert fakes.offers.offers == {}


def test_a_person_that_is_no_id_is_refused(client, fakes, bearer):
    assert client.delete("/v1/people/a%20b", headers=bearer("sk_all")).status_code == 400
    assert fakes.intake.taken == []


def test_a_consent_says_to_which_text_it_was_given(client, fakes, bearer):
    body = {"analytics": True, "version": "2026-03"}
    assert client.put("/v1/people/phone-1/consent", json=body, headers=bearer("sk_all")).status_code == 202
    assert json.loads(fakes.intake.taken[0][1]) == body


@pytest.mark.parametrize("body", [{}, {"version": "1"}, {"offers": True, "version": "x" * 65}])
def test_a_consent_names_a_purpose_and_at_most_a_short_version(client, fakes, bearer, body):
    assert client.put("/v1/people/phone-1/consent", json=body, headers=bearer("sk_all")).status_code == 400
    assert fakes.intake.taken == []
