"""Import every module against the oldest and the newest libraries that pyproject.toml's ranges allow. Use: `make lint`.

PyTorch and what it runs on are those of the interpreter that is asked; of all else each end of the ranges gets a folder
of its own, whose packages hide the installed ones.
"""

import argparse
import hashlib
import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

ENDS = {"oldest": "lowest-direct", "newest": "highest"}
KEPT = ("torch", "torchvision")  # gigabytes; their versions hold for the other packages, too
KEPT_ALONG = r"(torch|torchvision|triton|cuda-.*|nvidia-(?!ml-py).*)==.*"
ROOT = Path(__file__).resolve().parents[1]


def modules(root: Path) -> list[str]:
    """Return the dotted name of every module of components/ and flows/."""
    paths = sorted(path for top in ("components", "flows") for path in (root / top).rglob("*.py"))
    names = (path.relative_to(root).with_suffix("").parts for path in paths)
    return [".".join(parts).removesuffix(".__init__") for parts in names]


def import_all(names: Sequence[str]) -> list[str]:
    """Import each module into this process; return a line for each that fails."""
    failed = []
    for name in names:
        try:
            importlib.import_module(name)
        except (ImportError, AttributeError, TypeError, ValueError) as error:  # what a changed interface raises
            failed.append(f"{name}: {type(error).__name__}: {error}")
    return failed


def resolve(uv: str, resolution: str, folder: Path) -> None:
    """Fill a folder with one end of the ranges, unless it holds that already."""
    kept = "\n".join(f"{name}=={metadata.version(name).split('+')[0]}" for name in KEPT)
    asked = "\n".join([(ROOT / "pyproject.toml").read_text(), kept, sys.version])
    seal, digest = folder / ".filled-for", hashlib.sha256(asked.encode()).hexdigest()
    if seal.is_file() and seal.read_text() == digest:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "kept.txt").write_text(kept)
    common = ["--python", sys.executable, "--quiet"]
    limits = ["--resolution", resolution, "--constraint", str(folder / "kept.txt")]
    compile_ = [uv, "pip", "compile", *common, *limits, "--no-annotate", "--no-header", str(ROOT / "pyproject.toml")]
    listing = subprocess.run(compile_, check=True, stdout=subprocess.PIPE, text=True).stdout
    chosen = folder / "requirements.txt"
    chosen.write_text("\n".join(line for line in listing.splitlines() if not re.fullmatch(KEPT_ALONG, line)) + "\n")
    install = [uv, "pip", "install", *common, "--no-deps", "--only-binary", ":all:", "--target", str(folder)]
    subprocess.run([*install, "--requirements", str(chosen)], check=True)
    seal.write_text(digest)


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start a process that sees the folder's packages first, imports everything and says what failed."""
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "KINTSUGI_HOME": str(folder / "home")}
    child = [sys.executable, __file__, "--out", str(folder), "--import-here"]
    return subprocess.Popen(child, env=environment)


def import_here(folder: Path) -> int:
    """Import everything into this process, whose packages must come from the folder."""
    numpy = Path(str(importlib.import_module("numpy").__file__))
    if folder.resolve() not in numpy.resolve().parents:
        raise SystemExit(f"numpy came from {numpy}, not from {folder}")
    names = modules(ROOT)
    failed = import_all(names)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("numpy", "jaxtyping", "pydantic", "torch"))
    sys.stdout.write(f"ranges, {folder.name}: {len(names) - len(failed)} of {len(names)} modules import ({versions})\n")
    sys.stdout.writelines(f"  {line}\n" for line in failed)
    return 1 if failed else 0


def main() -> int:
    """Check both ends, whatever the first one finds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder for the packages, kept from run to run")
    parser.add_argument("--import-here", action="store_true", help="only import, as the checks themselves do")
    options = parser.parse_args()
    if options.import_here:
        return import_here(options.out)
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if uv is None:
        raise SystemExit("uv was not found; it comes with Kintsugi's development tools: make install-dev")
    for end, resolution in ENDS.items():
        resolve(uv, resolution, options.out / end)
    checks = [start(options.out / end) for end in ENDS]  # side by side: each takes one core for half a minute
    return max(check.wait() for check in checks)


if __name__ == "__main__":
    sys.exit(main())
