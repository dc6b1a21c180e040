"""Offers as a shop meets them: a worker and an API on a real broker and Redis, from a shopper's taste to the till."""

import httpx
import pytest

from geo_service.catalogue.documents import Campaign, Caps, Product, Text, Trigger


@pytest.fixture(scope="module")
def service(redis_url, mqtt_url, service_of, town_of):
    town = town_of("harbour", "market", comfort=50)
    town.site.product = {
        "rye": Product(sku="rye", name="Seeded rye loaf", category="bakery"),
        "beans": Product(sku="beans", name="Coffee beans", category="coffee"),
    }
    near = {"holdout": 0, "trigger": Trigger(role="near"), "benefit": {"type": "percentage", "value": 20}}
    texts = {"en": Text(title="Warm bread"), "fi": Text(title="Lämmintä leipää", body="Kulman takana")}
    campaigns = [
        Campaign(id="bread", name="Bread", skus=["rye"], texts=texts, caps=Caps(redemptions=100), **near),
        Campaign(id="coffee", name="Coffee", skus=["beans"], **near),
        Campaign(id="members", name="Members", priority=9, audience={"rule": "segment", "any_of": ["members"]}, **near),
    ]
    town.site.campaign = {campaign.id: campaign for campaign in campaigns}
    with service_of(redis_url, mqtt_url, town, partitions=2) as service:
        service.start_worker()
        service.start_api()
        service.await_worker()
        yield service


def offered(service, device, store="harbour"):
    """Walk up to a store; the offer that the phone hears."""
    listener = service.listen(f"geo/v1/device/{device}/offers")
    answer = service.post("/v1/pings", {"device": device, **service.town.ping(store, 280)})
    assert answer.status_code == 202, answer.text
    return listener.expect(f"geo/v1/device/{device}/offers")


def taste(service, device, category):
    said = [{"device": device, "type": "bought", "category": category, "quantity": 10}] * 60
    assert service.post("/v1/behaviour", said).json() == {"accepted": 60, "rejected": []}


def as_device(service, token, path):
    return httpx.get(service.url + path, headers={"Authorization": f"Bearer {token}"}, timeout=20)


def test_from_the_phone_to_the_till_and_back(service, until):
    shopper = service.post("/v1/devices", {"device": "anna", "language": "fi-FI"}).json()
    taste(service, "anna", "bakery")
    heard = service.listen("geo/v1/store/harbour/redemption")
    offer = offered(service, "anna")
    assert (offer["campaign"], offer["title"], offer["body"]) == ("bread", "Lämmintä leipää", "Kulman takana")
    code = offer["code"]

    (pulled,) = [
        item
        for item in as_device(service, shopper["token"], "/v1/devices/anna/offers").json()["items"]
        if item["decision"] == "sent"
    ]
    assert pulled == offer
    picture = as_device(service, shopper["token"], f"/v1/coupons/{code}/qr.svg")
    assert picture.headers["Content-Type"].startswith("image/svg+xml")
    assert picture.content.startswith(b"<svg")

    until(lambda: service.get(f"/v1/offers/{offer['id']}").json()["delivery"]["fate"] == "acknowledged")
    explained = service.get(f"/v1/offers/{offer['id']}").json()
    assert explained["code"] is None
    assert "pulled" in explained["delivery"]
    assert {question["answer"] for question in explained["questions"]} == {"yes"}
    reasons = {other["campaign"]: other["reason"] for other in explained["others"]}
    assert reasons == {"coffee": "best: Bread was the better offer", "members": "audience: in no segment of members"}

    def redeem(body, key="k1"):
        return service.post(f"/v1/coupons/{code}/redeem", body, **{"Idempotency-Key": key})

    wrong = redeem({"store": "market"}, "k0")
    assert (wrong.status_code, wrong.json()["type"]) == (422, "urn:geo-service:coupon-wrong-store")
    done = redeem({"store": "harbour", "amount": 1250, "skus": ["rye"]})
    assert (done.status_code, done.json()["state"]) == (200, "redeemed")
    assert done.json()["benefit"] == {"type": "percentage", "value": 20}
    assert redeem({"store": "harbour", "amount": 1250, "skus": ["rye"]}).json() == done.json()
    assert redeem({"store": "harbour", "amount": 1}).json()["type"] == "urn:geo-service:idempotency-key-reused"
    again = redeem({"store": "harbour"}, "k2")
    assert (again.status_code, again.json()["type"]) == (409, "urn:geo-service:coupon-redeemed")
    back = service.post(f"/v1/coupons/{code}/rollback", {"store": "harbour"})
    assert (back.status_code, back.json()["state"]) == (200, "rolled_back")
    said = heard.expect("geo/v1/store/harbour/redemption", change="rolled_back")
    assert (said["id"], said["previous"], said["device"]) == (offer["id"], "redeemed", "anna")
    assert len(heard.on("geo/v1/store/harbour/redemption", change="redeemed")) == 1


def test_a_till_that_was_offline_sends_what_it_redeemed_and_hears_of_conflicts(service):
    taste(service, "bert", "bakery")
    offer = offered(service, "bert", "market")
    body = {"code": offer["code"], "store": "market", "time": offer["time"]}
    batch = [body | {"key": "a"}, body | {"key": "b"}, body | {"key": "c", "code": "nonsense"}]
    answer = service.post("/v1/coupons/redeem", batch).json()
    assert (answer["redeemed"], answer["conflicts"]) == (1, 2)
    assert [result["status"] for result in answer["results"]] == [200, 409, 400]
    assert service.post("/v1/coupons/redeem", batch).json() == answer


def test_the_store_never_holds_a_code(service):
    """Not while the offer waits for delivery, nor afterwards, nor in what a till was answered."""
    taste(service, "gina", "bakery")
    code = offered(service, "gina")["code"]
    redeemed = service.post(f"/v1/coupons/{code}/redeem", {"store": "harbour"}, **{"Idempotency-Key": "g"})
    assert redeemed.status_code == 200, redeemed.text
    read = {
        b"string": service.client.get,
        b"hash": service.client.hgetall,
        b"list": lambda key: service.client.lrange(key, 0, -1),
        b"zset": lambda key: service.client.zrange(key, 0, -1),
        b"set": service.client.smembers,
        b"stream": service.client.xrange,
    }
    keys = list(service.client.scan_iter(match=f"{service.prefix}*"))
    assert len(keys) > 10
    for key in keys:
        kind = service.client.type(key)
        held = repr(key) if kind == b"none" else f"{key!r} {read[kind](key)!r}"  # `none`: it went in this moment
        assert code not in held
        assert code.replace("-", "") not in held


def test_what_a_shopper_has_shown_interest_in_decides_which_offer_they_get(service):
    taste(service, "carl", "coffee")
    assert offered(service, "carl")["campaign"] == "coffee"


def test_a_preview_says_who_would_get_it_and_why_not_the_others_and_does_nothing(service, until):
    for device in ("dora", "emil"):
        offered(service, device)
    assert service.post("/v1/campaigns/members/preview", {}).status_code == 200
    traits = {"segments": ["members"]}
    headers = service.headers
    assert httpx.put(f"{service.url}/v1/people/dora/traits", json=traits, headers=headers).status_code == 202

    def preview():
        said = service.post("/v1/campaigns/members/preview", {"stores": ["harbour"]}).json()
        return said if [person["device"] for person in said["would_get"]] == ["dora"] else None

    said = until(preview)
    assert "emil" in {person["device"] for person in said["others"]}
    assert set(said["reasons"]) == {"audience"}
    assert service.get("/v1/devices/dora/offers").json()["items"][0]["campaign"] != "members"
    assert service.post("/v1/campaigns/nothing/preview", {}).status_code == 404


def test_a_campaign_that_cannot_be_meant_is_refused_with_the_place(service):
    audience = {"rule": "all", "of": [{"rule": "visits", "at_least": "three"}]}
    answer = service.put("/v1/campaigns/odd", {"name": "Odd", "audience": audience})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "audience.of[0].at_least"
    answer = service.put("/v1/campaigns/odd", {"name": "Odd", "benefit": {"type": "percentage", "value": 120}})
    assert answer.json()["errors"][0]["field"] == "benefit.value"
