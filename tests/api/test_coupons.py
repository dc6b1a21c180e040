"""A till at the API, on a real Redis: who may, what each refusal says, and that a request sent twice happens once."""

import io
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count

import pytest
import segno
from litestar.testing import TestClient
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from geo_service import outputs
from geo_service.api.app import build_app
from geo_service.api.coupons import REFUSALS
from geo_service.catalogue.documents import Campaign, Caps, CouponTerms, Store
from geo_service.catalogue.site import encode_document
from geo_service.embedded.servers import start_servers
from geo_service.errors import UnreachableError
from geo_service.flow.entries import Behaviour, decode_body
from geo_service.offers.coupons import code_of
from geo_service.principals import Action
from geo_service.settings import Settings
from geo_service.storage.accounts import Accounts
from geo_service.storage.connection import connect
from geo_service.wiring_api import services_of
from sensors.instants import instant

_numbers = count(1)
STORES = ("harbour", "market", "station")
CAMPAIGNS = {
    "bread": Campaign(id="bread", name="Bread"),
    "coffee": Campaign(id="coffee", name="Coffee", caps=Caps(redemptions=2)),
    "anywhere": Campaign(
        id="anywhere",
        name="Anywhere",
        stores=["harbour", "market"],
        coupon=CouponTerms(channel="any", stores="campaign"),
    ),
}


class Shop:
    """The API, a till with all rights, and coupons to redeem."""

    def __init__(self, url, client, services):
        self.url, self.client, self.services = url, client, services
        self.accounts = Accounts(connect(url), lambda: 0)
        self.till = self.key()

    def key(self, *actions, stores=None):
        _, text = self.accounts.create_key("secret", actions=actions or None, stores=stores)
        return {"Authorization": f"Bearer {text}"}

    def configure(self, campaigns=CAMPAIGNS):
        for campaign in campaigns.values():
            self.services.catalogue.put("campaign", campaign.id, encode_document(campaign))
        for number, store in enumerate(STORES):
            document = encode_document(Store(id=store, name=store, lat=45 + number, lon=7))
            self.services.catalogue.put("store", store, document)

    def offer(self, campaign="bread", store="harbour", *, device="anna", ago_s=0, expires_s=3600):
        """A sent offer's code."""
        made = instant(time.time_ns() // 1_000_000 - ago_s * 1000)
        offer_id = f"0-{next(_numbers)}-0-0.0"
        code = code_of(self.services.coupons._code_secret, offer_id)
        sent = outputs.Offer(
            id=offer_id,
            campaign=campaign,
            device=device,
            store=store,
            decision="sent",
            reason="admitted",
            code=code,
            time=made,
            expires=made + timedelta(seconds=expires_s),
            evidence={"benefit": {"type": "percentage", "value": 20}},
        )
        self.services.coupons.issue([outputs.encode(sent)])
        return code

    def post(self, path, body, key=None, headers=None):
        named = {} if key is None else {"Idempotency-Key": key}
        return self.client.post(path, json=body, headers=(headers or self.till) | named)

    def redeem(self, code, key=None, headers=None, **body):
        return self.post(f"/v1/coupons/{code}/redeem", {"store": "harbour"} | body, key, headers)

    def state(self, code):
        return self.client.get(f"/v1/coupons/{code}", headers=self.till).json()["state"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with start_servers(tmp_path_factory.mktemp("redis"), mqtt=False, fsync="everysec") as servers:
        registry = CollectorRegistry()
        services = services_of(Settings(redis=servers.redis_url), registry)
        with TestClient(build_app(services, registry=registry), raise_server_exceptions=False) as client:
            shop = Shop(servers.redis_url, client, services)
            shop.configure()
            yield shop


def said(answer):
    body = answer.json()
    return answer.status_code, body.get("type", "").removeprefix("urn:geo-service:") or body.get("state")


def test_every_refusal_has_its_own_type_and_status(shop):
    codes = [shop.offer("coffee") for _ in range(3)]
    assert [said(shop.redeem(code)) for code in codes] == [(200, "redeemed")] * 2 + [(409, "coupon-over-quota")]
    redeemed, void, held = codes[0], shop.offer(), shop.offer()
    shop.post(f"/v1/coupons/{void}/void", None)
    assert shop.post(f"/v1/coupons/{held}/lock", {"store": "harbour"}).status_code == 200
    now = time.time()
    early = {"code": shop.offer(), "store": "harbour", "time": now - 7200, "key": "early"}
    refusals = [
        said(shop.redeem("0000-0000-0000-0000")),
        said(shop.redeem(shop.offer(ago_s=10, expires_s=5))),
        tuple(shop.post("/v1/coupons/redeem", [early]).json()["results"][0][name] for name in ("status", "type")),
        said(shop.redeem(redeemed)),
        said(shop.redeem(void)),
        said(shop.redeem(held)),
        said(shop.redeem(shop.offer(), store="market")),
        said(shop.redeem(shop.offer(), channel="online")),
        said(shop.redeem(codes[2])),
        said(shop.post(f"/v1/coupons/{void}/rollback", {"store": "harbour"})),
    ]
    shop.redeem(shop.offer(), key="reused")
    refusals.append(said(shop.redeem(shop.offer(), key="reused")))
    plain = [(status, kind.removeprefix("urn:geo-service:")) for status, kind in refusals]
    assert sorted(plain) == sorted((status, kind) for status, kind, _ in REFUSALS.values())


def test_a_hold_says_when_to_ask_again(shop):
    code = shop.offer()
    held = shop.post(f"/v1/coupons/{code}/lock", {"store": "harbour", "ttl_s": 60}).json()
    assert 0 < int(shop.redeem(code).headers["Retry-After"]) <= 60
    assert said(shop.redeem(code, lock=held["lock"])) == (200, "redeemed")


def test_a_till_that_did_not_hear_that_it_holds_a_coupon_asks_again(shop):
    code = shop.offer()
    first, again = (shop.post(f"/v1/coupons/{code}/lock", {"store": "harbour"}, "hold") for _ in range(2))
    assert again.json() == first.json()
    other = shop.post(f"/v1/coupons/{code}/lock", {"store": "harbour"}, "hold", shop.key(Action.REDEEM))
    assert said(other) == (409, "coupon-locked")
    assert said(shop.redeem(code, lock=again.json()["lock"])) == (200, "redeemed")


@pytest.mark.parametrize("key", ["", "k" * 201, "k" * 1000])
def test_a_key_that_is_empty_or_too_long_is_refused_and_nothing_happens(shop, key):
    code = shop.offer()
    assert shop.redeem(code, key=key).status_code == 400
    assert shop.state(code) == "issued"


def test_a_key_may_be_in_any_script(shop):
    code = shop.offer()
    key = "касса-1".encode()
    answers = [
        shop.client.post(
            f"/v1/coupons/{code}/redeem",
            json={"store": "harbour"},
            headers=[(b"Idempotency-Key", key), *((n.encode(), v.encode()) for n, v in shop.till.items())],
        )
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200]


@pytest.mark.parametrize("store", ["harbour", "market"])
def test_the_same_request_gets_the_same_answer_whatever_that_was(shop, store):
    code = shop.offer()
    first = shop.redeem(code, key=f"same-{store}", store=store)
    shop.redeem(code)
    again = shop.redeem(code, key=f"same-{store}", store=store)
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert said(shop.redeem(code, key=f"same-{store}", store=store, amount=1)) == (409, "idempotency-key-reused")


def test_a_key_is_its_credential_s_own(shop):
    one, other = shop.offer(), shop.offer()
    assert shop.redeem(one, key="mine").status_code == 200
    assert shop.redeem(other, key="mine", headers=shop.key(Action.REDEEM)).status_code == 200


def test_what_was_bought_counts_once_however_often_the_till_asks(shop):
    code = shop.offer(device="bert")
    before = bought(shop, "bert")
    for _ in range(3):
        assert shop.redeem(code, key="basket", skus=["rye", "beans"]).status_code == 200
    assert bought(shop, "bert") - before == 2


def bought(shop, device):
    with connect(shop.url) as client:
        entries = [decode_body(row[b"k"].decode(), row[b"d"]) for _, row in client.xrange("geo:{p0}:log")]
    told = [entry for entry in entries if isinstance(entry, Behaviour) and entry.device == device]
    return sum(len(entry.actions) for entry in told)


def test_the_coupons_of_a_campaign_that_is_gone_keep_its_terms_and_its_quota(shop):
    gone = {
        "gone": Campaign(
            id="gone",
            name="Gone",
            stores=["harbour", "market"],
            coupon=CouponTerms(channel="any", stores="campaign"),
            caps=Caps(redemptions=1),
        )
    }
    shop.configure(gone)
    codes = [shop.offer("gone") for _ in range(2)]
    assert shop.client.delete("/v1/campaigns/gone", headers=shop.till).status_code == 204
    assert said(shop.redeem(codes[0], store="station")) == (422, "coupon-wrong-store")
    assert said(shop.redeem(codes[0], store="market", channel="online")) == (200, "redeemed")
    assert said(shop.redeem(codes[1])) == (409, "coupon-over-quota")


def test_a_store_that_is_gone_still_takes_its_coupons(shop):
    code = shop.offer(store="closed")
    assert said(shop.redeem(code, store="closed")) == (200, "redeemed")


def test_a_coupon_of_somebody_who_is_forgotten_is_unknown(shop):
    code = shop.offer(device="carl")
    shop.services.coupons.forget("carl")
    assert said(shop.redeem(code, key="forgotten")) == (404, "coupon-unknown")


def test_staff_redeem_in_their_own_store_only_and_a_phone_nowhere(shop):
    staff = shop.key(Action.REDEEM, stores=["market"])
    assert shop.redeem(shop.offer(), headers=staff).status_code == 403
    elsewhere = shop.offer("anywhere")
    assert shop.client.get(f"/v1/coupons/{elsewhere}", headers=staff).status_code == 403
    assert said(shop.redeem(elsewhere, headers=staff, store="market")) == (200, "redeemed")
    mixed = [
        {"code": shop.offer(store=store), "store": store, "time": time.time(), "key": store} for store in STORES[:2]
    ]
    assert shop.post("/v1/coupons/redeem", mixed, headers=staff).status_code == 403
    assert shop.state(mixed[1]["code"]) == "issued"
    phone = {"Authorization": f"Bearer {shop.accounts.register('dora').token}"}
    code = shop.offer(device="dora")
    assert shop.redeem(code, headers=phone).status_code == 403
    assert shop.client.get(f"/v1/coupons/{code}", headers=phone).status_code == 403
    assert shop.client.get(f"/v1/coupons/{code}/qr.svg", headers=phone).status_code == 200
    assert shop.client.get(f"/v1/coupons/{shop.offer()}/qr.svg", headers=phone).status_code == 404


def test_a_till_learns_nothing_about_the_person(shop):
    code = shop.offer(device="emma-the-shopper")
    answers = [shop.client.get(f"/v1/coupons/{code}", headers=shop.till), shop.redeem(code), shop.redeem(code)]
    assert all("emma" not in answer.text for answer in answers)


def test_a_code_is_taken_as_people_type_it_and_shown_as_it_was_given(shop):
    code = shop.offer()
    picture = io.BytesIO()
    segno.make_qr(code, error="m").save(picture, kind="svg", scale=8, xmldecl=False)
    typed = code.lower().replace("0", "o").replace("1", "l").replace("-", "%20")
    assert shop.client.get(f"/v1/coupons/{typed}/qr.svg", headers=shop.till).content == picture.getvalue()


@pytest.mark.parametrize("error", [UnreachableError("redis at somewhere", "refused"), RuntimeError("ours")])
def test_a_code_does_not_get_into_our_log(shop, monkeypatch, error):
    """Whatever goes wrong: a code is as good as money, and logs are kept and sent around."""

    def fails(_):
        raise error

    code = shop.offer()
    monkeypatch.setattr(shop.services.coupons, "find", fails)
    with capture_logs() as logged:
        assert shop.redeem(code).status_code >= 500
    (line,) = logged
    assert line["route"] == "/v1/coupons/{code}/redeem"
    assert code not in str(line)


def test_an_offline_batch_is_taken_in_the_order_of_its_times_and_may_be_sent_again(shop):
    twice, ahead, expired = shop.offer(), shop.offer(), shop.offer(ago_s=600, expires_s=300)
    quota = [shop.offer("coffee", device="fred") for _ in range(2)]
    now = time.time()
    batch = [
        {"code": twice, "time": now - 10, "key": "later"},
        {"code": twice, "time": now - 20, "key": "earlier"},
        {"code": ahead, "time": now + 86_400, "key": "ahead"},
        {"code": expired, "time": now - 400, "key": "good at the time"},
        {"code": quota[0], "time": "no time", "key": "unreadable"},
        {"code": quota[0], "time": 1e300, "key": "wild"},
    ]
    batch = [{"store": "harbour", **body} for body in batch]
    assert shop.post("/v1/coupons/redeem", batch).status_code == 400
    del batch[4]
    answer = shop.post("/v1/coupons/redeem", batch).json()
    assert [result["status"] for result in answer["results"]] == [409, 200, 200, 200, 400]
    assert [result["index"] for result in answer["results"]] == [0, 1, 2, 3, 4]
    assert answer["results"][0]["type"] == "urn:geo-service:coupon-redeemed"
    assert answer["results"][2]["coupon"]["redeemed"] < instant(round((now + 60) * 1000)).isoformat()
    assert shop.post("/v1/coupons/redeem", batch).json() == answer


def test_a_redemption_that_was_made_online_meanwhile_is_a_conflict_of_the_batch(shop):
    code = shop.offer()
    shop.redeem(code)
    offline = [{"code": code, "store": "harbour", "time": time.time() - 60, "key": "offline"}]
    answer = shop.post("/v1/coupons/redeem", offline).json()
    assert (answer["redeemed"], answer["conflicts"]) == (0, 1)


def test_a_quota_holds_and_a_coupon_is_redeemed_once_with_many_tills_at_once(shop):
    shop.configure({"rush": Campaign(id="rush", name="Rush", caps=Caps(redemptions=10))})
    codes = [shop.offer("rush") for _ in range(40)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: said(shop.redeem(codes[n % 40], key=f"rush-{n}")), range(200)))
    assert answers.count((200, "redeemed")) == 10
    assert set(answers) == {(200, "redeemed"), (409, "coupon-redeemed"), (409, "coupon-over-quota")}
    assert [shop.state(code) for code in codes].count("redeemed") == 10
