"""Signatures of webhooks, after the Standard Webhooks specification (symmetric scheme, https://www.standardwebhooks.com).

A secret is `whsec_` and base64 of its random bytes. What is signed is `{id}.{timestamp}.{body}` with HMAC-SHA256; the header
holds one `v1,{base64}` for each secret in force, so that a receiver can change over while both are.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from geo_service.errors import InvalidInputError

PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> str:
    """A secret of 256 random bits."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """The bytes that a secret stands for.

    Raises:
        InvalidInputError: it is none.
    """
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise InvalidInputError("is not base64 behind whsec_", field="secret") from error


def signature(secret: str, delivery_id: str, timestamp_s: int, body: bytes) -> str:
    """One signature: `v1,` and base64 of the HMAC."""
    signed = f"{delivery_id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key_of(secret), signed, hashlib.sha256)).decode()


def headers(secrets_in_force: Sequence[str], delivery_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The three headers of one attempt. `delivery_id` must hold no full stop: it is what parts the signed text."""
    signatures = (signature(secret, delivery_id, timestamp_s, body) for secret in secrets_in_force)
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(signatures),
    }
