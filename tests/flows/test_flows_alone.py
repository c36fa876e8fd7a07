"""A run that ends at an earlier stage does what is missing up to there, and finds what another run has made."""

import pytest

pytestmark = [pytest.mark.flow, pytest.mark.timeout(400)]


def test_a_run_to_the_page_does_all_that_comes_before_it(published, launches):
    assert published.state.is_completed(), published.state
    assert (published.home / "pages" / f"alone-{published.result.page.digest[:8]}.html").is_file()
    assert {folder.parent.name for folder in launches(published.home)} == {
        "train-vae",
        "baselines-vae",
        "evaluate-vae",
    }


def test_every_earlier_stage_returns_what_the_whole_run_has_made(published, carry_out, vae_only, launches):
    before = launches(published.home)
    prepared, trained, evaluated, promoted = (
        carry_out(published.home, vae_only, until=stage).result for stage in ("prepare", "train", "evaluate", "promote")
    )
    assert prepared.sets.yardstick.corruptions is None
    assert prepared.shards.accepted == sum(split.samples for split in prepared.shards.splits.values())
    assert list(trained.trained) == list(evaluated.evaluated) == list(promoted.promoted) == ["vae"]
    assert prepared.trained == trained.evaluated == evaluated.promoted == {}
    assert trained.trained["vae"].images == 1600
    assert evaluated.evaluated["vae"].table.subject == trained.trained["vae"].export
    decided = promoted.promoted["vae"]
    assert (decided.verdict, decided.version, decided.champion) == ("promote", 1, 1)
    assert launches(published.home) == before


def test_preparing_alone_in_a_new_workspace_trains_nothing(carry_out, mini, launches, tmp_path):
    run = carry_out(tmp_path, mini, until="prepare")
    assert run.result.sets.yardstick.corruptions.samples == 32
    assert launches(tmp_path) == set()
    assert not list((tmp_path / "store").glob("checkpoint/*"))
