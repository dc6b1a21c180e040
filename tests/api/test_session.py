"""Logging in and out."""

import pytest


def log_in(client, name="ada", password="correct horse", headers=None):
    return client.post("/v1/session", json={"name": name, "password": password}, headers=headers)


def test_a_login_gives_a_cookie_that_no_script_reads_and_no_other_site_sends(client):
    answer = log_in(client)
    assert answer.status_code == 201
    assert answer.json() == {"name": "the-manager", "role": "manager", "stores": None}
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("geo_session=fresh; ")
    for part in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"):
        assert part in cookie
    assert "Secure" not in cookie
    assert client.get("/v1/session").json()["name"] == "the-manager"
    assert client.get("/v1/stores").status_code == 200


def test_over_tls_the_cookie_is_for_tls_only(client):
    answer = client.post("https://testserver.local/v1/session", json={"name": "ada", "password": "correct horse"})
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize(("name", "password"), [("ada", "wrong"), ("eve", "correct horse"), ("ada", "x" * 300)])
def test_a_wrong_name_and_a_wrong_password_look_alike(client, name, password):
    answer = log_in(client, name, password)
    assert answer.status_code == 401
    assert answer.json()["detail"] == "the name or the password is wrong"
    assert "set-cookie" not in answer.headers


def test_guessing_is_slowed_down_per_name(client, fakes):
    answers = [log_in(client, password=str(guess)).status_code for guess in range(11)]
    assert answers == [401] * 10 + [429]
    refused = log_in(client)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0


def test_guessing_many_names_is_slowed_down_per_place(client):
    answers = [log_in(client, name=f"n{guess}").status_code for guess in range(51)]
    assert answers == [401] * 50 + [429]


@pytest.mark.parametrize("body", [{"name": "ada"}, {"name": 1, "password": "x"}, [], "x"])
def test_a_login_that_is_none_is_a_problem_that_names_the_field(client, body):
    answer = client.post("/v1/session", json=body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"]


def test_another_sites_page_cannot_log_anybody_in(client):
    assert log_in(client, headers={"Origin": "https://evil.example"}).status_code == 403


def test_logging_out_ends_the_session(client, fakes):
    log_in(client)
    answer = client.delete("/v1/session")
    assert answer.status_code == 204
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert "fresh" not in fakes.accounts.sessions
    assert client.get("/v1/session").status_code == 401


def test_logging_out_twice_is_no_error(client):
    assert client.delete("/v1/session").status_code == 204


def test_a_key_is_nobodys_session(client, bearer):
    assert client.get("/v1/session", headers=bearer("sk_all")).status_code == 401
