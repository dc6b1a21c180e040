"""Coupon codes: unguessable, made from a secret and the offer's id, so that nobody has to keep them.

A code is HMAC-SHA-256 (RFC 2104) of the offer's id, cut to 80 bits, in Crockford's base 32: `7Q4K-9XWM-02RT-HB5N`. Whoever
folds the log with the same secret makes the same codes; whoever lacks it can neither guess nor make one. What is stored
is an HMAC of the code under the same secret: from the store alone no code can be read.
"""

import hmac
from typing import Any, Literal, NamedTuple

import msgspec

from geo_service.catalogue.documents import Campaign, Caps
from geo_service.catalogue.site import decode_document, encode_document
from geo_service.errors import InvalidInputError

Channel = Literal["store", "online"]

REPLAY_SECRET = b"geo-service replay: codes made with this are worth nothing"
"""What a replay uses that was given no secret; its codes differ from the live service's."""
LONGEST_LOCK_S = 900
"""A till may hold a coupon for a quarter of an hour at the most."""
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _LETTERS for second in _LETTERS]
"""By ten bits."""
_SHIFTS = range(70, -1, -10)
_LOOKALIKES = str.maketrans("OILoil", "011011", "- ")
_BYTES = 10
_WORDS_ALONE = ("text", "free_text")
"""Benefits that no coupon goes with, as `offers/benefits.py` reads them."""
_offer = msgspec.json.Decoder(dict[str, Any])
_LENGTH = 16


class Outcome(NamedTuple):
    """What came of a question: `done`, `held` or `found`, or why not."""

    word: str
    coupon: dict[str, str]
    """What is kept of it; {} where there is none."""
    wait_ms: int
    """Of `held`: how long it is; of `locked`: after which time to ask again."""
    is_repeat: bool = False
    """The answer that this idempotency key got before; nothing happened now."""


class Till(NamedTuple):
    """Who redeems, where, and under which terms."""

    at: str
    channel: Channel = "store"
    time_ms: int = 0
    """When it happened there; 0: now."""
    amount: int = -1
    """Of the basket, minor units; -1 where nobody says."""
    lock: str = ""
    """The holder that `lock` was given, where there was one."""
    asks: str = ""
    """To hold it: an idempotency key, within the asker's own. Who asks again gets the hold that they have."""
    channels: str = "store"
    """Where the campaign's coupons are good."""
    everywhere: bool = False
    """Whether they are good in any store that the asker found to be the campaign's."""
    quota: int | None = None
    """How many of the campaign's coupons may be redeemed in all."""


class Once(NamedTuple):
    """An idempotency key, within the asker's own, and the digest of what was asked with it."""

    key: str
    digest: str


def code_of(secret: bytes, offer: str) -> str:
    """The code that goes with an offer."""
    digest = hmac.digest(secret, b"code\0" + offer.encode(), "sha256")
    number = int.from_bytes(digest[:_BYTES], "big")
    a, b, c, d, e, f, g, h = [_PAIRS[number >> shift & 1023] for shift in _SHIFTS]
    return f"{a}{b}-{c}{d}-{e}{f}-{g}{h}"


def lasting_terms(campaign: bytes) -> bytes:
    """What of a campaign's document its coupons still need when it is gone: where they are good, and how many."""
    whole: Campaign = decode_document("campaign", campaign)
    return encode_document(
        Campaign(
            id=whole.id,
            name="",
            stores=whole.stores,
            tags=whole.tags,
            coupon=whole.coupon,
            caps=Caps(redemptions=whole.caps.redemptions),
        )
    )


def without_code(line: bytes) -> bytes:
    """An offer's JSON with `code` null: for whoever is not the shopper, and for whatever keeps it."""
    offer = _offer.decode(line)
    return line if offer.get("code") is None else msgspec.json.encode(offer | {"code": None})


def with_code(secret: bytes, line: bytes) -> bytes:
    """An offer's JSON with its code made anew; one that was not sent, or only says words, has none."""
    offer = _offer.decode(line)
    benefit = offer.get("evidence", {}).get("benefit") or {}
    if offer.get("decision") != "sent" or benefit.get("type", benefit.get("kind")) in _WORDS_ALONE:
        return line
    return msgspec.json.encode(offer | {"code": code_of(secret, str(offer["id"]))})


def plain_code(said: str) -> str:
    """A code as somebody typed it: without dashes and spaces, O for 0, I and L for 1, small letters.

    Raises:
        InvalidInputError: it cannot be a code.
    """
    plain = said.translate(_LOOKALIKES).upper() if len(said) <= 64 else ""
    if len(plain) != _LENGTH or not set(plain) <= set(_LETTERS):
        raise InvalidInputError("is no coupon code: 16 letters and digits, such as 7Q4K-9XWM-02RT-HB5N", field="code")
    return plain


def written_code(plain: str) -> str:
    """A plain code as it is shown: in fours."""
    return "-".join(plain[at : at + 4] for at in range(0, _LENGTH, 4))


def fingerprint(secret: bytes, code: str) -> str:
    """What is stored of a code: 128 bits of an HMAC, as hexadecimal digits.

    Raises:
        InvalidInputError: it cannot be a code.
    """
    return hmac.digest(secret, b"kept\0" + plain_code(code).encode(), "sha256")[:16].hex()
