"""Passwords as scrypt hashes (RFC 7914)."""

import base64
import hashlib
import hmac
import secrets
import unicodedata

from geo_service.errors import InvalidInputError

SHORTEST = 10
LONGEST = 256
_N, _R, _P = 2**14, 8, 5


def hash_password(password: str) -> str:
    """Salted hash with its parameters: `scrypt$N$r$p$salt$hash`.

    Raises:
        InvalidInputError: shorter than 10 or longer than 256 characters.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidInputError(f"must have from {SHORTEST} to {LONGEST} characters", field="password")
    salt = secrets.token_bytes(16)
    parts = [base64.b64encode(part).decode() for part in (salt, _scrypt(password, salt, _N, _R, _P))]
    return f"scrypt${_N}${_R}${_P}${parts[0]}${parts[1]}"


def is_password(password: str, kept: str | None) -> bool:
    """Whether it is the one that was hashed; with None (nobody of that name) False, after the same work."""
    _, n, r, p, salt, wanted = (kept or f"scrypt${_N}${_R}${_P}$$").split("$")
    found = _scrypt(password[:LONGEST], base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(wanted)) and kept is not None


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    # The same password may come decomposed from one keyboard and composed from another.
    text = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(text, salt=salt, n=n, r=r, p=p, maxmem=128 * n * r * 2, dklen=32)
