"""Versions that must not come back, and an audit that sees what is wrong and never calls clean what it did not ask."""

import json
import runpy
import tomllib
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# Name, a version that must be refused, one that must be taken, and the reason.
FLOORS = (
    ("pillow", "12.2.0", "12.3.0", "decodes strangers' pictures: out-of-bounds writes and bombs mended up to 12.3.0"),
    ("torch", "2.9.1", "2.10.0", "GHSA-63cw-57p8-fm3p: torch.load(weights_only=True) could corrupt memory"),
    ("mlflow", "3.16.0", "3.16.1", "CVE-2026-2635: its server came with an administrator's password of its own"),
    ("prefect", "3.6.21", "3.6.22", "flow runs send heartbeats, so that a dead night is noticed"),
    ("sqlalchemy", "2.1.0", "2.0.58", "with 2.1 Prefect's scheduler fails at every pass, and no schedule fires"),
    ("fastapi", "0.155.0", "0.150.0", "Prefect 3.8.8's server does not start with 0.155 and later"),
)


@pytest.fixture(scope="module")
def audit(root: Path) -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(root / "infra" / "audit.py")))


@pytest.mark.parametrize(("name", "bad", "good", "reason"), FLOORS, ids=[row[0] for row in FLOORS])
def test_versions_with_known_faults_are_refused(
    root: Path, audit: SimpleNamespace, name: str, bad: str, good: str, reason: str
) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    ranges = {canonicalize_name((one := Requirement(line)).name): one.specifier for line in project["dependencies"]}
    pin = audit.pins_of((root / "infra" / "constraints.txt").read_text())[name]
    assert not ranges[name].contains(bad), reason
    assert ranges[name].contains(good)
    assert ranges[name].contains(pin), f"{name} is pinned to {pin}: {reason}"


def test_every_range_takes_its_pin(root: Path, audit: SimpleNamespace) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    pins = audit.pins_of((root / "infra" / "constraints.txt").read_text())
    for line in chain(project["dependencies"], *project["optional-dependencies"].values()):
        wanted = Requirement(line)
        if wanted.name == project["name"]:  # one extra takes in another
            continue
        assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)]), line


def test_what_runs_these_tests_is_what_is_pinned(root: Path, audit: SimpleNamespace) -> None:
    pins = audit.pins_of((root / "infra" / "constraints.txt").read_text())
    differing = {
        name: version
        for name, version in audit.installed_versions().items()
        if name in pins and version.split("+")[0] != pins[name]
    }
    assert differing == {}


@pytest.mark.parametrize(
    ("wanted", "pins", "present", "words"),
    [
        ({"a", "b"}, {"a": "1"}, {"a": "1"}, ["b is in pyproject.toml and has no pin"]),
        ({"a"}, {"a": "1"}, {"a": "1", "c": "2"}, ["c 2 is installed and has no pin"]),
        ({"a"}, {"a": "1"}, {"a": "2"}, ["a 2 is installed, the pin is 1"]),
        ({"a"}, {"a": "1", "d": "1"}, {"a": "1"}, ["d is pinned and not installed"]),
        ({"a"}, {"a": "1"}, {"a": "1+cpu", "pip": "9"}, []),
    ],
)
def test_audit_names_each_disagreement(
    audit: SimpleNamespace, wanted: set[str], pins: dict[str, str], present: dict[str, str], words: list[str]
) -> None:
    found = audit.pins_wrong(wanted, pins, present, exact=True)
    assert len(found) == len(words)
    assert all(line.startswith(word) for line, word in zip(found, words, strict=True))


def test_pins_and_requirements_are_read_whatever_their_spelling(audit: SimpleNamespace) -> None:
    assert audit.pins_of("# x==1\nFlask-WTF==1.3.0\nruamel.yaml==0.19.1 # why\n") == {
        "flask-wtf": "1.3.0",
        "ruamel-yaml": "0.19.1",
    }
    project = '[project]\nname = "own"\ndependencies = ["A_b[x]>=1,<2"]\n'
    project += 'optional-dependencies = {dev = ["c; python_version>\'3\'", "own[more]"]}'
    assert audit.wanted_by(project) == {"a-b", "c"}


def test_bill_that_lacks_or_adds_something_is_found(audit: SimpleNamespace, tmp_path: Path) -> None:
    bill = tmp_path / "sbom.json"
    bill.write_text(json.dumps({"components": [{"name": "A_b", "version": "1"}, {"name": "x", "version": "2"}]}))
    assert audit.bill_wrong(bill, {"a-b": "1", "x": "2"}) == []
    assert len(audit.bill_wrong(bill, {"a-b": "2", "y": "1"})) == 3


def test_vulnerable_packages_are_named_and_silence_is_not_taken_for_health(audit: SimpleNamespace) -> None:
    pins = {"a": "1", "b": "1", "c": "1"}
    rows = [
        {"name": "A", "version": "1", "vulns": []},
        {"name": "b", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]},
        {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited: c (1)"},
    ]
    known, unanswered = audit.vulnerabilities(json.dumps({"dependencies": rows}), pins)
    assert known == ["b 1: PYSEC-1 (2 mends it)"]
    assert unanswered == ["c"]
    assert audit.vulnerabilities("", pins) == ([], ["a", "b", "c"])
