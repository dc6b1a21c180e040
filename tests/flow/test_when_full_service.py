"""Full stores on the running service: phones hear of another store, or of their turn, and the API tells why."""

import pytest

from geo_service.catalogue.documents import Campaign, Trigger, WhenFull

BREAD = Campaign(
    id="bread",
    name="Bread",
    holdout=0,
    trigger=Trigger(role="near"),
    when_full=WhenFull(redirect_m=10_000, wait_s=3600),
)


@pytest.fixture(scope="module")
def service(redis_url, mqtt_url, service_of, town_of):
    town = town_of("north", "south", comfort=50)
    town.site.campaign = {"bread": BREAD}
    with service_of(redis_url, mqtt_url, town, partitions=3) as service:
        service.start_worker()
        service.start_api()
        service.await_worker()
        yield service


def manage(service, until, store, action):
    """A manager's word, once it is in force."""
    assert service.post(f"/v1/stores/{store}/pacing", {"action": action}).status_code == 202

    def stands():
        pacing = service.get(f"/v1/stores/{store}/pacing").json()["pacing"]
        return pacing and (pacing["override"] or {"action": "resume"})["action"] == action

    until(stands)


def comes(service, device, store="north"):
    """Walk up to a store; whoever listens to that phone's offers."""
    listener = service.listen(f"geo/v1/device/{device}/offers")
    assert service.post("/v1/pings", {"device": device, **service.town.ping(store, 280)}).status_code == 202
    return listener


def explained(service, offer):
    return service.get(f"/v1/offers/{offer}").json()


def test_who_cannot_come_is_sent_to_the_other_store_and_both_decisions_are_explained(service, until):
    manage(service, until, "north", "pause")
    sent = comes(service, "dora").expect("geo/v1/device/dora/offers")
    assert (sent["store"], sent["decision"]) == ("south", "sent")
    first = sent["evidence"]["redirected_from"]
    assert (first["store"], first["name"], first["reason"].partition(" by ")[0]) == ("north", "Store 0", "paused")
    told = until(lambda: (said := explained(service, sent["id"])).get("questions") and said)
    assert {question["answer"] for question in told["questions"]} == {"yes"}
    assert [(each["id"], each["store"], each["decision"]) for each in told["others"]] == [
        (first["offer"], "north", "withheld")
    ]
    stopped = explained(service, first["offer"])
    assert stopped["evidence"]["then"]["redirect"] == ["south"]
    assert [question["question"] for question in stopped["questions"] if question["answer"] == "no"] == ["pacing"]
    assert [each["id"] for each in stopped["others"]] == [sent["id"]]
    assert explained(service, sent["id"])["delivery"]["fate"] != "none"

    said = service.post("/v1/campaigns/bread/preview", {"stores": ["north"]}).json()
    (dora,) = [each for each in said["others"] if each["device"] == "dora"]
    assert (dora["redirected_to"], dora["reason"].partition(":")[0]) == ("south", "pacing")


def test_where_nobody_has_room_the_phone_hears_of_it_later(service, until):
    for store in ("north", "south"):
        manage(service, until, store, "pause")
    phone = comes(service, "emil")

    def would_wait():
        said = service.post("/v1/campaigns/bread/preview", {"stores": ["north"]}).json()
        return [each for each in said["others"] if each["device"] == "emil" and each.get("waits")]

    until(would_wait)
    manage(service, until, "north", "resume")
    sent = phone.expect("geo/v1/device/emil/offers")
    assert (sent["store"], sent["decision"]) == ("north", "sent")
    assert sent["reason"].startswith(f"admitted: waited {sent['evidence']['waited_s']} s (paused by ")
    told = until(lambda: (said := explained(service, sent["id"])).get("questions") and said)
    assert {question["answer"] for question in told["questions"]} == {"yes"}
    assert ("north", "withheld") in {(each["store"], each["decision"]) for each in told["others"]}
    assert sent["evidence"]["waited_for"]["offer"] in {each["id"] for each in told["others"]}
    manage(service, until, "south", "resume")


def test_what_cannot_be_meant_is_refused_with_its_place(service):
    document = {"name": "X", "trigger": {"role": "near", "type": "exit"}, "when_full": {"wait_s": 60}}
    answer = service.put("/v1/campaigns/late", document)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "when_full.wait_s")
    answer = service.put("/v1/campaigns/late", {"name": "X", "when_full": {}})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "when_full")
