"""Each flow runs alone: it does what is missing before it, and finds what another flow has made."""

import pytest

from flows import pipeline

pytestmark = [pytest.mark.flow, pytest.mark.timeout(400)]


def test_publish_alone_does_all_that_comes_before_it(published, launches):
    assert published.state.is_completed(), published.state
    assert (published.home / "pages" / f"alone-{published.result.digest[:8]}.html").is_file()
    assert {folder.parent.name for folder in launches(published.home)} == {
        "train-vae",
        "baselines-vae",
        "evaluate-vae",
    }


def test_every_other_flow_alone_returns_what_publish_has_made(published, carry_out, vae_only, launches):
    before = launches(published.home)
    prepared, trained, evaluated, promoted = (
        carry_out(flow, published.home, vae_only).result
        for flow in (pipeline.prepare, pipeline.train, pipeline.evaluate, pipeline.promote)
    )
    assert prepared.sets.yardstick.corruptions is None
    assert prepared.shards.accepted == sum(split.samples for split in prepared.shards.splits.values())
    assert list(trained) == list(evaluated) == list(promoted) == ["vae"]
    assert trained["vae"].images == 1600
    assert evaluated["vae"].table.subject == trained["vae"].export
    assert (promoted["vae"].verdict, promoted["vae"].version, promoted["vae"].champion) == ("promote", 1, 1)
    assert launches(published.home) == before


def test_prepare_alone_in_a_new_workspace_trains_nothing(carry_out, mini, launches, tmp_path):
    run = carry_out(pipeline.prepare, tmp_path, mini)
    assert run.result.sets.yardstick.corruptions.samples == 32
    assert launches(tmp_path) == set()
    assert not list((tmp_path / "store").glob("checkpoint/*"))
