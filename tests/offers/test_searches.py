"""What a search is about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_service.catalogue.documents import Product
from geo_service.offers.searches import Shelves

PRODUCTS = [("Seeded rye loaf", "bakery"), ("Rye crackers", "snacks"), ("Coffee beans", "coffee"), ("Gift card", None)]


def shelves(products=PRODUCTS):
    return Shelves(Product(sku=str(at), name=name, category=category) for at, (name, category) in enumerate(products))


@pytest.mark.parametrize(
    ("query", "categories"),
    [
        ("rye", ["bakery", "snacks"]),
        ("RYE  Loaf", ["bakery"]),
        ("rye beans", []),  # in no product together
        ("bakery", ["bakery"]),
        ("bakery rye", ["bakery"]),
        ("gift", []),
        ("", []),
        ("   ", []),
        ("crack", ["snacks"]),
    ],
)
def test_every_word_is_found_in_one_product_or_its_category(query, categories):
    assert shelves().about(query) == categories


WORDS = st.lists(st.sampled_from(["a", "ab", "b", "ba", "c", "\n", "A"]), max_size=4).map(" ".join)


@given(st.lists(st.tuples(WORDS, st.sampled_from(["x", "ab", "y z"])), max_size=6), WORDS)
def test_it_finds_what_looking_at_each_product_finds(products, query):
    words = query.casefold().split()
    expected = {
        category
        for name, category in products
        if words and all(word in f"{category} {name}".casefold() for word in words)
    }
    assert shelves(products).about(query) == sorted(expected)
