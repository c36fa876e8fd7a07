"""Mistakes: what pydantic says of a configuration, in the words and paths of the person who wrote it."""

import types
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from math import isfinite
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from components.section import Section


def explain(error: ValidationError, root: type[Section]) -> list[str]:
    """Return one line per mistake: where, what was found, what is allowed.

    Args:
        error: Raised by validating `root`.
        root: The section that the whole file becomes.
    """
    return [_line(mistake, root) for mistake in error.errors(include_url=False)]


def no_numbers(content: Any, made: Any, place: str = "") -> Iterator[str]:  # noqa: ANN401 - any YAML value
    """Yield one line for each yes, no, true or false that was taken as a number, and for each .inf and .nan.

    Args:
        content: What the file says.
        made: What it became.
        place: Where both stand in the file.
    """
    if isinstance(content, bool):
        if not isinstance(made, bool):
            yield f"{place}: expected a number, found {content} (as YAML reads yes, no, on, off, true and false)"
    elif isinstance(content, float):
        if not isfinite(content):
            yield f"{place}: expected a finite number, found {content}"
    elif isinstance(content, dict):
        for key, inner in content.items():
            entry = made.get(key) if isinstance(made, Mapping) else getattr(made, str(key), inner)
            yield from no_numbers(inner, entry, f"{place}.{key}".lstrip("."))
    elif isinstance(content, list) and isinstance(made, Sequence):
        for number, (inner, entry) in enumerate(zip(content, made, strict=False)):
            yield from no_numbers(inner, entry, f"{place}.{number}")


def _line(mistake: ErrorDetails, root: type[Section]) -> str:
    path, options = _walk(mistake["loc"], root)
    what = mistake["type"]
    if what == "extra_forbidden":
        allowed = sorted({key for option in _walk(mistake["loc"][:-1], root)[1] for key in option.model_fields})
        message = f"unknown key{_guess(path[-1], allowed)} Allowed here: {', '.join(allowed)}"
    elif what == "missing":
        message = "required, but missing"
    elif what == "union_tag_invalid":
        path, allowed = [*path, "kind"], _kinds(options)
        found = mistake["ctx"]["tag"]
        message = f"unknown kind '{found}'{_guess(found, allowed)} Allowed: {', '.join(allowed)}"
    elif what == "union_tag_not_found":
        path, allowed = [*path, "kind"], _kinds(options)
        message = f"required, but missing. Allowed: {', '.join(allowed)}"
    else:
        message = mistake["msg"].removeprefix("Value error, ")
        if not isinstance(mistake["input"], dict | list):
            message = f"{message}, found {mistake['input']!r}"
    return f"{'.'.join(path)}: {message}" if path else message


def _guess(found: str, allowed: list[str]) -> str:
    near = get_close_matches(found, allowed, n=1)
    return f"; did you mean '{near[0]}'?" if near else "."


def _walk(location: tuple[int | str, ...], root: type[Section]) -> tuple[list[str], list[type[Section]]]:
    """Return the path that a person would write, and the sections that can stand at its end.

    pydantic puts the kind of a chosen union member into its location; a file has no key for it.
    """
    path: list[str] = []
    options: list[Any] = [root]
    for part in location:
        chosen = [option for option in options if len(options) > 1 and _kind(option) == part]
        if chosen:
            options = chosen
            continue
        path.append(str(part))
        options = [inner for option in options for inner in _inside(option, str(part))]
    return path, [option for option in options if _is_section(option)]


def _inside(option: Any, part: str) -> Iterator[Any]:  # noqa: ANN401 - annotations are any type expression
    """Yield what can stand under the key or number `part` of `option`."""
    if _is_section(option):
        if part in option.model_fields:
            yield from _members(option.model_fields[part].annotation)
    else:
        for inner in get_args(option):
            yield from _members(inner)


def _members(annotation: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield the types a value may have: the members of a union, without what Annotated adds."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    else:
        yield annotation


def _kinds(options: list[type[Section]]) -> list[str]:
    return [kind for option in options if (kind := _kind(option))]


def _kind(option: Any) -> str | None:  # noqa: ANN401
    return option.model_fields["kind"].default if _is_section(option) and "kind" in option.model_fields else None


def _is_section(candidate: Any) -> bool:  # noqa: ANN401
    return isinstance(candidate, type) and issubclass(candidate, Section)
