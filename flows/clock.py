"""Clock: the time as Prefect's server has it. The clocks of hosts differ, and what decides over runs must not."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from prefect.client.orchestration import SyncPrefectClient

from components.servers.clock import clock_words

MOST_S = 60.0
"""By how much a worker's clock may differ: more, and runs begin early or late; a store refuses from minutes on."""


def server_time(client: SyncPrefectClient) -> datetime:
    """Return the server's time to the second; this host's, where the answer has none.

    Raises:
        httpx.TransportError: The server does not answer.
        prefect.exceptions.PrefectHTTPStatusError: It does not let us in.
    """
    date = client.request("GET", "/health").headers.get("Date", "")
    try:
        return parsedate_to_datetime(date).astimezone(UTC)
    except ValueError:
        return _here()


def check_clock(client: SyncPrefectClient) -> None:
    """Refuse a host whose clock is wrong: it would take runs long before they are due, and no store would let it in.

    Raises:
        ValueError: It differs from the server's by more than a minute.
        httpx.TransportError, prefect.exceptions.PrefectHTTPStatusError: As for `server_time`.
    """
    ahead_s = (_here() - server_time(client)).total_seconds()
    if abs(ahead_s) > MOST_S:
        raise ValueError(f"{clock_words(ahead_s)} before this host takes runs")


def _here() -> datetime:
    return datetime.now(UTC)
