"""docs/offers.md: its example is replayed, its commands are run, its tables are compared with what they describe."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from geo_service.api.coupons import REFUSALS
from geo_service.catalogue.site import read_site
from geo_service.offers.audience import _CHECKS
from geo_service.offers.decide import QUESTIONS

PAGE = (Path(__file__).resolve().parents[2] / "docs/offers.md").read_text()
FILES = ("campaigns.json", "policies.json", "stores.json", "fences.geojson", "products.json", "two-days.ndjson")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("example")
    blocks = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    for name, block in zip(FILES, blocks, strict=True):
        (folder / name).write_text(block)
    return folder


def rows(header):
    table = PAGE[PAGE.index(header) :].split("\n\n")[0]
    return [[cell.strip().strip("`") for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def test_the_example_comes_out_as_its_table_says(folder):
    command = re.search(r"`geo-service (replay [^`]+)`", PAGE)[1].split()
    done = subprocess.run(
        [sys.executable, "-m", "geo_service", *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    offers = [said for said in map(json.loads, done.stdout.splitlines()) if said["kind"] == "offer"]
    days = {"2026-06-04": "Thu", "2026-06-06": "Sat"}
    told = [
        [
            f"{days[offer['time'][:10]]} {offer['time'][11:16]}",
            offer["device"],
            offer["campaign"],
            offer["decision"],
            offer["title"] if offer["decision"] == "sent" else offer["reason"],
        ]
        for offer in offers
    ]
    documented = rows("| time (UTC)")
    assert sorted(told) == sorted(documented)


def test_every_refusal_question_and_rule_is_in_its_table():
    described = {row[0]: (int(row[1]), row[2]) for row in rows("| type | status")}
    assert described == {kind: (status, detail) for word, (status, kind, detail) in REFUSALS.items() if word != "lost"}
    assert tuple(row[0] for row in rows("| question | asks")) == QUESTIONS
    rules = {name for row in rows("| rule | holds") for name in re.findall(r"\w+", row[0].split("(")[0])}
    known = {kind.__struct_config__.tag for kind in _CHECKS}
    assert known <= rules | {"not"}


def test_its_commands_work(folder, redis_url, mqtt_url, service_of, until):
    class Example:
        site, problems = read_site(folder)
        stores = ("harbour",)

    site = Example.site
    site.policy.clear()  # the test runs at any hour
    with service_of(redis_url, mqtt_url, Example) as service:
        service.start_worker()
        service.start_api()
        phone = service.listen("geo/v1/device/bert/offers")

        def walk():
            phone.publish("geo/v1/ping/bert", {"time": until.__globals__["time"].time(), "lat": 60.1605, "lon": 24.95})
            return phone.on("geo/v1/device/bert/offers")

        offer = until(walk)[0]
        key = service.headers["Authorization"].removeprefix("Bearer ")
        environment = os.environ | {"KEY": key, "OFFER": offer["id"], "CODE": offer["code"]}

        def run(block):
            command = block.replace("localhost:8080", f"127.0.0.1:{service.port}").replace("curl ", "curl -s ", 1)
            done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=True)
            return json.loads(done.stdout)

        behaviour, explain, preview, redeem = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
        assert run(behaviour) == {"accepted": 2, "rejected": []}
        explained = run(explain)
        assert [question["answer"] for question in explained["questions"]] == ["yes"] * len(QUESTIONS)
        previewed = run(preview)
        assert [person["reason"] for person in previewed["others"]] == ["audience: visits: 0, at least 1 wanted"]
        assert run(redeem)["state"] == "redeemed"
        assert run(redeem)["state"] == "redeemed"
