"""Reaching: asking Prefect's server for what a run can do without, when the server may be away for a while."""

import logging
import time
from collections.abc import Callable

import httpx
from prefect.exceptions import PrefectHTTPStatusError

_PAUSES_S = (1, 2, 4, 8, 15, 30, 30, 30)
_log = logging.getLogger(__name__)


def reach(ask: Callable[[], object], purpose: str) -> bool:
    """Ask the server, again for two minutes while it does not answer; return whether it did.

    What is asked must be harmless when done twice. A run goes on without it: what is true of a run is in the artifact
    store and in MLflow, not in Prefect.

    Args:
        ask: Makes the requests.
        purpose: Ends the warning, e.g. "to show scores".
    """
    for pause_s in (*_PAUSES_S, None):
        try:
            ask()
        except (httpx.TransportError, PrefectHTTPStatusError) as error:
            if isinstance(error, PrefectHTTPStatusError) and error.response.status_code < 500:
                raise
            if pause_s is None:
                _log.warning("Prefect's server did not answer %s (%s); going on without", purpose, error)
                return False
            time.sleep(pause_s)
        else:
            return True
    return False
