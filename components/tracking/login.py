"""Login: what this environment shows an MLflow server to say who it is, as MLflow's own client would."""

import base64
import os
import ssl
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit, urlunsplit


@dataclass(frozen=True)
class Login:
    """How to ask a server."""

    authorization: str | None = field(repr=False)
    """The Authorization header; None if there are no credentials."""
    context: ssl.SSLContext
    """Which certificates are believed."""


def login(uri: str) -> Login:
    """Return the credentials for the server at `uri`: of the variables, MLflow's credentials file, or the address.

    Raises:
        OSError: A certificate file that the variables name cannot be read.
    """
    from mlflow.utils.credentials import get_default_host_creds  # here, for MLflow takes seconds to import

    creds = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
    context = ssl.create_default_context(cafile=creds.server_cert_path)
    if creds.ignore_tls_verification:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if creds.token:
        return Login(f"Bearer {creds.token}", context)
    named = f"{creds.username}:{creds.password}" if creds.username else unquote(urlsplit(uri).netloc.rpartition("@")[0])
    return Login(f"Basic {base64.b64encode(named.encode()).decode()}" if named else None, context)


def without_userinfo(uri: str) -> str:
    """Return an http address without name and password, which move to MLflow's own variables, the address too."""
    parts = urlsplit(uri)
    userinfo, found, place = parts.netloc.rpartition("@")
    if not found or parts.scheme not in {"http", "https"}:
        return uri
    name, _, password = userinfo.partition(":")
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(name)
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(password)
    os.environ["MLFLOW_TRACKING_URI"] = bare = urlunsplit(parts._replace(netloc=place))
    return bare
