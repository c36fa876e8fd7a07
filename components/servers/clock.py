"""Clock: how this machine's differs from a server's, by the date in its answer."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def ahead_s(date: str | None) -> float | None:
    """Return by how many seconds this machine's clock is ahead of the one that wrote an HTTP Date header.

    None if there is no header, or no date in it.
    """
    try:
        return (datetime.now(UTC) - parsedate_to_datetime(date or "")).total_seconds()
    except (ValueError, TypeError):
        return None


def clock_words(ahead: float) -> str:
    """Return how this machine's clock differs from another, in words."""
    return f"this machine's clock is {abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} the server's; set it"
