"""Inspection: what may lie in a model's folder, so that MLflow runs nothing of it but this program's own loader."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from components.tracking.signing import SIGNATURE

DATA = "data/export"
"""Where the export lies inside a model's folder."""
EXPORT_SUFFIXES = frozenset({".json", ".safetensors"})

_MODEL = "MLmodel"
_ENVIRONMENTS = {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}
_ENVIRONMENT_FILES = ("conda.yaml", "python_env.yaml")
_REQUIREMENTS = "requirements.txt"
_EXAMPLES = ("input_example.json", "serving_input_example.json")
_KNOWN = frozenset({SIGNATURE, _MODEL, _REQUIREMENTS, *_ENVIRONMENT_FILES, *_EXAMPLES})
_PLAIN = re.compile(r"[A-Za-z0-9._=<>!+-]*")
_FROM_REQUIREMENTS = f"-r {_REQUIREMENTS}"


def objection(folder: Path, loader_module: str) -> str | None:
    """Return why the model in `folder` must not be loaded, in words, or None if it only names `loader_module`.

    Nothing of the folder is imported to find out. Refused are files of other kinds than an export's and MLflow's own
    descriptions, another loader, code of its own, and environments that name more than packages and versions.
    """
    return next(_objections(folder, loader_module), None)


def _objections(folder: Path, loader_module: str) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            yield f"{name} is a link"
        elif path.is_file() and not _is_known(name, path.suffix):
            yield f"{name} has no place in a model, which holds safetensors and JSON"
    yield from _in_description(folder / _MODEL, loader_module)
    for name in (*_ENVIRONMENT_FILES, _REQUIREMENTS):
        yield from _in_environment(folder / name)


def _is_known(name: str, suffix: str) -> bool:
    return name in _KNOWN or (name.startswith(f"{DATA}/") and suffix in EXPORT_SUFFIXES)


def _in_description(file: Path, loader_module: str) -> Iterator[str]:
    description = _read(file)
    flavors = description.get("flavors") if isinstance(description, dict) else None
    python = flavors.get("python_function") if isinstance(flavors, dict) else None
    if not isinstance(flavors, dict) or not isinstance(python, dict) or len(flavors) > 1:
        yield f"{_MODEL} is not that of a python_function alone"
        return
    if (found := python.get("loader_module")) != loader_module:
        yield f"{_MODEL} names the loader module {str(found)!r}, expected {loader_module}"
    expected = {"code": (None,), "data": (DATA,), "env": (_ENVIRONMENTS,), "streamable": (None, False)}
    free = {"loader_module", "python_version"}
    for key, value in python.items():
        if key not in free and value not in expected.get(key, ()):
            yield f"{_MODEL} says {key}: {str(value)!r}, which could run other code"
    if description.get("is_signature_from_type_hint") or description.get("type_hint_from_example"):
        yield f"{_MODEL} has a signature made from type hints"


def _in_environment(file: Path) -> Iterator[str]:
    """Yield what is more than names and versions: an option, a path or an address could fetch and run other code."""
    if not file.is_file():
        return
    found = file.read_text(errors="replace").split() if file.name == _REQUIREMENTS else _leaves(_read(file))
    for text in found:
        if text != _FROM_REQUIREMENTS and not (_PLAIN.fullmatch(text) and not text.startswith("-")):
            yield f"{file.name} asks for {text!r}, which is more than a package and its version"


def _leaves(content: Any) -> Iterator[str]:  # noqa: ANN401 - any YAML
    if isinstance(content, dict):
        for key, value in content.items():
            yield str(key)
            yield from _leaves(value)
    elif isinstance(content, list):
        for value in content:
            yield from _leaves(value)
    else:
        yield str(content)


def _read(file: Path) -> Any:  # noqa: ANN401
    try:
        return yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
