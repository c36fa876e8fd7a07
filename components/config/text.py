"""Text: a configuration file's YAML as plain values; what YAML reads otherwise than a person wrote it is refused."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "merge")}
_SIXTIES = re.compile(r"[-+]?\d[\d_]*(:[0-5]?\d)+(\.\d*)?")
_LEADING_ZERO = re.compile(r"[-+]?0[\d_]+")
_ENDLESS = 1_000_000  # columns
_MOST_DIGITS = 300  # Python's floats end at 1e308


class TextError(ValueError):
    """Text that is no YAML, or that YAML would read as something else than it says."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1, except that 1e-4 is a number as in YAML 1.2, and that 08 is one, which is then refused."""


class _Dumper(yaml.SafeDumper):
    """Quotes the text that `_Loader` would read as a number."""


for _reads_numbers in (_Loader, _Dumper):
    _reads_numbers.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?\d[\d_]*(\.\d*)?[eE][-+]?\d+"), list("-+0123456789")
    )
    _reads_numbers.add_implicit_resolver("tag:yaml.org,2002:int", _LEADING_ZERO, list("-+0"))


def parse(text: str) -> Any:  # noqa: ANN401 - any YAML value
    """Return what a YAML text says.

    Raises:
        TextError: It is not YAML, has a key twice, or a value that YAML 1.1 reads otherwise than a person would.
    """
    try:
        return _values(text)
    except yaml.MarkedYAMLError as error:
        raise TextError(_explain(error)) from error
    except yaml.YAMLError as error:
        raise TextError(f"not YAML ({' '.join(str(error).split())})") from error
    except RecursionError:
        raise TextError("values within values, deeper than can be read") from None


def assignment(path: str, value: Any) -> str:  # noqa: ANN401 - any YAML value
    """Return "path=value" in one line, which `--set` takes."""
    written: str = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, width=_ENDLESS, sort_keys=False)
    return f"{path}={written.removesuffix(chr(10)).removesuffix(f'{chr(10)}...')}"


def read(path: Path) -> Any:  # noqa: ANN401 - any YAML value
    """Return what a YAML file says.

    Raises:
        OSError: It cannot be read.
        TextError: As `parse`; or it is not UTF-8.
    """
    try:
        return parse(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        found = f"{error.object[error.start]:#04x}"
        raise TextError(f"expected text in UTF-8, found byte {found} at {error.start}") from error


def _values(text: str) -> Any:  # noqa: ANN401 - any YAML value
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        for mistake in _mistakes(node, "", set()):
            raise TextError(mistake)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _mistakes(node: Node, path: str, seen: set[int]) -> Iterator[str]:
    """Yield one line for each key that is there twice, and for each value that means something else than it says."""
    if id(node) in seen:  # an alias
        return
    seen.add(id(node))
    if isinstance(node, ScalarNode):
        if words := _trap(node):
            yield f"{path or 'the value'}: {words} (line {node.start_mark.line + 1})"
    elif isinstance(node, SequenceNode):
        for number, item in enumerate(node.value):
            yield from _mistakes(item, f"{path}.{number}".lstrip("."), seen)
    elif isinstance(node, MappingNode):
        keys: dict[str, int] = {}
        for key, value in node.value:
            name = f"{path}.{key.value}".lstrip(".") if isinstance(key, ScalarNode) else path
            line = key.start_mark.line + 1
            if isinstance(key, ScalarNode) and key.value != "<<" and keys.setdefault(key.value, line) != line:
                yield f"{name}: this key is there twice, in line {keys[key.value]} and in line {line}"
            yield from _mistakes(value, name, seen)


def _trap(node: ScalarNode) -> str | None:
    """Return what is wrong with a value that YAML 1.1 reads otherwise than a person would."""
    value, tag = node.value, node.tag.rpartition(":")[2]
    if node.tag not in _PLAIN_TAGS:
        return f"expected text, a number, or true or false; found {value!r}, which YAML reads as a {tag}; quote text"
    if tag in {"int", "float"} and _SIXTIES.fullmatch(value):
        return f"expected a number, found {value}, which YAML reads in sixties, as hours and minutes; quote text"
    if tag == "int" and _LEADING_ZERO.fullmatch(value):
        return f"expected a number without a 0 before it, found {value}, which YAML reads as octal; quote text"
    if tag == "int" and len(value) > _MOST_DIGITS:
        return f"expected at most {_MOST_DIGITS} digits, found {len(value):,}"
    return None


def _explain(error: yaml.MarkedYAMLError) -> str:
    """Return where the text is no YAML, and why, in one line."""
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    tab = "; indent with spaces" if r"'\t'" in (error.problem or "") else ""
    words = " ".join(part for part in (error.context, error.problem) if part)
    return f"not YAML, {place}{words}{tab}"
