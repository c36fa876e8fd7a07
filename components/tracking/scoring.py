"""The HTTP service of a model: MLflow's scoring server, with what it needs to start from any shell."""

import os
import sys
from pathlib import Path


def scoring_command(
    model: Path, *, host: str = "127.0.0.1", port: int = 5001, workers: int = 1
) -> tuple[list[str], dict[str, str]]:
    """Return the command line and the environment that serve a delivered model over HTTP.

    `POST /invocations` takes `{"dataframe_records": [{"seed": 1}]}`, or rows with `image` and `mask` as base64 PNG for
    an inpainter, and answers `{"predictions": [{"image": BASE64_PNG}]}`; `GET /ping` says that it is ready.

    Args:
        model: The folder `Delivery.model` that `registry.download` checked.
        host: Address to listen on. The server asks nobody who he is: keep it on loopback, or behind a proxy that does.
        port: Port to listen on.
        workers: Processes; each holds the model.
    """
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model), "--env-manager", "local"]
    command += ["--host", host, "--port", str(port), "--workers", str(workers)]
    # MLflow starts `uvicorn` by name, and so must find the one installed beside this interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return command, {**os.environ, "PATH": path}
