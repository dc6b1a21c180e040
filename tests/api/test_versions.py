"""Two people edit one document."""

import pytest

CAMPAIGN = {"name": "Coffee", "stores": ["harbour"], "trigger": {"role": "store"}}
PATH = "/v1/campaigns/morning"


@pytest.fixture
def ask(client, bearer):
    def ask(method, path=PATH, body=None, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.request(method, path, json=body, headers=bearer("sk_all") | named)

    return ask


def put(ask, name, **headers):
    return ask("PUT", body={**CAMPAIGN, "name": name}, **headers)


def test_the_second_of_two_who_read_the_same_is_told_instead_of_overwriting(ask):
    created = put(ask, "Coffee")
    read = ask("GET").headers["ETag"]
    assert created.headers["ETag"] == read
    ada = put(ask, "Tea", If_Match=read)
    bob = put(ask, "Cocoa", If_Match=read)
    assert (ada.status_code, bob.status_code) == (200, 412)
    assert bob.headers["content-type"] == "application/problem+json"
    assert bob.json()["type"] == "urn:geo-service:changed-meanwhile"
    assert bob.headers["ETag"] == ada.headers["ETag"] == ask("GET").headers["ETag"] != read
    assert ask("GET").json()["name"] == "Tea"
    assert put(ask, "Cocoa", If_Match=bob.headers["ETag"]).status_code == 200


def test_a_change_that_is_sent_again_because_its_answer_was_lost_is_no_conflict(ask):
    read = put(ask, "Coffee").headers["ETag"]
    first = put(ask, "Tea", If_Match=read)
    again = put(ask, "Tea", If_Match=read)
    assert (again.status_code, again.headers["ETag"]) == (200, first.headers["ETag"])


def test_without_a_condition_the_last_one_wins(ask):
    put(ask, "Coffee")
    assert put(ask, "Tea").status_code == 200
    assert put(ask, "Cocoa").status_code == 200


def test_a_document_is_removed_as_it_was_read_or_not_at_all(ask):
    read = put(ask, "Coffee").headers["ETag"]
    put(ask, "Tea")
    assert ask("DELETE", If_Match=read).status_code == 412
    assert ask("DELETE", If_Match=ask("GET").headers["ETag"]).status_code == 204
    assert ask("DELETE", If_Match=read).status_code == 404


@pytest.mark.parametrize("condition", ['"999"', '"0"', '"x"', '""', '"999", "998"', '"99999999999999999999"'])
def test_what_is_not_its_tag_does_not_match(ask, condition):
    put(ask, "Coffee")
    assert put(ask, "Tea", If_Match=condition).status_code == 412
    assert ask("DELETE", If_Match=condition).status_code == 412
    assert ask("GET").json()["name"] == "Coffee"


def test_one_of_several_tags_is_enough_and_a_proxy_may_weaken_it(ask):
    read = put(ask, "Coffee").headers["ETag"]
    assert put(ask, "Tea", If_Match=f'"999", W/{read}').status_code == 200


def test_any_version_and_none_at_all(ask):
    assert put(ask, "Coffee", If_Match="*").status_code == 412
    assert put(ask, "Coffee", If_None_Match="*").status_code == 201
    assert put(ask, "Tea", If_None_Match="*").status_code == 412
    assert put(ask, "Tea", If_Match="*").status_code == 200


@pytest.mark.parametrize(
    ("header", "value"), [("If-Match", "17"), ("If-Match", ""), ("If-Match", '"17'), ("If-None-Match", '"17"')]
)
def test_a_condition_that_cannot_be_read_is_refused_and_nothing_is_changed(ask, header, value):
    put(ask, "Coffee")
    answer = put(ask, "Tea", **{header: value})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, header)
    assert ask("GET").json()["name"] == "Coffee"


def test_fences_and_sensors_have_tags_of_their_documents_too(ask, fakes):
    read = ask("GET", "/v1/sensors/door-1")
    fakes.current.names = {"status:door-1": b'{"state": "silent"}'}
    again = ask("GET", "/v1/sensors/door-1")
    assert again.headers["ETag"] == read.headers["ETag"]
    assert ask("PUT", "/v1/sensors/door-1", read.json(), If_Match=read.headers["ETag"]).status_code == 200


def test_the_conditions_are_in_the_schema(client):
    paths = client.get("/schema/openapi.json").json()["paths"]["/v1/campaigns/{key}"]
    named = {method: {each["name"] for each in paths[method]["parameters"]} for method in ("put", "delete")}
    assert {"If-Match", "If-None-Match"} <= named["put"]
    assert "If-Match" in named["delete"]
