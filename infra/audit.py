"""Audit what is installed: its pins, a list of its parts (SBOM), its known vulnerabilities. Use: `make audit`.

Exit codes: 0 all is well; 1 something is wrong, and named; 4 nothing wrong was found, but the service that knows of
vulnerabilities did not answer for some or all packages, so that nobody may call them clean.
"""

import argparse
import json
import platform
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

NOT_ASKED = 4
UNPINNED = {"pip", "setuptools", "wheel"}  # what a new virtual environment holds by itself
SEEN_ON = ("Linux", "x86_64")  # where infra/constraints.txt was made; elsewhere some of its packages do not exist

Versions = Mapping[str, str]


def canonical(requirement: str) -> str:
    """Return a distribution's name as PEP 503 spells it, without extras, versions and markers."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]).lower()


def pins_of(constraints: str) -> dict[str, str]:
    """Return name and version of each `name==version` line."""
    lines = (line.split("#")[0].split(";")[0].strip() for line in constraints.splitlines())
    return {canonical(line): line.split("==")[1] for line in lines if "==" in line}


def wanted_by(pyproject: str) -> set[str]:
    """Return the names of all dependencies, those of the extras included; an extra may name another one."""
    project = tomllib.loads(pyproject)["project"]
    extras = project.get("optional-dependencies", {}).values()
    named = {canonical(one) for names in (project["dependencies"], *extras) for one in names}
    return named - {canonical(project["name"])}


def installed_versions() -> dict[str, str]:
    """Return name and version of every distribution of this interpreter."""
    return {canonical(one.metadata["Name"]): one.version for one in metadata.distributions()}


def pins_wrong(wanted: Iterable[str], pins: Versions, present: Versions, *, exact: bool) -> list[str]:
    """Say where pyproject.toml, infra/constraints.txt and the installed set disagree.

    Args:
        wanted: What pyproject.toml names.
        pins: What infra/constraints.txt pins.
        present: What is installed, the project itself left out.
        exact: Whether every pin must be installed, too.
    """
    found = [f"{name} is in pyproject.toml and has no pin" for name in sorted(set(wanted) - set(pins))]
    for name, version in sorted(present.items()):
        if name not in pins:
            found += [] if name in UNPINNED else [f"{name} {version} is installed and has no pin"]
        elif version.split("+")[0] != pins[name]:  # 2.14.1+cpu is 2.14.1, built elsewhere
            found.append(f"{name} {version} is installed, the pin is {pins[name]}")
    missing = sorted(set(pins) - set(present)) if exact else []
    return found + [f"{name} is pinned and not installed: nothing needs it, or an extra is missing" for name in missing]


def bill_wrong(bill: Path, present: Versions) -> list[str]:
    """Say where the bill of materials and the installed set differ."""
    content = json.loads(bill.read_text())
    listed = {canonical(one["name"]): one["version"] for one in content["components"]}
    return [
        f"{name}: {listed.get(name, 'nothing')} in {bill}, {present.get(name, 'nothing')} installed"
        for name in sorted(listed.keys() | present.keys())
        if listed.get(name) != present.get(name)
    ]


def write_bill(tools: Path, root: Path, bill: Path) -> None:
    """Write a CycloneDX 1.6 bill of what is installed; cyclonedx-py checks it against the schema before it writes."""
    command: list[str | Path] = [
        tools / "cyclonedx-py",
        "environment",
        "--sv",
        "1.6",
        "--of",
        "JSON",
        "--validate",
        "--output-reproducible",
    ]
    subprocess.run([*command, "--pyproject", root / "pyproject.toml", "-o", bill, sys.executable], check=True)


def vulnerabilities(answer: str, pins: Versions) -> tuple[list[str], list[str]]:
    """Return the known vulnerabilities, and the packages that were not answered for, from pip-audit's JSON.

    pip-audit ends well, with "No known vulnerabilities found", when the service knows none of the packages.
    """
    rows = json.loads(answer)["dependencies"] if answer.strip() else []
    asked = {canonical(row["name"]) for row in rows if "skip_reason" not in row}
    known = [
        f"{row['name']} {row['version']}: {one['id']} ({', '.join(one['fix_versions']) or 'not yet'} mends it)"
        for row in rows
        for one in row.get("vulns", ())
    ]
    return known, sorted(set(pins) - asked)


def ask(tools: Path, constraints: Path, answer: Path) -> None:
    """Ask PyPI's service about every pin, and keep its answer; an empty one if there was none."""
    command: list[str | Path] = [
        tools / "pip-audit",
        "--no-deps",
        "--disable-pip",
        "--progress-spinner",
        "off",
        "--format",
        "json",
    ]
    asked = subprocess.run([*command, "-r", constraints], capture_output=True, text=True, check=False)
    answer.write_text(asked.stdout)
    if not asked.stdout.strip():
        say(f"pip-audit: {(asked.stderr.strip().splitlines() or ['no answer'])[-1]}")


def say(text: str) -> None:
    """Tell whoever called."""
    sys.stdout.write(text + "\n")


def main() -> int:
    """Do all checks, whatever the earlier ones find."""
    parser = argparse.ArgumentParser(description="Audit what is installed.")
    parser.add_argument("--tools", type=Path, required=True, help="folder with pip-audit and cyclonedx-py")
    parser.add_argument("--out", type=Path, required=True, help="folder for sbom.json and vulnerabilities.json")
    options = parser.parse_args()
    root = Path(__file__).resolve().parents[1]
    constraints = root / "infra" / "constraints.txt"
    pins, project = pins_of(constraints.read_text()), (root / "pyproject.toml").read_text()
    own = canonical(tomllib.loads(project)["project"]["name"])
    present = {name: version for name, version in installed_versions().items() if name != own}
    options.out.mkdir(parents=True, exist_ok=True)

    wrong = pins_wrong(wanted_by(project), pins, present, exact=(platform.system(), platform.machine()) == SEEN_ON)
    say(f"pins: {len(present)} distributions, {len(wrong)} disagree")
    bill = options.out / "sbom.json"
    write_bill(options.tools, root, bill)
    wrong += bill_wrong(bill, present)
    say(f"bill of materials: {bill}")
    answer = options.out / "vulnerabilities.json"
    ask(options.tools, constraints, answer)
    known, unanswered = vulnerabilities(answer.read_text(), pins)
    for line in wrong + known:
        say(f"  {line}")
    if unanswered:
        say(f"NOT CHECKED for known vulnerabilities, as nobody answered: {len(unanswered)} of {len(pins)} packages")
        if len(unanswered) < len(pins):
            say(f"  {', '.join(unanswered)}")
    else:
        say(f"known vulnerabilities: {len(known)} in {len(pins)} packages")
    return 1 if wrong or known else NOT_ASKED if unanswered else 0


if __name__ == "__main__":
    sys.exit(main())
