"""Servers that are away and a disk that is full: one plain line, an exit code, and no password anywhere."""

import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

pytestmark = [pytest.mark.smoke, pytest.mark.timeout(1000)]

COMMAND = str(Path(sys.executable).with_name("kintsugi"))
PLANTED = {
    "AWS_ACCESS_KEY_ID": "PLANTEDKEYIDENTITY",
    "AWS_SECRET_ACCESS_KEY": "planted-aws-secret",
    "AWS_SESSION_TOKEN": "planted-aws-token",
    "PREFECT_API_AUTH_STRING": "admin:planted-prefect",
}
SECRETS = ["planted-mlflow", "planted%2Dmlflow", *PLANTED.values(), "planted-prefect"]
FULL = """
set -u
mount -t tmpfs -o size=40m none "$KINTSUGI_STORE" || exit 99
"$1" shard "$2" >&2 || exit 98
free=$(df --output=avail -k "$KINTSUGI_STORE" | tail -1)
head -c $(( (free - 100) * 1024 )) /dev/zero > "$KINTSUGI_STORE/filler"
"$1" train "$2"; echo "full $?"
echo "left $(ls -A "$KINTSUGI_STORE/checkpoint")."
rm "$KINTSUGI_STORE/filler"
"$1" train "$2"; echo "again $?"
"""


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.yaml"
    path.write_text(
        "\n".join(
            [
                "name: tiny",
                "dataset: {source: {kind: shapes, images: 120}, size: 16}",
                "models:",
                "  vae:",
                "    recipe: {kind: vae, network: {kind: conv, latent: 4, width: 16}}",
                "    training: {images: 640, batch: 32}",
                "    evaluation: {kind: generation, samples: 16}",
                "    promotion: {metric: reconstruction_psnr}",
            ]
        )
    )
    return path


def traces(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


def states(prefect_api: str) -> str:
    """Return what Prefect knows of flow runs, their states and their logs."""
    said = ""
    for kind in ("flow_runs", "task_runs", "logs"):
        request = urllib.request.Request(f"{prefect_api}/{kind}/filter", b"{}", {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            said += answer.read().decode()
    return said


@pytest.fixture(scope="module")
def unanswered(call, served, prefect_api, tiny, tmp_path_factory):
    """Call commands whose servers are away, with passwords in every place; return what each said, and all traces."""
    home = tmp_path_factory.mktemp("away") / "home"
    port = closed_port()
    mlflow = {"MLFLOW_TRACKING_URI": f"http://me:planted%2Dmlflow@127.0.0.1:{port}", "KINTSUGI_PATIENCE_S": "1"}
    store = {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}", "AWS_REGION": "us-east-1", "KINTSUGI_STORE": "s3://b/a"}
    away = {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    secrets = {name: value for name, value in PLANTED.items() if name.startswith("AWS")}
    said = {
        "models": call("models", home=home, timeout_s=400, **mlflow, **PLANTED),
        "run without MLflow": call("run", tiny, home=home, timeout_s=400, **mlflow, **served, **secrets),
        "run without store": call(
            "run", tiny, home=home, timeout_s=400, **store, **served, **secrets, KINTSUGI_PATIENCE_S="1"
        ),
        "run without Prefect": call("run", tiny, home=home, timeout_s=400, **away, **PLANTED),
    }
    return port, said, traces(home) + states(prefect_api).encode()


def test_a_server_that_is_away_is_named_in_one_plain_line(unanswered):
    port, said, _ = unanswered
    assert said["models"].returncode == 1
    assert (
        said["models"]
        .stderr.splitlines()[-1]
        .startswith(f"error: MLflow at http://127.0.0.1:{port} does not answer, after 1 s of waiting")
    )
    assert said["run without MLflow"].returncode == 1
    assert f"error: MLflow at http://127.0.0.1:{port} does not answer" in said["run without MLflow"].stderr
    assert "the same command goes on from here" in said["run without MLflow"].stderr
    assert said["run without store"].returncode == 1
    assert f"the object store at http://127.0.0.1:{port} does not answer" in said["run without store"].stderr
    for name in ("models", "run without MLflow", "run without store"):
        assert "Traceback" not in said[name].stderr, name


def test_no_password_gets_out(unanswered):
    _, said, left = unanswered
    everything = left + "".join(one.stdout + one.stderr for one in said.values()).encode()
    assert b"tiny" in everything
    assert [secret for secret in SECRETS if secret.encode() in everything] == []


@pytest.mark.distributed
def test_a_full_disk_under_the_store_is_a_resumable_stop(environment, served, tiny, tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    variables = environment(tmp_path / "home", {**served, "KINTSUGI_STORE": str(store)})
    command = ["unshare", "-Urm", "sh", "-c", FULL, "sh", COMMAND, str(tiny)]
    said = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=600, check=False)
    assert "full 3" in said.stdout, said.stderr
    assert "stopped: the disk is full, at " in said.stderr
    assert "make room and run the same command again" in said.stderr
    assert "Traceback" not in said.stderr
    assert "left ." in said.stdout  # nothing half-written
    assert "again 0" in said.stdout, said.stderr
    assert len(list((tmp_path / "home" / "logs" / "train-vae").glob("2*"))) == 1  # trained once
