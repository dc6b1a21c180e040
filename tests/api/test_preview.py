"""What may be asked of a preview; how it is answered is in `tests/flow`."""

import dataclasses

import pytest
from litestar.testing import TestClient

from geo_service.api.app import build_app
from geo_service.flow.previewing import People, encode


class Nobody:
    """A worker that sees nobody."""

    partitions = 1

    def ask(self, partition, question, timeout_s):
        return encode(People([], False, 1_780_740_000_000))


@pytest.fixture
def ask(fakes, bearer):
    fakes.catalogue.add("campaign", "coffee", name="Coffee", stores=["harbour"])
    with TestClient(build_app(dataclasses.replace(fakes.services(), questions=Nobody()))) as client:

        def ask(body, key="sk_all", campaign="coffee"):
            return client.post(f"/v1/campaigns/{campaign}/preview", json=body, headers=bearer(key))

        yield ask


def test_a_store_that_takes_part_may_be_asked_about(ask):
    answer = ask({"stores": ["harbour"]})
    assert (answer.status_code, answer.json()["considered"]) == (200, 0)


@pytest.mark.parametrize(
    ("store", "reason"),
    [("nowhere", "there is no store"), ("no id", "there is no store"), ("market", "is none of the campaign's")],
)
def test_a_store_that_would_be_answered_with_nobody_is_refused(ask, store, reason):
    answer = ask({"stores": ["harbour", store]})
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["field"] == "stores"
    assert reason in error["reason"]


def test_whose_stores_these_are_not_hears_no_more_than_that(ask):
    assert ask({"stores": ["nowhere"]}, "sk_harbour").status_code == 403
    assert ask({"stores": ["market"]}, "sk_harbour").status_code == 403


def test_there_is_no_preview_of_a_campaign_that_there_is_not(ask):
    assert ask({}, campaign="tea").status_code == 404
