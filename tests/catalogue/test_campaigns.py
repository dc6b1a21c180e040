"""Campaigns that can be read and yet would not do what was meant."""

import json

import pytest
from click.testing import CliRunner

from geo_service.__main__ import cli
from geo_service.catalogue.check import check_site
from geo_service.catalogue.site import read_site

STORE = {"id": "s1", "name": "One", "lat": 60, "lon": 25, "tags": ["food"]}
NEAR = {"store": "s1", "role": "near", "radius_m": 200, "dwell_s": 300}
CAMPAIGN = {"id": "c", "name": "C", "benefit": {"type": "percentage", "value": 10}}


@pytest.fixture
def judged(tmp_path):
    """What `geo-service check` says of one campaign or policy: `(severity, reason)`."""

    def judge(*, near=NEAR, policy=None, **campaign):
        point = {"type": "Point", "coordinates": [25, 60]}
        feature = {"type": "Feature", "id": "s1.near", "geometry": point, "properties": near}
        files = {
            "stores.json": [STORE],
            "fences.geojson": {"type": "FeatureCollection", "features": [feature]},
            "products.json": [{"sku": "rye", "name": "Rye"}],
            "campaigns.json": [] if policy else [CAMPAIGN | campaign],
            "policies.json": [policy] if policy else [],
        }
        for name, content in files.items():
            (tmp_path / name).write_text(json.dumps(content))
        site, problems = read_site(tmp_path)
        return [(problem.severity, problem.reason) for problem in problems + check_site(site)]

    return judge


def test_a_campaign_that_says_what_it_means_is_not_remarked_on(judged):
    texts = {"en": {"title": "Rye", "body": "Warm"}}
    caps = {"total": 5, "budget": 1000}
    benefit = {"kind": "percent", "percent": 20, "cost": 50, "currency": "EUR"}
    assert judged(texts=texts, caps=caps, benefit=benefit, tags=["food"], skus=["rye"], _note="for us") == []


@pytest.mark.parametrize(
    ("campaign", "reason"),
    [
        ({"audiance": {}}, "audiance: is unknown and ignored; is audience meant?"),
        ({"max_offers": 3}, "max_offers: is unknown and ignored"),
        ({"caps": {"totl": 3}}, "caps.totl: is unknown and ignored; is total meant?"),
        (
            {"coupon": {"where": "store"}},
            "coupon.where: is unknown and ignored; there are channel, stores",
        ),
        ({"texts": {"en": {"title": "T", "bdy": "B"}}}, "texts.en.bdy: is unknown and ignored; is body meant?"),
        (
            {"benefit": {"type": "gift", "sku": "rye", "cots": 3}},
            "benefit.cots: is unknown and ignored; there are type, cost, currency, text, sku",
        ),
    ],
)
def test_a_field_of_a_campaign_that_is_ignored_is_told_of(judged, campaign, reason):
    assert judged(**campaign) == [("warning", reason)]


def test_of_other_documents_only_what_is_nearly_a_name_is_told_of(judged):
    near = {**NEAR, "fill": "#f00", "name": "Round the corner", "dwel_s": 3}
    assert judged(near=near) == [("warning", "dwel_s: is unknown and ignored; is dwell_s meant?")]


@pytest.mark.parametrize(
    ("campaign", "severity", "reason"),
    [
        ({"channel": "pigeon"}, "error", "channel: 'pigeon' is none; offers go by push"),
        ({"caps": {"budget": 100}}, "error", "caps.budget: limits nothing"),
        ({"benefit": {"type": "gift", "sku": "oat"}}, "error", "sku: there is no product 'oat'"),
        ({"benefit": {"type": "text"}, "caps": {"redemptions": 9}}, "warning", "caps.redemptions: has no effect"),
        ({"tags": ["foot"]}, "warning", "tags: no store has the tag 'foot'"),
        (
            {"texts": {"fi": {"title": "Ruis"}}},
            "warning",
            "texts: none is in 'en', so who speaks none of them gets 'fi'",
        ),
        ({"trigger": {"role": "near", "dwell_s": 60}}, "warning", "trigger.dwell_s: has no effect on 'enter'"),
        ({"trigger": {"role": "curbside"}}, "warning", "trigger: there is no 'curbside' fence of its stores"),
        ({"trigger": {"type": "cross"}}, "warning", "trigger: no 'near' fence of its stores has 'cross' in its detect"),
        (
            {"trigger": {"type": "dwell", "dwell_s": 301}},
            "warning",
            "trigger.dwell_s: the longest dwell_s of a 'near' fence of its stores is 300, so the campaign never speaks",
        ),
    ],
)
def test_what_would_have_no_effect_or_never_speak_is_told_of(judged, campaign, severity, reason):
    ((found, said),) = judged(**campaign)
    assert (found, said[: len(reason)]) == (severity, reason)


def test_a_dwell_campaign_needs_a_fence_that_waits(judged):
    trigger = {"type": "dwell"}
    assert judged(trigger=trigger) == judged(trigger={**trigger, "dwell_s": 300}) == []
    ((_, said),) = judged(trigger=trigger, near={**NEAR, "dwell_s": None})
    assert said == "trigger: no 'near' fence of its stores has a dwell_s, so the campaign never speaks"


def test_a_language_that_the_texts_have_in_general_is_enough(judged):
    assert judged(language="en-GB", texts={"EN": {"title": "Rye"}}) == []


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ({"caps": {"per_device_day": 1}, "tags": ["foot"]}, "tags: no store has the tag 'foot'"),
        ({"stores": ["s1"]}, "it binds nothing: there are neither quiet hours nor caps"),
        (
            {"caps": {"per_device_day": 1, "per_day": 3}},
            "caps.per_day: is unknown and ignored; there are per_device_day, min_gap_s",
        ),
    ],
)
def test_a_policy_that_binds_nothing_is_told_of(judged, policy, reason):
    assert judged(policy={"id": "p"} | policy) == [("warning", reason)]


def test_who_runs_a_site_is_told_that_there_are_warnings(tmp_path):
    (tmp_path / "stores.json").write_text(json.dumps([STORE]))
    (tmp_path / "policies.json").write_text(json.dumps([{"id": "p", "quite": {}}]))
    (tmp_path / "log.ndjson").write_text("")
    arguments = ["replay", "--site", str(tmp_path), "--log", str(tmp_path / "log.ndjson")]
    said = CliRunner().invoke(cli, arguments)
    assert (said.exit_code, said.stdout) == (0, "")
    assert "warnings about the site: 2 (geo-service check" in said.stderr
