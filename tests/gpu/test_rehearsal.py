"""The measurement of the GPU road still runs, tiny and on a CPU, without Prefect, MLflow and boto3."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("prefect", "mlflow", "boto3", "fastapi"):
            raise ModuleNotFoundError(f"No module named {name!r}, as on a bare machine")

sys.meta_path.insert(0, Blocker())
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_part_measures_something_without_the_servers_libraries(root: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    command = [sys.executable, str(root / "tests" / "gpu" / "run.py"), "--small", "--out", str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=590)
    found = json.loads((tmp_path / "out" / "gpu.json").read_text())["parts"]
    assert {name: part["failure"] for name, part in found.items()} == dict.fromkeys(found, ""), done.stderr
    assert done.returncode == 0, done.stderr
    parts = ["agreement", "compiling", "throughput", "resume", "launches", "scoring", "learning"]
    assert list(found) == parts
    assert all(row["greatest difference"] == 0 for row in found["agreement"]["rows"])  # no graph: the same operations
    assert all(row["equal to the byte"] for row in found["resume"]["rows"])
    table = (tmp_path / "out" / "gpu.md").read_text()
    assert all(f"| {row['way']} |" in table for row in found["throughput"]["rows"])
