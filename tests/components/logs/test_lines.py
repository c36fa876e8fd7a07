"""Lines of the log: text, or JSON that says what a line is about; lines of ranks keep their level and their rank."""

import json
import logging
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest

from components.launch import Placement, Program
from components.launch.torchrun import launch_ranks
from components.logs import lines

log = logging.getLogger("components.tests")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, object]]]]:
    """Return what was logged as JSON, one line after the other."""
    monkeypatch.setenv("KINTSUGI_LOG", "json")
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(lines.JsonLines("default", None, "%"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    log.removeHandler(handler)


def test_a_line_says_what_it_is_about_and_no_secret(written):
    with lines.about(run="photos", model="gan"):
        lines.at_stage("train", log.info)("no answer from %s", "http://ada:hunter22@db/")
    log.warning("two\nlines")
    first, second = written()
    assert first["time"].endswith("+00:00")
    assert first["message"] == "no answer from http://[redacted]@db/"
    assert {name: first[name] for name in ("level", "run", "model", "stage")} == {
        "level": "INFO",
        "run": "photos",
        "model": "gan",
        "stage": "train",
    }
    assert (second["message"], "run" in second, "stage" in second) == ("two\nlines", False, False)


def test_an_error_brings_its_call_stack_in_the_same_line(written):
    try:
        _ = {}["absent"]
    except KeyError:
        log.exception("it failed")
    (line,) = written()
    assert line["message"] == "it failed"
    assert "KeyError: 'absent'" in str(line["error"])


def test_ranks_inherit_the_form_and_their_lines_keep_level_and_rank(written, tmp_path: Path, monkeypatch):
    module = tmp_path / "talking.py"
    module.write_text(
        "import logging\nfrom components.logs import lines\nlines.begin(logging.INFO)\n"
        "logging.getLogger('rank').warning('little room')\nprint('plain words', flush=True)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{Path.cwd()}:{tmp_path}")
    said: list[str] = []
    launch_ranks(Program("talking"), Placement(2), tmp_path / "logs", on_line=said.append)
    with lines.about(model="gan"):
        for line in said:
            lines.pass_on(log, "train gan", line)
    found = written()
    warned = sorted((line["rank"], line["model"]) for line in found if line["message"] == "little room")
    assert warned == [(0, "gan"), (1, "gan")]
    assert {line["level"] for line in found if line["message"] == "little room"} == {"WARNING"}
    assert sorted(line["rank"] for line in found if line["message"] == "plain words") == [0, 1]


def test_text_stays_as_it_was(monkeypatch, caplog):
    monkeypatch.delenv("KINTSUGI_LOG", raising=False)
    with caplog.at_level(logging.INFO):
        lines.pass_on(log, "train gan", "[rank 0] INFO x: resumed")
    assert caplog.messages == ["train gan: [rank 0] INFO x: resumed"]


def test_a_form_that_is_none_is_refused_in_one_line(monkeypatch):
    monkeypatch.setenv("KINTSUGI_LOG", "yaml")
    with pytest.raises(ValueError, match=r"KINTSUGI_LOG is 'yaml', expected one of: text, json"):
        lines.is_json()
