"""Lines: the log as text or, with KINTSUGI_LOG=json, as one JSON object a line with run, stage, model and rank."""

import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from components.servers.redaction import redact_text

FORM = "KINTSUGI_LOG"
"""Variable that says how lines look: text or json; text where it is not set."""

_FORMS = ("text", "json")
_TEXT = "%(levelname)s %(name)s: %(message)s"
_FACTS = "kintsugi_facts"
_RANK = re.compile(r"\[rank (\d+)\] ?(.*)", re.DOTALL)
_about: ContextVar[Mapping[str, str]] = ContextVar("about", default={})  # noqa: B039 - replaced, never changed

Answer = TypeVar("Answer")
P = ParamSpec("P")


def is_json() -> bool:
    """Return whether lines are JSON.

    Raises:
        ValueError: KINTSUGI_LOG is neither text nor json.
    """
    stated = os.environ.get(FORM) or _FORMS[0]
    if stated not in _FORMS:
        raise ValueError(f"{FORM} is {stated!r}, expected one of: {', '.join(_FORMS)}")
    return stated == "json"


def begin(level: int) -> None:
    """Let this process log to standard error, from `level` on, in the form that KINTSUGI_LOG names."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if is_json() else logging.Formatter(_TEXT))
    logging.basicConfig(level=level, handlers=[handler])


@contextmanager
def about(**_facts: str) -> Iterator[None]:
    """Add to every line that is logged inside the block what it is about: run, stage, model."""
    token = _about.set({**_about.get(), **_facts})
    try:
        yield
    finally:
        _about.reset(token)


def at_stage(stage: str, function: Callable[P, Answer]) -> Callable[P, Answer]:
    """Return a stage's function that names the stage in every line that it logs."""

    @wraps(function)
    def staged(*arguments: P.args, **_options: P.kwargs) -> Answer:
        with about(stage=stage):
            return function(*arguments, **_options)

    return staged


def pass_on(log: logging.Logger, stage: str, line: str) -> None:
    """Log a line that a rank printed, "[rank 0] text"; one in JSON keeps its level and all that it says.

    Args:
        log: Where to.
        stage: What the rank works at, which text begins with.
        line: The line.
    """
    found = _RANK.fullmatch(line)
    if not is_json() or found is None:
        log.info("%s: %s", stage, line)
        return
    rank, text = int(found[1]), found[2]
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("level"), str):
        log.info("%s", text, extra={_FACTS: {"rank": rank}})
        return
    level = logging.getLevelNamesMapping().get(said.pop("level"), logging.INFO)
    message = said.pop("message", "")
    log.log(level, "%s", message, extra={_FACTS: {**said, "rank": rank}})


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message; run, stage, model, rank where known; error."""

    def __init__(self, *_arguments: object, **_options: object) -> None:
        """Take whatever a logging configuration gives a formatter; the form is fixed."""
        super().__init__()

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        facts: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": redact_text(record.getMessage()),
            **_about.get(),
        }
        if (rank := os.environ.get("RANK", "")).isdecimal():  # torch.distributed's
            facts["rank"] = int(rank)
        if record.exc_info:
            facts["error"] = redact_text(self.formatException(record.exc_info))
        facts |= getattr(record, _FACTS, {})
        return json.dumps(facts, ensure_ascii=False, default=str)
