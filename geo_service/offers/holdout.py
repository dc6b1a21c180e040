"""The holdout: a part of the shoppers who would have got an offer and do not, so that its effect can be measured.

Who belongs to it is a hash of person and campaign, so it stays the same for as long as the campaign runs, on every
machine and in every replay (Kohavi, Tang, Xu, "Trustworthy Online Controlled Experiments", 2020, ch. 4: assignment by hash).
"""

from hashlib import blake2b


def is_held_out(device: str, campaign: str, share: float) -> bool:
    """Whether this device belongs to the campaign's holdout of the given share (0 to 1)."""
    digest = blake2b(f"{campaign}\n{device}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64
