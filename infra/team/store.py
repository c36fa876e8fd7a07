"""The object store as the team's servers see it: the bucket is made here, and nowhere else."""

import boto3
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.team import clients
from infra.team.settings import BUCKET, Settings


def client(settings: Settings, key: str) -> BaseClient:
    """Return a client with one of the store's access keys; components/storage would take them from the environment."""
    pairs = clients.object_store(settings, key)
    return boto3.client(
        "s3",
        endpoint_url=pairs["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=pairs["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=pairs["AWS_SECRET_ACCESS_KEY"],
        region_name=pairs["AWS_DEFAULT_REGION"],
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=10, proxies={}),
    )


def make_bucket(settings: Settings) -> None:
    """Make the bucket, if it is not there."""
    admin = client(settings, "admin")
    try:
        admin.head_bucket(Bucket=BUCKET)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        admin.create_bucket(Bucket=BUCKET)
