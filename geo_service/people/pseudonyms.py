"""Names under which people stand in history: pseudonyms that change with the day, unless a person agreed to analytics.

No history about people is written yet; when it is, these are the names in it. A day's salt is to be random, of that day
alone, and thrown away afterwards: then nobody, we included, can tell which pseudonyms of two days are one person, or whose
one is. Keyed hashing as in NIST SP 800-107; 80 bits, so that a million devices a day meet with a chance of one in 10^12.
"""

import base64
import hashlib
import hmac

SALT_BYTES = 32
PREFIX = "~"
"""No id begins with it, so a pseudonym is never taken for one."""
_BYTES = 10


def pseudonym(device: str, salt: bytes) -> str:
    """The device's name for the day whose salt this is: `~` and 16 characters of `a-z 2-7`.

    Raises:
        ValueError: the salt is shorter than 256 bits.
    """
    if len(salt) < SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes, not {len(salt)}")
    digest = hmac.digest(salt, device.encode(), hashlib.sha256)[:_BYTES]
    return PREFIX + base64.b32encode(digest).decode().lower()


def name_in_history(device: str, salt: bytes, *, agrees: bool) -> str:
    """What history calls a device: its id if the person agreed to analytics, else that day's pseudonym."""
    return device if agrees else pseudonym(device, salt)
