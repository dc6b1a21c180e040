"""Signatures as the Standard Webhooks specification has them."""

import base64
import hashlib
import hmac

import pytest

from geo_service.delivery.webhook_signing import headers, key_of, new_secret, signature
from geo_service.errors import InvalidInputError


def test_the_specifications_own_example():
    """From the specification's test vectors: libraries in every language must make this of it."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    assert signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_a_secret_is_256_random_bits():
    first, second = new_secret(), new_secret()
    assert first != second
    assert first.startswith("whsec_")
    assert len(key_of(first)) == 32


def test_two_secrets_sign_side_by_side():
    old, new = new_secret(), new_secret()
    made = headers([new, old], "0-17-0", 1_700_000_000, b"{}")
    assert (made["webhook-id"], made["webhook-timestamp"]) == ("0-17-0", "1700000000")
    signatures = made["webhook-signature"].split(" ")
    assert len(signatures) == 2
    for secret, found in zip((new, old), signatures, strict=True):
        key = base64.b64decode(secret.removeprefix("whsec_"))
        wanted = base64.b64encode(hmac.new(key, b"0-17-0.1700000000.{}", hashlib.sha256).digest()).decode()
        assert found == f"v1,{wanted}"


def test_what_is_no_secret_is_said_to_be_none():
    with pytest.raises(InvalidInputError):
        key_of("whsec_not base64!")
