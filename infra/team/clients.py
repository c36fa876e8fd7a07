"""The variables that a client of the team's servers needs: boto3's, MLflow's, Prefect's and Kintsugi's own names."""

import shlex
from collections.abc import Mapping

from infra.team.settings import BUCKET, Settings


def object_store(settings: Settings, key: str) -> dict[str, str]:
    """Return what boto3 needs to reach the store with the access key `worker`, `reader` or `mlflow`."""
    return {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": settings[f"S3_{key.upper()}_SECRET"],
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": settings.url("s3"),
    }


def variables(settings: Settings, account: str, login: tuple[str, str] | None = None) -> dict[str, str]:
    """Return all variables of a client.

    Args:
        settings: the settings
        account: whose rights in the object store: `worker`, which reads and writes, or `reader`
        login: name and password of another account of MLflow than that one's
    """
    name, password = login or (account, settings[f"MLFLOW_{account.upper()}_PASSWORD"])
    return {
        "PREFECT_API_URL": f"{settings.url('prefect')}/api",
        "PREFECT_API_AUTH_STRING": settings["PREFECT_AUTH"],
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # without it nobody notices a run whose process was killed
        "MLFLOW_TRACKING_URI": settings.url("mlflow"),
        "MLFLOW_TRACKING_USERNAME": name,
        "MLFLOW_TRACKING_PASSWORD": password,
        **object_store(settings, account),
        "KINTSUGI_STORE": f"s3://{BUCKET}/artifacts",
        "KINTSUGI_URL": settings.url("serve"),
    }


def exports(pairs: Mapping[str, str]) -> str:
    """Return variables as lines for a shell."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in pairs.items())
