"""Who a campaign is for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_service.catalogue.check import check_site
from geo_service.catalogue.documents import Campaign, Store
from geo_service.catalogue.site import Site
from geo_service.errors import InvalidInputError
from geo_service.offers.audience import Person, read_audience, why_not
from geo_service.offers.facts import Facts
from geo_service.outputs import Crossing
from sensors.instants import instant

NOW_MS = 1_780_740_000_000
DAY_MS = 86_400_000
STORE = Store(id="s1", name="One", lat=60.0, lon=25.0)
REGULAR = Facts(
    True,
    visits=9,
    visits_here=3,
    last_visit_ms=NOW_MS - DAY_MS,
    last_visit_here_ms=NOW_MS - 10 * DAY_MS,
    segments=("members", "parents"),
    affinities={"bakery": 10.0, "coffee": 1.0},
    language="fi-FI",
    order="ready",
)
STRANGER = Facts(True)


def person(facts=REGULAR, *, mock=False, lat=60.001):
    crossing = Crossing(
        id="c",
        type="enter",
        device="d",
        fence="f",
        store="s1",
        role="near",
        time=instant(NOW_MS),
        logged=instant(NOW_MS),
        lat=lat,
        lon=25.0,
        accuracy_m=5.0,
        confidence=1.0,
        duration_s=None,
        reason="observed",
        mock=mock,
    )
    return Person(facts, crossing, STORE, NOW_MS)


def meant(rule, facts=REGULAR, **about):
    return why_not(read_audience(rule), person(facts, **about)) is None


@pytest.mark.parametrize(
    ("rule", "regular", "stranger"),
    [
        ({}, True, True),
        ({"rule": "segment", "any_of": ["vip", "members"]}, True, False),
        ({"rule": "segment", "any_of": ["vip"]}, False, False),
        ({"rule": "visits", "at_least": 3}, True, False),
        ({"rule": "visits", "at_least": 4}, False, False),
        ({"rule": "visits", "at_least": 9, "where": "anywhere"}, True, False),
        ({"rule": "visits", "at_most": 0}, False, True),
        ({"rule": "last_visit", "longer_ago_s": 8 * 86_400}, True, False),
        ({"rule": "last_visit", "longer_ago_s": 8 * 86_400, "where": "anywhere"}, False, False),
        ({"rule": "last_visit", "within_s": 2 * 86_400, "where": "anywhere"}, True, False),
        ({"rule": "affinity", "category": "bakery", "at_least": 0.5}, True, False),
        ({"rule": "affinity", "category": "coffee", "at_least": 0.2}, False, True),
        ({"rule": "order"}, True, False),
        ({"rule": "order", "is": "ready"}, True, False),
        ({"rule": "order", "is": "open"}, False, False),
        ({"rule": "order", "is": "none"}, False, True),
        ({"rule": "distance", "at_most_m": 120}, True, True),
        ({"rule": "distance", "at_most_m": 100}, False, False),
        ({"rule": "distance", "at_least_m": 100}, True, True),
        ({"rule": "language", "any_of": ["sv", "fi"]}, True, False),
        ({"rule": "language", "any_of": ["f"]}, False, False),
        ({"rule": "all", "of": [{"rule": "visits", "at_least": 1}, {"rule": "order", "is": "ready"}]}, True, False),
        ({"rule": "any", "of": [{"rule": "visits", "at_most": 0}, {"rule": "order", "is": "open"}]}, False, True),
        ({"rule": "not", "of": {"rule": "segment", "any_of": ["members"]}}, False, True),
        ({"rule": "all", "of": []}, True, True),
    ],
)
def test_each_rule_means_what_it_says(rule, regular, stranger):
    assert (meant(rule), meant(rule, STRANGER)) == (regular, stranger)


def test_the_reason_names_what_was_wanted_and_what_is():
    rule = {"rule": "all", "of": [{"rule": "visits", "at_least": 1}, {"rule": "visits", "at_least": 5}]}
    assert why_not(read_audience(rule), person()) == "visits: 3, at least 5 wanted"
    either = {"rule": "any", "of": rule["of"]}
    assert why_not(read_audience(either), person(STRANGER)) == (
        "none of: visits: 0, at least 1 wanted; visits: 0, at least 5 wanted"
    )


def test_a_place_that_nobody_knows_is_no_distance():
    assert not meant({"rule": "distance", "at_most_m": 1_000_000}, lat=None)


def test_simulated_locations_are_out_unless_the_tree_says_otherwise():
    assert not meant({}, mock=True)
    assert not meant({"rule": "visits", "at_least": 1}, mock=True)
    assert meant({"mock": True}, mock=True)
    assert meant({"mock": True, "rule": "visits", "at_least": 1}, mock=True)
    assert meant({"rule": "mock"}, mock=True)
    assert not meant({"rule": "mock"})
    assert not meant({"rule": "not", "of": {"rule": "mock"}}, mock=True)


@pytest.mark.parametrize(
    ("rule", "field", "reason"),
    [
        ({"rule": "al", "of": []}, "audience.rule", "Invalid value 'al'"),
        ({"of": []}, "audience.rule", "is missing"),
        ({"mock": 3}, "audience.mock", "must be true or false"),
        ({"rule": "visits", "at_least": "3"}, "audience.at_least", "Expected `int | null`, got `str`"),
        ({"rule": "visits"}, "audience", "needs at_least or at_most"),
        (
            {"rule": "visits", "at_least": 3, "at_most": 2},
            "audience",
            "at_least is above at_most: nobody can meet that",
        ),
        ({"rule": "segment", "any_of": []}, "audience.any_of", "Expected `array` of length >= 1"),
        ({"rule": "visits", "atleast": 3}, "audience", "Object contains unknown field `atleast`"),
        (
            {"rule": "all", "of": [{"rule": "order"}, {"rule": "not", "of": {"rule": "distance", "at_most_m": -1}}]},
            "audience.of[1].of.at_most_m",
            "Expected `float` >= 0.0",
        ),
        (
            {"rule": "any", "of": [{"rule": "order"}, {"rule": "all", "of": [{"rule": "last_visit"}]}]},
            "audience.of[1].of[0]",
            "needs longer_ago_s or within_s",
        ),
    ],
)
def test_a_tree_that_cannot_be_meant_is_refused_with_the_place_of_the_mistake(rule, field, reason):
    with pytest.raises(InvalidInputError) as refused:
        read_audience(rule)
    assert (refused.value.field, refused.value.reason) == (field, reason)


def test_a_tree_too_deep_or_too_large_is_refused():
    deep = {"rule": "order"}
    for _ in range(17):
        deep = {"rule": "not", "of": deep}
    with pytest.raises(InvalidInputError, match="nested more than 16 deep"):
        read_audience(deep)
    with pytest.raises(InvalidInputError, match="201 rules"):
        read_audience({"rule": "all", "of": [{"rule": "order"}] * 200})


def test_an_import_is_told_of_a_mistake_in_a_campaign():
    wrong = {"rule": "all", "of": [{"rule": "visits", "at_least": True}]}
    site = Site(campaign={"c": Campaign(id="c", name="C", audience=wrong)})
    (problem,) = check_site(site)
    assert (problem.file, problem.id, problem.severity) == ("campaigns.json", "c", "error")
    assert problem.reason.startswith("audience.of[0].at_least: ")


_leaves = st.sampled_from(
    [
        {"rule": "visits", "at_least": 1},
        {"rule": "visits", "at_most": 3},
        {"rule": "segment", "any_of": ["members"]},
        {"rule": "order", "is": "ready"},
        {"rule": "language", "any_of": ["fi"]},
        {"rule": "affinity", "category": "coffee", "at_least": 0.2},
    ]
)
_trees = st.recursive(
    _leaves,
    lambda parts: st.one_of(
        st.lists(parts, max_size=3).map(lambda of: {"rule": "all", "of": of}),
        st.lists(parts, min_size=1, max_size=3).map(lambda of: {"rule": "any", "of": of}),
        parts.map(lambda of: {"rule": "not", "of": of}),
    ),
    max_leaves=8,
)


def truth(tree, facts):
    """What the tree says by the truth of its leaves alone."""
    if tree["rule"] == "all":
        return all(truth(part, facts) for part in tree["of"])
    if tree["rule"] == "any":
        return any(truth(part, facts) for part in tree["of"])
    if tree["rule"] == "not":
        return not truth(tree["of"], facts)
    return meant(tree, facts)


@given(_trees, st.sampled_from([REGULAR, STRANGER]))
def test_a_tree_is_true_where_its_leaves_make_it_so(tree, facts):
    assert meant(tree, facts) == truth(tree, facts)
