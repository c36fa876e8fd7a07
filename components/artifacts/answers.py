"""What an object store's error means: it is away, lacks the object, does not let us in, or refuses for good."""

import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from boto3.exceptions import Boto3Error, RetriesExceededError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.parsers import ResponseParserError

from components.servers.clock import ahead_s, clock_words
from components.servers.patience import ServerAwayError
from components.servers.redaction import redact_text

ERRORS = (ClientError, BotoCoreError, Boto3Error, ResponseParserError)
"""All that boto3 raises because of a store or of the way to it."""

_RANGE = re.compile(r"bytes (?P<first>\d+)-(?P<last>\d+)")
_SERVER_ERROR, _TOO_MANY = 500, 429
_ABSENT = {"404", "NoSuchKey", "NotFound"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_BUSY = {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "RequestLimitExceeded", "InternalError"}
_BUSY |= {"NoSuchUpload", "InvalidPart"}  # of an upload in parts that ended, for us or another; it is begun anew
_KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to keys that this store knows"
_ADVICE = {
    "InvalidAccessKeyId": f"mend AWS_ACCESS_KEY_ID: {_KEYS}",
    "SignatureDoesNotMatch": f"mend AWS_SECRET_ACCESS_KEY: {_KEYS}",
    "AccessDenied": f"the keys may not do this; allow it, or {_KEYS}",
    "403": f"the keys are unknown or may not do this; {_KEYS}",
    "AuthorizationHeaderMalformed": "mend AWS_REGION",
} | dict.fromkeys(
    ("PermanentRedirect", "301"), "the bucket is in another region; mend AWS_REGION or AWS_ENDPOINT_URL_S3"
)
_ADVICE |= dict.fromkeys(
    _EXPIRED, "the credentials have expired: renew them (AWS_SESSION_TOKEN, or the profile's file)"
)
_SKEWED = frozenset({"RequestTimeTooSkewed", "RequestNotReadyYet"})


def heard(ask: Callable[..., dict[str, Any]], asked: Mapping[str, Any], *needed: str) -> dict[str, Any]:
    """Return an answer, unless its connection broke off in the headers: those that came pass for all there are.

    Args:
        ask: A method of boto3's client.
        asked: Its arguments.
        needed: Parts that every whole answer has.

    Raises:
        ServerAwayError: A header is missing that it needs, or is not whole.
    """
    try:
        answer = ask(**asked)
    except ValueError as error:  # of half a date
        raise ServerAwayError("its answer broke off") from error
    for name in needed:
        if name not in answer:
            raise ServerAwayError(f"its answer broke off before {name}")
    return answer


def body_of(answer: Mapping[str, Any]) -> bytes | None:
    """Return the bytes of an answer that has some; None where others came than its checksum tells.

    Raises:
        ServerAwayError: Half of its checksum came.
    """
    try:
        content: bytes = answer["Body"].read()
    except FlexibleChecksumError:
        return None
    except binascii.Error as error:
        raise ServerAwayError("its answer broke off") from error
    return content


def is_whole(answer: Mapping[str, Any], content: bytes) -> bool:
    """Return whether these are the bytes that were asked for, as far as the answer's own facts tell."""
    if (asked := _RANGE.match(answer.get("ContentRange", ""))) is not None:
        return len(content) == int(asked["last"]) - int(asked["first"]) + 1
    recorded = answer["Metadata"].get("sha256")
    return recorded is None or hashlib.sha256(content).hexdigest() == recorded


def is_away(error: Exception) -> bool:
    """Return whether the store did not answer, or said that it cannot now."""
    if isinstance(error, RetriesExceededError):  # of a download, after connections that broke off
        return True
    error = _cause(error)
    if isinstance(error, ClientError):
        status = status_of(error) or 0
        return status >= _SERVER_ERROR or status == _TOO_MANY or _code(error) in _BUSY
    unheard = (BotoConnectionError, HTTPClientError, IncompleteReadError, ResponseParserError)
    return isinstance(error, unheard) and not isinstance(error, SSLError)


def is_absent(error: Exception) -> bool:
    """Return whether there is no such object."""
    return _code(_cause(error)) in _ABSENT


def is_expired(error: Exception) -> bool:
    """Return whether newer credentials may be let in."""
    return _code(_cause(error)) in _EXPIRED


def in_words(error: Exception) -> str:
    """Return one line that says what happened and what to do, without secrets."""
    error = _cause(error)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return "no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if not isinstance(error, ClientError):
        return redact_text(str(error))
    code = _code(error)
    words = redact_text(error.response["Error"].get("Message", ""))
    advice = f"; {_ADVICE[code]}" if code in _ADVICE else ""
    if code in _SKEWED:
        ahead = ahead_s(error.response["ResponseMetadata"]["HTTPHeaders"].get("date"))
        advice = "; set this machine's clock" if ahead is None else f"; {clock_words(ahead)}"
    return f"the store answered {code}: {words}{advice}"


def status_of(error: Exception) -> int | None:
    """Return the HTTP status of the store's answer; None if there was none."""
    return error.response["ResponseMetadata"].get("HTTPStatusCode") if isinstance(error, ClientError) else None


def _cause(error: Exception) -> Exception:
    """Return what a transfer of several requests failed by."""
    if isinstance(error, RetriesExceededError):
        last: Exception = error.last_exception
        return last
    if isinstance(error, Boto3Error) and isinstance(error.__context__, ClientError):
        refusal: Exception = error.__context__
        return refusal
    return error


def _code(error: Exception) -> str:
    """Return the store's name for the error; empty if the error is not the store's."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else ""
