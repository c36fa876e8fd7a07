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
    assert prepared.data.yardstick.corruptions is None
    shards = prepared.data.shards
    assert shards.accepted == sum(split.samples for split in shards.splits.values())
    assert prepared.candidates == []
    (after_train,), (after_evaluate,), (after_promote,) = (
        outcome.candidates for outcome in (trained, evaluated, promoted)
    )
    assert {one.name for one in (after_train, after_evaluate, after_promote)} == {"vae"}
    assert after_train.evaluated is after_evaluate.promotion is promoted.page is None
    assert after_train.checkpoint.images == 1600
    assert after_evaluate.evaluated.table.subject == after_train.checkpoint.export
    decided = after_promote.promotion
    assert (decided.verdict, decided.version, decided.champion) == ("promote", 1, 1)
    assert launches(published.home) == before


def test_preparing_alone_in_a_new_workspace_trains_nothing(carry_out, mini, launches, tmp_path):
    run = carry_out(tmp_path, mini, until="prepare")
    assert run.result.data.yardstick.corruptions.samples == 32
    assert launches(tmp_path) == set()
    assert not list((tmp_path / "store").glob("checkpoint/*"))
