"""Service: whether `kintsugi serve` answers at the address to which pages of runs are linked."""

import os
import ssl
from collections.abc import Iterator

from flows.cli.doctor.finding import Finding
from flows.cli.doctor.server import RefusedError, Server

_ADDRESS = "KINTSUGI_URL"
_ASKS_WHO = 401


def findings() -> Iterator[Finding]:
    """Yield what is to be said of the service; nothing where no address of one is set."""
    if not (url := os.environ.get(_ADDRESS)):
        return
    server = Server(url, None, ssl.create_default_context())
    try:
        stale = {what: since for what, since in server.ask("healthz", {}, "GET")["stale_since"].items() if since}
    except RefusedError as error:
        if error.status == _ASKS_WHO:
            yield Finding(what="kintsugi serve", state="ok", found=f"it answers at {_ADDRESS}, and asks for a password")
            return
        yield server.problem("kintsugi serve", error, _ADDRESS, "")
    except (OSError, ValueError, LookupError, TypeError) as error:
        yield server.problem("kintsugi serve", error, _ADDRESS, "")
    else:
        if stale:
            found = "; ".join(f"its {what} are as of {since}" for what, since in stale.items())
            yield Finding(what="kintsugi serve", state="note", found=found, advice="see the servers that it reads")
        else:
            yield Finding(what="kintsugi serve", state="ok", found=f"it answers at {_ADDRESS}")
