"""What an offer gives, and in which words."""

import pytest

from geo_service.catalogue.documents import Campaign, Text
from geo_service.errors import InvalidInputError
from geo_service.offers.benefits import Amount, Gift, Percentage, cost_of, read_benefit
from geo_service.offers.benefits import Text as Words
from geo_service.offers.texts import words_of


@pytest.mark.parametrize(
    ("document", "benefit", "cost"),
    [
        ({}, None, 0),
        ({"type": "percentage", "value": 20}, Percentage(value=20), 0),
        ({"kind": "percent", "percent": 20, "cost": 80}, Percentage(value=20, cost=80), 80),
        ({"type": "amount", "value": 500, "currency": "EUR"}, Amount(value=500, currency="EUR"), 500),
        ({"kind": "amount", "amount": 500, "currency": "EUR"}, Amount(value=500, currency="EUR"), 500),
        ({"type": "gift", "sku": "bun", "cost": 90}, Gift(sku="bun", cost=90), 90),
        ({"type": "text"}, Words(), 0),
    ],
)
def test_benefits_are_read_in_their_spellings(document, benefit, cost):
    assert read_benefit(document) == benefit
    assert cost_of(benefit) == cost


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"value": 20}, "benefit.type"),
        ({"type": "free lunch"}, "benefit.type"),
        ({"type": "percentage"}, "benefit.value"),
        ({"type": "percentage", "value": 0}, "benefit.value"),
        ({"type": "percentage", "value": 101}, "benefit.value"),
        ({"type": "amount", "value": 5.5, "currency": "EUR"}, "benefit.value"),
        ({"type": "amount", "value": 500, "currency": "euro"}, "benefit.currency"),
        ({"type": "gift", "cost": -1}, "benefit.cost"),
    ],
)
def test_a_benefit_that_cannot_be_meant_is_refused_with_its_field(document, field):
    with pytest.raises(InvalidInputError) as refused:
        read_benefit(document)
    assert refused.value.field == field


TEXTS = {"en": Text(title="Bread"), "pt": Text(title="Pão"), "pt-BR": Text(title="Pãozinho"), "fi": Text(title="Leipä")}
BREAD = Campaign(id="bread", name="bread-2026", texts=TEXTS, language="fi")


@pytest.mark.parametrize(
    ("language", "title"),
    [
        ("pt-BR", "Pãozinho"),
        ("pt-PT", "Pão"),
        ("PT", "Pão"),
        ("en-GB-oxendict", "Bread"),
        ("sv", "Leipä"),
        (None, "Leipä"),
    ],
)
def test_the_nearest_language_is_spoken(language, title):
    assert words_of(BREAD, language).title == title


def test_without_texts_the_name_is_said_and_without_its_own_language_the_first():
    assert words_of(Campaign(id="b", name="Bread"), "fi") == ("Bread", None, None)
    assert words_of(Campaign(id="b", name="Bread", texts={"sv": Text(title="Bröd")}), "fi") == ("Bröd", None, "sv")
