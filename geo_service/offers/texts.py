"""The words of an offer, in the person's language or the nearest that the campaign has."""

from typing import NamedTuple

from geo_service.catalogue.documents import Campaign


class Said(NamedTuple):
    """Title, body and the language they are in."""

    title: str
    body: str | None
    language: str | None


def words_of(campaign: Campaign, language: str | None) -> Said:
    """`fi-FI` is served by `fi-FI`, else by `fi` (RFC 4647, lookup), else by the campaign's own language, else by the
    first in the alphabet (which an import warns of); a campaign without texts says its name.
    """
    if not campaign.texts:
        return Said(campaign.name, None, None)
    by_tag = {tag.lower(): tag for tag in campaign.texts}
    for wanted in (language, campaign.language):
        tag = (wanted or "").lower()
        while tag:
            if tag in by_tag:
                return _said(campaign, by_tag[tag])
            tag = tag.rpartition("-")[0]
    return _said(campaign, next(iter(campaign.texts)))


def _said(campaign: Campaign, tag: str) -> Said:
    text = campaign.texts[tag]
    return Said(text.title, text.body, tag)
