"""`kintsugi gc` in a workspace of real runs: what the champion was made from stays whole, what nothing needs goes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.artifacts import Artifact, Store
from components.artifacts.audit import audit_all
from components.stages.candidate import Checkpoint
from flows import cli

pytestmark = [pytest.mark.flow, pytest.mark.timeout(900)]
AT_ONCE = ("--keep-days", "0", "--grace-hours", "0")


class Sketch(Artifact):
    """A kind that this release does not know."""


@pytest.fixture(scope="module")
def collected(published, carry_out, vae_only, tmp_path_factory) -> tuple[Path, str]:
    """A workspace with a champion, and the digest of another training in it, of other data, never put in service."""
    place = tmp_path_factory.mktemp("collected") / "home"
    shutil.copytree(published.home, place)
    other = ("dataset.source.images=320", "models.vae.training.images=640")
    return place, carry_out(place, vae_only, *other, until="train").result.candidates[0].checkpoint.digest


@pytest.fixture
def home(collected) -> Path:
    return collected[0]


@pytest.fixture
def say(home, at, capsys) -> Callable[..., str]:
    """What a command prints in that workspace."""

    def run(*arguments: str) -> str:
        with at(home):
            cli.command_line()(list(arguments), exit_on_error=False, result_action="return_value")
        return capsys.readouterr().out

    return run


def told(say: Callable[..., str], *arguments: str) -> list[dict[str, Any]]:
    fates: list[dict[str, Any]] = json.loads(say("gc", "--json", *arguments))
    return fates


def by_fate(fates: list[dict[str, Any]], becomes: str) -> set[tuple[str, str]]:
    return {(one["what"], one["name"]) for one in fates if one["becomes"] == becomes}


def listing(home: Path) -> set[Path]:
    return {path for path in (home / "store").rglob("*") if path.is_file()}


def test_by_default_all_of_these_days_stays_and_nothing_is_changed(home, say):
    before = listing(home)
    fates = told(say)
    assert {one["becomes"] for one in fates} == {"kept"}
    assert listing(home) == before
    text = say("gc")
    assert text.splitlines()[0].split() == ["kind", "becomes", "count", "size", "why"]
    assert "checkpoint" in text
    assert "not needed" not in text


def test_what_the_champion_needs_stays_whole_and_the_other_training_goes(collected, home, say, at):
    store = Store(home / "store")
    trained = {("checkpoint", one.digest) for one in store.all(Checkpoint)}
    champion = {one["why"]: one for one in told(say, *AT_ONCE)}
    assert any("champion" in why for why in champion)
    unneeded = by_fate(told(say, *AT_ONCE), "unneeded")
    lost = trained & unneeded
    assert ("checkpoint", collected[1]) in lost
    assert lost < trained
    before = listing(home)
    assert "kintsugi gc --delete" in say("gc", *AT_ONCE)
    assert listing(home) == before
    deleted = by_fate(told(say, "--delete", *AT_ONCE), "deleted")
    assert lost <= deleted
    assert {("checkpoint", one.digest) for one in store.all(Checkpoint)} == trained - lost
    assert list(audit_all(store, deep=True, progress=lambda *_: None)) == []
    assert "whole" in say("verify", "--deep")
    assert by_fate(told(say, "--delete", *AT_ONCE), "deleted") == set()


def test_the_finished_run_is_found_finished_after_a_collection(home, say, vae_only):
    say("gc", "--delete", *AT_ONCE)
    stages = say("check", str(vae_only)).splitlines()[2:]
    assert stages
    assert all("reuse " in line for line in stages), stages


def test_what_was_made_a_moment_ago_and_nothing_names_stays(home, say):
    sketch = Store(home / "store").materialise(Sketch, {"of": "a bowl"}, lambda draft: {})
    assert ("sketch", sketch.digest) in by_fate(told(say, "--delete"), "kept")
    assert ("sketch", sketch.digest) in by_fate(told(say, "--delete", *AT_ONCE), "deleted")


def test_a_registry_that_knows_nothing_of_the_store_is_no_reason_to_delete(home, at, tmp_path):
    other = tmp_path / "elsewhere"
    with at(other), pytest.raises(ValueError, match="none came of them; expected the store and the MLflow of the same"):
        cli.command_line()(
            ["gc", "--delete", "--store", str(home / "store")], exit_on_error=False, result_action="return_value"
        )


@pytest.mark.parametrize("option", ["--keep-days", "--grace-hours"])
def test_less_than_nothing_is_refused(say, option):
    with pytest.raises(ValueError, match="expected numbers from 0"):
        say("gc", option, "-1")
