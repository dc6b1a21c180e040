"""When a webhook that failed is tried again. Pure.

Exponential backoff with equal jitter (half of it fixed, half random), so that many deliveries that failed together do not
come back together: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
"""

FIRST_S = 5.0
LONGEST_S = 3600.0
GIVEN_UP_MS = 24 * 3_600_000
"""A delivery that still fails so long after it was queued goes to the dead letters."""


def pause_s(failures: int, random: float, retry_after_s: float | None = None) -> float:
    """Seconds until the next try.

    Args:
        failures: in a row at this endpoint, the last one included; at least 1.
        random: from [0, 1).
        retry_after_s: what the endpoint asked for, if it did; heeded up to `LONGEST_S`.
    """
    whole = min(FIRST_S * 2.0 ** min(failures - 1, 32), LONGEST_S)
    pause = whole / 2 + random * whole / 2
    return max(pause, min(retry_after_s or 0.0, LONGEST_S))


def is_given_up(queued_ms: int, now_ms: int) -> bool:
    """Whether a delivery that has just failed is not tried again."""
    return now_ms - queued_ms >= GIVEN_UP_MS
