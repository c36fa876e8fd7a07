"""Answers: what an object store's refusals mean, in words that say what to mend."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from botocore.exceptions import ClientError

_ADVICE = {
    "InvalidAccessKeyId": "mend AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "mend AWS_SECRET_ACCESS_KEY",
    "AccessDenied": "these keys may not do this",
    "ExpiredToken": "the session's credentials are over; get new ones",
    "AuthorizationHeaderMalformed": "mend AWS_REGION",
    "PermanentRedirect": "the bucket is in another region; mend AWS_REGION or AWS_ENDPOINT_URL_S3",
    "301": "the bucket is in another region; mend AWS_REGION or AWS_ENDPOINT_URL_S3",
}
_SKEWED = frozenset({"RequestTimeTooSkewed", "RequestNotReadyYet", "RequestExpired"})


def refusal(error: ClientError) -> str:
    """Return what a store answered, and what to do about it where that is known."""
    code = error.response["Error"]["Code"]
    words = f"the store answered {code}: {error.response['Error'].get('Message', '')}"
    if code in _SKEWED:
        ahead = ahead_s(error.response["ResponseMetadata"]["HTTPHeaders"].get("date"))
        return f"{words}; {clock_words(ahead)}" if ahead is not None else f"{words}; set this machine's clock"
    return f"{words}; {_ADVICE[code]}" if code in _ADVICE else words


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
