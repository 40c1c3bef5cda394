"""How long a server asks to be left alone. Whether that is obeyed, and for how long at most, its callers decide."""

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait; None where it names no sensible time.

    `retry-after-ms`, or `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3).

    Args:
        headers: of the answer; a case-insensitive mapping.
    """
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            asked_s = float(headers.get(name, "")) / divisor
        except ValueError:
            continue
        if asked_s >= 0:  # False for nan; infinity is above every limit.
            return asked_s
    try:
        until = parsedate_to_datetime(headers.get("retry-after", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, until - time.time()) if math.isfinite(until) else None
