"""What a measurement ran on: hardware, versions, commit, and the machine's own limits measured in the same run."""

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import torch

_PACKAGES = ("torch", "torchvision", "numpy", "opencv-python-headless", "pillow", "webdataset", "mlflow")
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile")


def facts() -> dict[str, Any]:
    """Return the hardware, its load now, the versions and the commit."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.is_file() else []
    values = dict(part.split(":", 1) for part in dict.fromkeys(line.replace("\t", "") for line in lines) if ":" in part)
    flags = values.get("flags", "").split()
    return {
        "processor": values.get("model name", platform.processor()).strip(),
        "cores": os.cpu_count(),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "card": _card(),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed_files": len(_git("status", "--porcelain", "--untracked-files=no").splitlines()),
        "load_average": round(os.getloadavg()[0], 2),
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def in_a_line(known: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return some of the facts as the last line of a page of results."""
    return ", ".join(f"{name} {known[name]}" for name in names)


def roofline() -> dict[str, float]:
    """Return the machine's limits, one thread, the best of a few tries: GFLOP/s, GB/s, JPEG images/s."""
    side = 1024
    limits = {}
    for name, dtype in (("gemm_fp32_gflops", torch.float32), ("gemm_bf16_gflops", torch.bfloat16)):
        a, b = (torch.full((side, side), 0.5, dtype=dtype) for _ in range(2))
        limits[name] = 2 * side**3 / _best_s(lambda a=a, b=b: a @ b) / 1e9
    block = np.ones(64 * 2**20, np.uint8)
    target = np.empty_like(block)
    limits["copy_gb_s"] = 2 * block.nbytes / _best_s(lambda: np.copyto(target, block)) / 1e9
    noise = np.random.Generator(np.random.Philox(1))
    for size in (32, 256):
        smooth = cv2.resize(noise.integers(0, 256, (8, 8, 3), np.uint8), (size, size), interpolation=cv2.INTER_CUBIC)
        encoded = cv2.imencode(".jpg", smooth, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        repeats = 4096 // size
        seconds = _best_s(lambda e=encoded, n=repeats: [cv2.imdecode(e, cv2.IMREAD_COLOR_RGB) for _ in range(n)])
        limits[f"jpeg_{size}px_per_s"] = repeats / seconds
    return {name: round(value, 1) for name, value in limits.items()}


def _best_s(work: Callable[[], object]) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _card() -> str:
    """Return the names of the graphics cards and the driver's version, asked without beginning CUDA here."""
    if shutil.which("nvidia-smi") is None:
        return "none"
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "; ".join(done.stdout.split("\n")[:-1]) or "none"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return done.stdout.strip()
