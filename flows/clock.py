"""Clock: the time as Prefect's server has it. The clocks of hosts differ, and what decides over runs must not."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from prefect.client.orchestration import SyncPrefectClient


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
        return datetime.now(UTC)
