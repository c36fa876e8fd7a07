"""What the architecture tests look at: the project's own files."""

import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def files(root: Path) -> tuple[Path, ...]:
    """Every file of the project: what git holds or would add."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listing, cwd=root, check=True, capture_output=True, text=True).stdout.split("\0")
    return tuple(sorted(path for path in {root / name for name in names if name} if path.is_file()))


@pytest.fixture(scope="session")
def product(root: Path, files: tuple[Path, ...]) -> tuple[Path, ...]:
    """The Python files of flows/, components/ and infra/."""
    return tuple(p for p in files if p.suffix == ".py" and p.relative_to(root).parts[0] != "tests")
