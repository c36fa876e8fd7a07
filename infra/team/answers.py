"""Whether each service really answers: with its credentials, from its tables, and not only at its port."""

import urllib.error
from collections.abc import Callable

import psycopg2
from botocore.exceptions import BotoCoreError, ClientError

from infra.team import http, postgres, store
from infra.team.settings import POOLS, ROLES, Settings


def complaint(settings: Settings, service: str) -> str | None:
    """Ask a service for something only its own clients get; return what is wrong, or None."""
    try:
        return _QUESTIONS[service](settings)
    except urllib.error.HTTPError as error:
        return f"answers {error.code} {error.reason}"
    except (OSError, psycopg2.Error, ClientError, BotoCoreError, ValueError) as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _postgres(settings: Settings) -> str | None:
    for role in ROLES[:1]:
        postgres.connect(settings, role).close()
    return None


def _s3(settings: Settings) -> str | None:
    store.client(settings, "admin").list_buckets()
    return None


def _mlflow(settings: Settings) -> str | None:
    login = f"admin:{settings['MLFLOW_ADMIN_PASSWORD']}"
    http.call(f"{settings.url('mlflow')}/api/2.0/mlflow/experiments/search", login, {"max_results": 1})
    return None


def _prefect(settings: Settings) -> str | None:
    http.call(f"{settings.url('prefect')}/api/work_pools/filter", settings["PREFECT_AUTH"], {"limit": 1})
    return None


def _worker(settings: Settings) -> str | None:
    for pool in POOLS:
        url = f"{settings.url('prefect')}/api/work_pools/{pool}/workers/filter"
        workers = http.call(url, settings["PREFECT_AUTH"], {"workers": {"status": {"any_": ["ONLINE"]}}})
        if not workers:
            return f"no worker of the pool {pool} is online"
    return None


def _serve(settings: Settings) -> str | None:
    http.call(f"{settings.url('serve')}/models", settings["SERVE_AUTH"])
    return None


_QUESTIONS: dict[str, Callable[[Settings], str | None]] = {
    "postgres": _postgres,
    "s3": _s3,
    "mlflow": _mlflow,
    "prefect": _prefect,
    "worker": _worker,
    "serve": _serve,
}
