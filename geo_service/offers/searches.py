"""What a search is about: the categories that its words name.

A search is about a category that has a product in whose name and category's name every one of its words is found. Asked of
a whole catalogue for each search of a shopper; so a category's texts are one string, and looked at where its rarest word is.
"""

from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache

from geo_service.catalogue.documents import Product

_REMEMBERED = 4096
_COUNTED = 4
"""Of so many words, the longest ones, the rarest is found by counting."""


class Shelves:
    """The products by category, ready to be searched."""

    def __init__(self, products: Iterable[Product]) -> None:
        """Products without a category are not found."""
        texts: dict[str, list[str]] = defaultdict(list)
        for product in products:
            if product.category:
                texts[product.category].append(" ".join(f"{product.category} {product.name}".casefold().split()))
        self._shelves = [(category, "\n".join(["", *texts[category], ""])) for category in sorted(texts)]
        self.about = lru_cache(_REMEMBERED)(self._about)

    def _about(self, query: str) -> list[str]:
        """The categories, in order; none where the search says nothing."""
        words = sorted(set(query.casefold().split()), key=lambda word: (-len(word), word))
        return [category for category, texts in self._shelves if words and _holds(texts, words)]


def _holds(texts: str, words: list[str]) -> bool:
    """Whether one line of the texts holds all of the words."""
    if not all(word in texts for word in words):
        return False
    if len(words) == 1:
        return True
    rarest = min(words[:_COUNTED], key=texts.count)
    at = texts.find(rarest)
    while at >= 0:
        end = texts.index("\n", at)
        line = texts[texts.rindex("\n", 0, at) : end]
        if all(word in line for word in words):
            return True
        at = texts.find(rarest, end)
    return False
